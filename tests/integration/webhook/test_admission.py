"""What a user of kubectl meets: refusals in our words, warnings, and no way to get stuck."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from activities.clients.kubernetes import WORKSPACES, ApiError, Kind, KubernetesClient
from api import names
from tests import gen
from tests.integration.webhook.conftest import (
    QUICK,
    Replica,
    StartReplica,
    bad_workspace,
    create_with_warnings,
    dry_run,
    post,
    until_asked,
)
from worker.webhook.metrics import Outcome

pytestmark = pytest.mark.integration

OLD_VERSION = Kind(names.GROUP, "v1alpha1", names.WORKSPACE_PLURAL, names.WORKSPACE_KIND)


async def refused(kube: KubernetesClient, kind: Kind, body: dict[str, object]) -> ApiError:
    namespace = str(body["metadata"]["namespace"])  # type: ignore[index]
    with pytest.raises(ApiError) as caught:
        await kube.create(kind, body, namespace)
    return caught.value


async def test_a_bad_workspace_is_refused_with_the_field_the_problem_and_the_remedy(
    replica: Replica, kube: KubernetesClient, namespace: str
) -> None:
    error = await refused(kube, WORKSPACES, bad_workspace(namespace))
    assert (error.status, error.reason) == (422, "Invalid")
    assert "validation.workspace.kaito.sh" in error.message
    assert "resource.instanceType: " in error.message
    assert "; did you mean onebox.small" in error.message
    assert await kube.find(WORKSPACES, "chat", namespace) is None


async def test_a_program_reads_the_fields_from_the_refusals_causes(
    replica: Replica, kube: KubernetesClient, namespace: str
) -> None:
    response = await post(kube, bad_workspace(namespace), namespace)
    details = (await response.json())["details"]
    assert (details["kind"], details["name"]) == ("Workspace", "chat")
    assert [one["field"] for one in details["causes"]] == ["resource.instanceType"]


async def test_the_old_version_is_judged_by_the_same_rules(
    replica: Replica, kube: KubernetesClient, namespace: str
) -> None:
    body = {**bad_workspace(namespace), "apiVersion": "kaito.sh/v1alpha1"}
    assert "resource.instanceType" in (await refused(kube, OLD_VERSION, body)).message


async def test_every_problem_has_a_line_of_its_own(
    replica: Replica, kube: KubernetesClient, namespace: str
) -> None:
    body = bad_workspace(namespace, resource={"preferredNodes": ["Not A Node"]})
    message = (await refused(kube, WORKSPACES, body)).message
    lines = message.partition("denied the request: ")[2].splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "resource.preferredNodes",
        "resource.instanceType",
    ]


async def test_a_good_workspace_is_stored_without_a_warning(
    replica: Replica, kube: KubernetesClient, namespace: str
) -> None:
    body = gen.workspace_object(namespace=namespace)
    assert await create_with_warnings(kube, body, namespace) == []
    assert replica.count(Outcome.ALLOWED) == 1


async def test_what_works_otherwise_than_one_may_think_is_stored_with_a_warning(
    replica: Replica, kube: KubernetesClient, namespace: str
) -> None:
    body = gen.workspace_object(namespace=namespace, resource={"capacityType": "spot"})
    (warning,) = await create_with_warnings(kube, body, namespace)
    assert "resource.capacityType" in warning


async def test_a_name_that_the_api_server_makes_up_is_judged_too(
    replica: Replica, kube: KubernetesClient, namespace: str
) -> None:
    body = gen.workspace_object(namespace=namespace)
    body["metadata"] = {"generateName": "chat-", "namespace": namespace}
    assert await dry_run(kube, body, namespace) is None
    assert replica.count(Outcome.ALLOWED) == 1


async def test_an_edit_is_judged_and_a_repair_is_taken(
    replica: Replica, kube: KubernetesClient, namespace: str
) -> None:
    await kube.create(WORKSPACES, gen.workspace_object(namespace=namespace), namespace)
    with pytest.raises(ApiError, match=r"resource\.instanceType"):
        await kube.merge_patch(
            WORKSPACES, "chat", {"resource": {"instanceType": "onebox.small2"}}, namespace
        )
    edited = await kube.merge_patch(
        WORKSPACES, "chat", {"resource": {"instanceType": "onebox.large"}}, namespace
    )
    assert edited["resource"]["instanceType"] == "onebox.large"


async def test_an_annotation_that_means_something_is_judged(
    replica: Replica, kube: KubernetesClient, namespace: str
) -> None:
    await kube.create(WORKSPACES, gen.workspace_object(namespace=namespace), namespace)
    with pytest.raises(ApiError, match=names.ANNOTATION_RUNTIME):
        await kube.merge_patch(
            WORKSPACES,
            "chat",
            {"metadata": {"annotations": {names.ANNOTATION_RUNTIME: "abacus"}}},
            namespace,
        )


async def test_nothing_of_a_bad_workspace_that_holds_reports_or_deletes_is_ever_sent(
    replicas: StartReplica, kube: KubernetesClient, namespace: str
) -> None:
    held = {"finalizers": [names.FINALIZER_WORKSPACE]}
    await kube.create(WORKSPACES, bad_workspace(namespace, metadata=held), namespace)
    replica = replicas()
    await replica.until_in_force()
    await until_asked(kube, namespace)
    asked = replica.count()

    await kube.merge_patch(
        WORKSPACES, "chat", {"status": {"phase": "Failed"}}, namespace, subresource="status"
    )
    await kube.merge_patch(WORKSPACES, "chat", {"metadata": {"labels": {"team": "a"}}}, namespace)
    more = {"metadata": {"finalizers": [*held["finalizers"], "example.com/more"]}}
    await kube.merge_patch(WORKSPACES, "chat", more, namespace)
    await kube.delete(WORKSPACES, "chat", namespace)
    await kube.merge_patch(WORKSPACES, "chat", {"metadata": {"finalizers": None}}, namespace)
    assert await kube.find(WORKSPACES, "chat", namespace) is None
    assert replica.count() == asked


async def test_a_bad_workspace_that_is_being_deleted_can_be_written(
    replicas: StartReplica, kube: KubernetesClient, namespace: str
) -> None:
    held = {"finalizers": [names.FINALIZER_WORKSPACE]}
    await kube.create(WORKSPACES, bad_workspace(namespace, metadata=held), namespace)
    await kube.delete(WORKSPACES, "chat", namespace)
    replica = replicas()
    await replica.until_in_force()
    await until_asked(kube, namespace)

    written = await kube.merge_patch(WORKSPACES, "chat", {"resource": {"count": 2}}, namespace)
    assert written["resource"]["count"] == 2
    assert replica.count(Outcome.UNREAD) == 1
    await kube.merge_patch(WORKSPACES, "chat", {"metadata": {"finalizers": None}}, namespace)


async def test_a_replica_that_stops_answers_until_its_service_has_lost_it(
    replicas: StartReplica, kube: KubernetesClient, namespace: str
) -> None:
    replica = replicas(timing=replace(QUICK, linger_seconds=0.5))
    await replica.until_in_force()
    await until_asked(kube, namespace)
    replica.task.cancel()
    for _ in range(5):
        assert await dry_run(kube, bad_workspace(namespace), namespace) is not None
    await asyncio.wait({replica.task})
    assert await dry_run(kube, bad_workspace(namespace), namespace) is None


async def test_a_webhook_that_is_down_stops_nobody(
    replica: Replica, kube: KubernetesClient, namespace: str
) -> None:
    await replica.stop()
    created = await kube.create(WORKSPACES, bad_workspace(namespace), namespace)
    assert created["metadata"]["uid"]
