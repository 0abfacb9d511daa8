"""What steps make beside the StatefulSet, and what they leave alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from activities.clients.kubernetes import (
    CONFIG_MAPS,
    NODES,
    PODS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    WORKSPACES,
    ApiError,
    Kind,
    KubernetesClient,
)
from activities.context import ActivityContext
from activities.workspace.endpoint import Endpoint
from activities.workspace.teardown import Teardown
from activities.workspace.traffic import Traffic
from activities.workspace.workload import Workload
from api import names
from api import payloads as p
from tests import gen
from tests.harness.waiting import eventually
from tests.integration.activities.conftest import Runner
from tests.integration.activities.story import Story, refusal, world

CONFIG = "vllm:\n  max-model-len: 1024\n"


async def begin(
    ctx: ActivityContext, run: Runner, client: KubernetesClient, obj: dict[str, Any]
) -> Story:
    namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
    created = await client.create(WORKSPACES, obj, namespace)
    uid = created["metadata"]["uid"]
    return Story(ctx, run, p.WorkspaceRef(namespace=namespace, name=name, uid=uid))


async def put_config(client: KubernetesClient, namespace: str, text: str) -> None:
    await client.apply(
        CONFIG_MAPS,
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings"},
            "data": {"inference_config.yaml": text},
        },
        namespace,
    )


@pytest.fixture
async def configured(
    ctx: ActivityContext, run: Runner, client: KubernetesClient, full_namespace: str
) -> Story:
    """A Workspace with settings for its model server."""
    await put_config(client, full_namespace, CONFIG)
    obj = gen.workspace_object(namespace=full_namespace, inference={"config": "settings"})
    return await begin(ctx, run, client, obj)


async def workload(story: Story, plan: p.WorkspacePlan, *node_names: str) -> dict[str, Any]:
    await story.run(
        Workload(story.ctx).ensure_workload,
        p.EnsureWorkloadInput(**story.of(plan), node_names=list(node_names or ["nowhere"])),
    )
    name = names.workload_name(story.ref.name, plan.revision)
    found: dict[str, Any] = await story.ctx.cluster.get(STATEFUL_SETS, name, story.ref.namespace)
    return found


async def service(story: Story, plan: p.WorkspacePlan) -> dict[str, Any]:
    await story.run(Traffic(story.ctx).ensure_traffic, p.RevisionInput(**story.of(plan)))
    found: dict[str, Any] = await story.ctx.cluster.get(
        SERVICES, story.ref.name, story.ref.namespace
    )
    return found


async def annotate(client: KubernetesClient, story: Story, key: str, value: str | None) -> None:
    """Change an annotation and wait until the workers see it."""
    await client.merge_patch(
        WORKSPACES,
        story.ref.name,
        {"metadata": {"annotations": {key: value}}},
        story.ref.namespace,
    )

    async def is_seen() -> bool:
        seen = story.ctx.informers.workspaces.get(story.ref.name, story.ref.namespace) or {}
        annotations = (seen.get("metadata") or {}).get("annotations") or {}
        return bool(annotations.get(key) == value)

    await eventually(is_seen, what=f"{key} in the informer")


# --- Settings of the model server -------------------------------------------------------------


async def test_a_revision_mounts_its_own_copy_of_the_settings(
    configured: Story, client: KubernetesClient
) -> None:
    plan = await configured.adopt()
    body = await workload(configured, plan)
    name = names.workload_name(configured.ref.name, plan.revision)
    copy = await client.get(CONFIG_MAPS, name, configured.ref.namespace)
    assert copy["data"] == {"inference_config.yaml": CONFIG}
    assert copy["immutable"]
    volumes = body["spec"]["template"]["spec"]["volumes"]
    assert name in {volume.get("configMap", {}).get("name") for volume in volumes}


async def test_an_edit_of_the_settings_is_a_new_revision_and_leaves_the_old_one_its_own(
    configured: Story, client: KubernetesClient
) -> None:
    first = await configured.adopt()
    await put_config(client, configured.ref.namespace, "vllm:\n  max-model-len: 512\n")
    second = await configured.adopt()
    assert second.revision != first.revision
    # The operation of the first one may still be under way, in a worker that just started.
    configured.ctx.revisions._records.clear()
    for plan in (first, second):
        await workload(configured, plan)
    texts = {
        obj["metadata"]["labels"][names.LABEL_REVISION]: obj["data"]["inference_config.yaml"]
        for obj in await client.list(
            CONFIG_MAPS,
            configured.ref.namespace,
            {names.LABEL_WORKSPACE_UID: configured.ref.uid},
        )
    }
    assert texts[first.revision] == CONFIG
    assert "512" in texts[second.revision]


async def test_settings_that_were_edited_after_planning_are_not_adopted(
    configured: Story, client: KubernetesClient
) -> None:
    plan = await configured.plan()
    await put_config(client, configured.ref.namespace, "vllm:\n  max-model-len: 512\n")
    assert (await configured.adopt()).revision != plan.revision


async def test_a_copy_stays_with_the_workload_that_may_come_back(
    configured: Story, client: KubernetesClient
) -> None:
    namespace = configured.ref.namespace
    first = await configured.adopt()
    await workload(configured, first)
    await put_config(client, namespace, "vllm:\n  max-model-len: 512\n")
    second = await configured.adopt()
    await workload(configured, second)
    retired = p.RetireWorkloadsInput(
        workspace=configured.ref, revisions=[first.revision], deadline_seconds=60
    )
    for _ in range(2):
        await configured.run(Workload(configured.ctx).retire_workloads, retired)
    left = await client.list(
        CONFIG_MAPS, namespace, {names.LABEL_WORKSPACE_UID: configured.ref.uid}
    )
    found = {obj["metadata"]["labels"][names.LABEL_REVISION] for obj in left}
    assert found == {first.revision, second.revision}
    # One that somebody deleted is made again, out of the record.
    name = names.workload_name(configured.ref.name, first.revision)
    await client.delete(CONFIG_MAPS, name, namespace)
    await workload(configured, first)
    assert await client.find(CONFIG_MAPS, name, namespace) is not None


async def test_a_config_map_of_somebody_else_is_neither_mounted_nor_deleted(
    configured: Story, client: KubernetesClient
) -> None:
    plan = await configured.adopt()
    name = names.workload_name(configured.ref.name, plan.revision)
    theirs = {"metadata": {"name": name}, "data": {"key": "theirs"}}
    await client.create(CONFIG_MAPS, theirs, configured.ref.namespace)
    error = await refusal(
        configured.run(
            Workload(configured.ctx).ensure_workload,
            p.EnsureWorkloadInput(**configured.of(plan), node_names=["nowhere"]),
        )
    )
    assert error.type == "InvalidWorkspace"
    assert f"ConfigMap {name} exists" in error.message
    target = p.RetireWorkloadsInput(
        workspace=configured.ref, revisions=[plan.revision], deadline_seconds=60
    )
    await configured.run(Workload(configured.ctx).retire_workloads, target)
    assert await client.find(CONFIG_MAPS, name, configured.ref.namespace) is not None


async def test_teardown_takes_the_copies_and_leaves_what_the_user_made(
    configured: Story, client: KubernetesClient
) -> None:
    await workload(configured, await configured.adopt())
    target = p.TeardownInput(workspace=configured.ref, deadline_seconds=60)
    leftovers = (await configured.run(Teardown(configured.ctx).prove_deleted, target)).leftovers
    assert "ConfigMap" in {one.split("/")[0] for one in leftovers}
    await configured.run(Teardown(configured.ctx).delete_workloads, target)
    assert await world(client, configured.ref) == {}
    assert await client.find(CONFIG_MAPS, "settings", configured.ref.namespace) is not None


# --- Annotations ------------------------------------------------------------------------------


async def test_an_annotation_that_pods_are_made_from_is_taken_from_the_record(
    ctx: ActivityContext, run: Runner, client: KubernetesClient, full_namespace: str
) -> None:
    obj = gen.workspace_object(
        namespace=full_namespace,
        preset="phi-4",
        instance_type="Standard_NC24ads_A100_v4",
        metadata={"annotations": {names.ANNOTATION_RUNTIME: "transformers"}},
    )
    story = await begin(ctx, run, client, obj)
    plan = await story.adopt()
    assert plan.runtime == "transformers"
    await annotate(client, story, names.ANNOTATION_RUNTIME, "vllm")
    ctx.revisions._records.clear()
    body = await workload(story, plan)
    assert "kaito/transformers" in body["spec"]["template"]["spec"]["containers"][0]["image"]
    assert (await story.plan()).revision != plan.revision


async def test_a_load_balancer_comes_and_goes_with_its_annotation(
    ctx: ActivityContext, run: Runner, client: KubernetesClient, ref: p.WorkspaceRef
) -> None:
    story = Story(ctx, run, ref)
    plan = await story.adopt()
    plain = await service(story, plan)
    assert plain["spec"]["type"] == "ClusterIP"
    await annotate(client, story, names.ANNOTATION_ENABLE_LOAD_BALANCER, "True")
    public = await service(story, plan)
    assert public["spec"]["type"] == "LoadBalancer"
    assert [port["port"] for port in public["spec"]["ports"]] == [80]
    again = await service(story, plan)
    assert again["metadata"]["resourceVersion"] == public["metadata"]["resourceVersion"]
    await annotate(client, story, names.ANNOTATION_ENABLE_LOAD_BALANCER, None)
    private = await service(story, plan)
    assert private["spec"]["type"] == "ClusterIP"
    assert [port["port"] for port in private["spec"]["ports"]] == [80, 29500]
    assert private["spec"]["clusterIP"] == plain["spec"]["clusterIP"]


# --- Several nodes ----------------------------------------------------------------------------


async def nodes_of(client: KubernetesClient, namespace: str, count: int) -> list[str]:
    """Make nodes that nothing runs on, since kwok does not know them."""
    found = [f"{namespace}-{number}" for number in range(count)]
    for name in found:
        await client.create(
            NODES,
            {
                "metadata": {
                    "name": name,
                    "labels": {names.LABEL_INSTANCE_TYPE: "Standard_NC24ads_A100_v4"},
                }
            },
        )
    return found


async def test_of_one_instance_over_several_nodes_only_the_first_pod_is_asked(
    ctx: ActivityContext, run: Runner, client: KubernetesClient, full_namespace: str
) -> None:
    obj = gen.workspace_object(
        namespace=full_namespace,
        preset="mistralai/Mixtral-8x7B-v0.1",
        instance_type="Standard_NC24ads_A100_v4",
    )
    story = await begin(ctx, run, client, obj)
    plan = await story.adopt()
    assert plan.parallelism.pipeline == plan.node_count == plan.replicas == 2
    node_names = await nodes_of(client, full_namespace, 2)
    try:
        body = await workload(story, plan, *node_names)
        assert body["spec"]["replicas"] == 2
        headless = await client.get(SERVICES, f"{story.ref.name}-headless", full_namespace)
        assert headless["spec"]["clusterIP"] == "None"
        name = names.workload_name(story.ref.name, plan.revision)
        selector = (await service(story, plan))["spec"]["selector"]
        assert selector["statefulset.kubernetes.io/pod-name"] == f"{name}-0"
        asked = await urls_asked(story, plan)
        assert len(asked) == 1
    finally:
        for node_name in node_names:
            await client.delete(NODES, node_name)


async def urls_asked(story: Story, plan: p.WorkspacePlan) -> list[str]:
    """Return where verification would ask, once both pods have an address."""
    payload = p.VerifyEndpointInput(
        **story.of(plan), served_model_name=plan.served_model_name, deadline_seconds=10
    )
    name = names.workload_name(story.ref.name, plan.revision)
    for number in range(2):
        await eventually(
            lambda number=number: pod_exists(story, f"{name}-{number}"), what="the pods"
        )
        await story.ctx.cluster.merge_patch(
            PODS,
            f"{name}-{number}",
            {
                "status": {
                    "podIP": f"10.9.0.{number + 1}",
                    "podIPs": [{"ip": f"10.9.0.{number + 1}"}],
                }
            },
            story.ref.namespace,
            "status",
        )

    async def both_seen() -> bool:
        return len(Endpoint(without_stub(story.ctx))._urls(payload, "")) == 2

    await eventually(both_seen, what="both addresses in the informer")
    return Endpoint(without_stub(story.ctx))._urls(payload, f"{name}-0")


async def pod_exists(story: Story, name: str) -> bool:
    return await story.ctx.cluster.find(PODS, name, story.ref.namespace) is not None


def without_stub(ctx: ActivityContext) -> ActivityContext:
    return dataclasses.replace(
        ctx, settings=dataclasses.replace(ctx.settings, endpoint_base_url="")
    )


# --- Pods of the user's own -------------------------------------------------------------------


async def test_pods_of_the_users_own_are_run_and_get_the_traffic(
    ctx: ActivityContext, run: Runner, client: KubernetesClient, full_namespace: str
) -> None:
    template = {
        "metadata": {"labels": {"theirs": "kept"}},
        "spec": {"containers": [{"name": "main", "image": "registry.test/their/server:1"}]},
    }
    obj = gen.workspace_object(
        namespace=full_namespace, inference={"preset": None, "template": template}
    )
    story = await begin(ctx, run, client, obj)
    plan = await story.all_steps()
    assert p.Step.ENDPOINT not in plan.steps
    assert (await story.plan()).steps == []
    before = await world(client, story.ref)
    await story.all_steps()
    assert await world(client, story.ref) == before
    pods = await client.list(PODS, full_namespace, {"theirs": "kept"})
    assert [pod["status"]["phase"] for pod in pods] == ["Running"]


# --- References -------------------------------------------------------------------------------


async def test_secrets_that_are_missing_are_named_before_anything_is_bought(
    ctx: ActivityContext, run: Runner, client: KubernetesClient, full_namespace: str
) -> None:
    adapter = {"source": {"name": "style", "image": "r.test/a:1", "imagePullSecrets": ["a-key"]}}
    options = {"image": "r.test/mine:1", "imagePullSecrets": ["b-key"], "modelAccessSecret": "c"}
    obj = gen.workspace_object(
        namespace=full_namespace,
        preset="phi-4",
        instance_type="Standard_NC24ads_A100_v4",
        inference={
            "preset": {"accessMode": "private", "presetOptions": options},
            "adapters": [adapter],
        },
    )
    story = await begin(ctx, run, client, obj)
    plan = await story.plan()
    assert plan.problem is not None
    assert plan.problem.reason == "MissingReference"
    wanted = ", ".join(f"Secret {full_namespace}/{name}" for name in ("a-key", "b-key", "c"))
    assert wanted in plan.problem.message
    for name in ("a-key", "b-key", "c"):
        await client.create(SECRETS, {"metadata": {"name": name}}, full_namespace)
    assert (await story.plan()).problem is None


async def test_a_secret_can_be_looked_for_without_being_read(
    client: KubernetesClient, full_namespace: str
) -> None:
    body = {"metadata": {"name": "key"}, "stringData": {"password": "hidden"}}
    await client.create(SECRETS, body, full_namespace)
    found = await client.find_metadata(SECRETS, "key", full_namespace)
    assert found is not None
    assert found["kind"] == "PartialObjectMetadata"
    assert "data" not in found
    assert await client.find_metadata(SECRETS, "absent", full_namespace) is None


# --- Teardown against resistance --------------------------------------------------------------


class WithoutServices(KubernetesClient):
    """A cluster whose services the platform may not list."""

    async def list(
        self, kind: Kind, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        if kind is SERVICES:
            raise ApiError(403, "Forbidden", "may not list services")
        return await super().list(kind, namespace, labels)


async def test_what_can_be_removed_is_though_one_kind_is_refused(
    configured: Story, client: KubernetesClient
) -> None:
    await workload(configured, await configured.adopt())
    refusing = WithoutServices(client._configuration)
    context = dataclasses.replace(configured.ctx, cluster=refusing)
    target = p.TeardownInput(workspace=configured.ref, deadline_seconds=5)
    error = await refusal(configured.run(Teardown(context).delete_workloads, target))
    await refusing.close()
    assert error.type == "AccessDenied"

    async def is_empty() -> bool:
        return await world(client, configured.ref) == {}

    await eventually(is_empty, what="the end of everything else")
