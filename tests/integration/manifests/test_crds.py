"""The CRDs as a real API server takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from activities.clients.kubernetes import (
    CRDS,
    WORKSPACES,
    ApiError,
    Kind,
    KubernetesClient,
)
from api import names
from api.crd import workspace_crd
from tests import gen
from tests.harness.cluster import Cluster

pytestmark = pytest.mark.integration

TUNING = {
    "preset": {"name": "x"},
    "method": "QLoRA",
    "input": {"urls": ["https://example.com"]},
    "output": {"image": "registry.test/out", "imagePushSecret": "push"},
}


@pytest_asyncio.fixture
async def client(cluster: Cluster) -> AsyncIterator[KubernetesClient]:
    async with cluster.client() as connected:
        yield connected


async def refusal(client: KubernetesClient, body: Mapping[str, Any], namespace: str) -> str:
    with pytest.raises(ApiError) as caught:
        await client.create(WORKSPACES, body, namespace)
    assert caught.value.status == 422
    return caught.value.message


async def test_a_plain_workspace_gets_its_defaults(
    client: KubernetesClient, namespace: str
) -> None:
    body = gen.workspace_object(
        namespace=namespace, resource={"instanceType": None}, unknown={"field": 1}
    )
    created = await client.create(WORKSPACES, body, namespace)
    assert created["resource"]["count"] == 1
    # The planner chooses it, so that existing nodes of any type can be meant.
    assert "instanceType" not in created["resource"]
    assert created["inference"]["preset"]["accessMode"] == "public"
    assert "unknown" not in created


async def test_both_versions_give_the_same_object(client: KubernetesClient, namespace: str) -> None:
    await client.create(WORKSPACES, gen.workspace_object(namespace=namespace), namespace)
    old = Kind(names.GROUP, "v1alpha1", names.WORKSPACE_PLURAL, names.WORKSPACE_KIND)
    found = [await client.get(kind, "chat", namespace) for kind in (old, WORKSPACES)]
    assert {one.pop("apiVersion") for one in found} == {"kaito.sh/v1alpha1", "kaito.sh/v1beta1"}
    for one in found:
        one["metadata"].pop("managedFields", None)
    assert found[0] == found[1]


async def test_free_form_fields_are_kept_whole(client: KubernetesClient, namespace: str) -> None:
    template = {"spec": {"containers": [{"name": "a", "somethingNew": 1}]}}
    body = gen.workspace_object(
        namespace=namespace, inference={"preset": None, "template": template}
    )
    created = await client.create(WORKSPACES, body, namespace)
    assert created["inference"]["template"] == template


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"resource": None}, "at least by resource.labelSelector"),
        ({"resource": {"labelSelector": None}}, "resource.labelSelector: Required"),
        ({"resource": {"count": 0}}, "must be at least 1"),
        ({"resource": {"partition": {"mode": "mig"}}}, "needs partition.profile"),
        ({"resource": {"partition": {"mode": "accelerator"}}}, "needs partition.count"),
        ({"resource": {"partition": {"mode": "slice"}}}, "partition.mode"),
        ({"resource": {"capacityType": "cheap"}}, "capacityType"),
        ({"resource": {"fallbackInstanceTypes": ["a"] * 17}}, "at most 16"),
        ({"rollout": {"strategy": "Recreate"}}, "rollout.strategy"),
        ({"rollout": {"progressDeadlineSeconds": 0}}, "rollout.progressDeadlineSeconds"),
        ({"inference": None}, "exactly one of inference"),
        ({"tuning": TUNING}, "exactly one of inference"),
        ({"inference": {"preset": None}}, "exactly one of preset"),
        ({"inference": {"template": {"spec": {}}}}, "exactly one of preset"),
        ({"inference": {"preset": {"accessMode": "private"}}}, "presetOptions.image"),
        ({"inference": {"preset": {"accessMode": "secret"}}}, "accessMode"),
        ({"inference": {"adapters": [{}] * 11}}, "at most 10"),
        ({"inference": None, "tuning": {**TUNING, "method": "full"}}, "lora or qlora"),
        ({"inference": None, "tuning": {**TUNING, "input": {}}}, "exactly one of urls"),
        ({"inference": None, "tuning": {**TUNING, "output": {}}}, "where the result goes"),
        ({"inference": None, "tuning": {**TUNING, "output": {"image": "i"}}}, "imagePushSecret"),
        ({"name": "1chat"}, "begin with a letter"),
        ({"name": "a.b"}, "begin with a letter"),
        ({"name": "x" * (names.MAX_WORKSPACE_NAME_CHARACTERS + 1)}, "at most 43 characters"),
    ],
)
async def test_what_the_api_server_can_judge_it_refuses_in_our_words(
    client: KubernetesClient, namespace: str, changes: dict[str, Any], words: str
) -> None:
    body = gen.workspace_object(**{"namespace": namespace, **changes})
    assert words in await refusal(client, body, namespace)


async def test_an_edit_that_breaks_a_workspace_is_refused(
    client: KubernetesClient, namespace: str
) -> None:
    await client.create(WORKSPACES, gen.workspace_object(namespace=namespace), namespace)
    with pytest.raises(ApiError, match="exactly one of inference"):
        await client.merge_patch(WORKSPACES, "chat", {"tuning": TUNING}, namespace)


# --- objects that are older than the rules --------------------------------------------------------

OLD_GROUP = "older.kaito.sh"
OLD_WORKSPACES = Kind(OLD_GROUP, "v1beta1", "workspaces", "Workspace")


def without_rules(node: Any) -> Any:
    if isinstance(node, list):
        return [without_rules(one) for one in node]
    if isinstance(node, dict):
        dropped = {"x-kubernetes-validations", "maxItems"}
        return {key: without_rules(one) for key, one in node.items() if key not in dropped}
    return node


def crd_of_old_group() -> dict[str, Any]:
    # A group of its own, so that no other test sees a CRD without rules.
    crd = workspace_crd()
    crd["metadata"]["name"] = f"workspaces.{OLD_GROUP}"
    crd["spec"]["group"] = OLD_GROUP
    crd["spec"]["names"] |= {"shortNames": [], "categories": []}
    return crd


async def _until_rules_hold(
    client: KubernetesClient, namespace: str, *, hold: bool, attempts: int = 300
) -> None:
    """Wait until the API server judges by the CRD that was applied last."""
    probe = gen.workspace_object(name="1", namespace=namespace, apiVersion=f"{OLD_GROUP}/v1beta1")
    for _ in range(attempts):
        try:
            await client.create(OLD_WORKSPACES, probe, namespace)
        except ApiError as error:
            if hold and error.status == 422:
                return
        else:
            await client.delete(OLD_WORKSPACES, "1", namespace)
            if not hold:
                return
        await asyncio.sleep(0.1)
    pytest.fail("the API server does not take the CRD")


async def test_objects_that_break_new_rules_can_still_be_finalised_reported_on_and_deleted(
    client: KubernetesClient, namespace: str
) -> None:
    crd = crd_of_old_group()
    await client.apply(CRDS, without_rules(crd))
    await _until_rules_hold(client, namespace, hold=False)
    broken: dict[str, dict[str, Any]] = {
        "both": {"tuning": {"input": {}, "output": {}}},
        "neither": {"inference": None, "resource": None},
        "empty": {"inference": {"preset": None}},
        "private": {"inference": {"preset": {"accessMode": "private"}}},
        "adapters": {"inference": {"adapters": [{"source": {"name": "a"}}] * 11}},
        "none-wanted": {"resource": {"count": 0}},
        "9digit": {},
        "x" * 60: {},
    }
    for name, changes in broken.items():
        body = gen.workspace_object(
            name=name, namespace=namespace, apiVersion=f"{OLD_GROUP}/v1beta1", **changes
        )
        await client.create(OLD_WORKSPACES, body, namespace)
    await client.apply(CRDS, crd)
    await _until_rules_hold(client, namespace, hold=True)
    for name in broken:
        finalizers = {"metadata": {"finalizers": [names.FINALIZER_WORKSPACE]}}
        await client.merge_patch(OLD_WORKSPACES, name, finalizers, namespace)
        await client.merge_patch(
            OLD_WORKSPACES, name, {"status": {"phase": "Failed"}}, namespace, subresource="status"
        )
        await client.delete(OLD_WORKSPACES, name, namespace)
        await client.merge_patch(OLD_WORKSPACES, name, {"metadata": {"finalizers": []}}, namespace)
        assert await client.find(OLD_WORKSPACES, name, namespace) is None
    await client.delete(CRDS, crd["metadata"]["name"])
