"""Rollback by order: the spec is what it was, field by field, and nothing else is touched."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from activities.clients.kubernetes import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    WORKSPACES,
    Kind,
    KubernetesClient,
)
from activities.workspace.reading import owned_by
from activities.workspace.restoring import Restoring
from activities.workspace.teardown import Teardown
from api import names
from api import payloads as p
from tests import gen
from tests.integration.activities.conftest import Runner
from tests.integration.activities.story import Story, refusal, world
from tests.integration.activities.test_rendered import begin, put_config

CONFIG = "vllm:\n  max-model-len: 1024\n"
OTHER_CONFIG = "vllm:\n  max-model-len: 512\n"


@pytest.fixture
async def story(ctx: Any, run: Runner, client: KubernetesClient, full_namespace: str) -> Story:
    await put_config(client, full_namespace, CONFIG)
    obj = gen.workspace_object(namespace=full_namespace, inference={"config": "settings"})
    return await begin(ctx, run, client, obj)


async def spec_of(client: KubernetesClient, ref: p.WorkspaceRef) -> dict[str, Any]:
    obj = await client.get(WORKSPACES, ref.name, ref.namespace)
    return {key: obj[key] for key in ("resource", "inference", "rollout") if key in obj}


async def edit(client: KubernetesClient, ref: p.WorkspaceRef, **changes: Any) -> int:
    obj = await client.merge_patch(WORKSPACES, ref.name, changes, ref.namespace)
    generation: int = obj["metadata"]["generation"]
    return generation


async def restore(story: Story, revision: str, generation: int = 0) -> p.RestoreSpecResult:
    result: p.RestoreSpecResult = await story.run(
        Restoring(story.ctx).restore_spec,
        p.RestoreSpecInput(workspace=story.ref, revision=revision, generation=generation),
    )
    return result


async def test_fields_that_the_revision_lacks_vanish_and_the_others_are_as_they_were(
    story: Story, client: KubernetesClient
) -> None:
    plan = await story.adopt()
    before = await spec_of(client, story.ref)
    adapter = {"source": {"name": "style", "image": "registry.test/style:1"}}
    generation = await edit(
        client,
        story.ref,
        inference={"adapters": [adapter], "preset": {"name": "phi-4"}},
        resource={"count": 3},
    )
    result = await restore(story, plan.revision, generation)
    assert (result.changed, result.generation) == (True, generation + 1)
    assert await spec_of(client, story.ref) == before
    assert (await story.plan()).revision == plan.revision
    # Settings that are as they were need no ConfigMap of their own.
    labels = {**owned_by(story.ref), names.LABEL_REVISION: plan.revision}
    assert await client.list(CONFIG_MAPS, story.ref.namespace, labels) == []


async def test_a_second_attempt_writes_nothing(story: Story, client: KubernetesClient) -> None:
    plan = await story.adopt()
    generation = await edit(client, story.ref, resource={"count": 3})
    first = await restore(story, plan.revision, generation)
    # The answer of the first was lost, so the second is asked about the same generation.
    second = await restore(story, plan.revision, generation)
    assert (second.changed, second.superseded) == (False, False)
    assert second.generation == first.generation


async def test_an_edit_that_came_in_between_is_left_alone(
    story: Story, client: KubernetesClient
) -> None:
    plan = await story.adopt()
    generation = await edit(client, story.ref, resource={"count": 3})
    await put_config(client, story.ref.namespace, OTHER_CONFIG)
    await edit(client, story.ref, resource={"count": 2})
    before, objects = await spec_of(client, story.ref), await world(client, story.ref)
    result = await restore(story, plan.revision, generation)
    assert (result.superseded, result.changed) == (True, False)
    assert await spec_of(client, story.ref) == before
    assert await world(client, story.ref) == objects


async def test_what_chooses_nodes_and_what_governs_rollouts_is_of_today(
    story: Story, client: KubernetesClient
) -> None:
    plan = await story.adopt()
    generation = await edit(
        client,
        story.ref,
        resource={"count": 3, "preferredNodes": ["a"], "fallbackInstanceTypes": ["onebox.large"]},
        rollout={"strategy": "Surge"},
        metadata={"annotations": {"team": "a"}},
    )
    await restore(story, plan.revision, generation)
    spec = await spec_of(client, story.ref)
    assert spec["resource"]["count"] == 1
    assert spec["resource"]["preferredNodes"] == ["a"]
    assert spec["resource"]["fallbackInstanceTypes"] == ["onebox.large"]
    assert spec["rollout"]["strategy"] == "Surge"
    obj = await client.get(WORKSPACES, story.ref.name, story.ref.namespace)
    assert obj["metadata"]["annotations"]["team"] == "a"
    assert names.FINALIZER_WORKSPACE in obj["metadata"]["finalizers"]


async def test_an_annotation_that_pods_are_made_from_comes_back_and_goes(
    story: Story, client: KubernetesClient
) -> None:
    plain = await story.adopt()
    key = names.ANNOTATION_PERFORMANCE_MODE
    generation = await edit(client, story.ref, metadata={"annotations": {key: "throughput"}})
    fast = await story.adopt()
    assert fast.revision != plain.revision
    await restore(story, plain.revision, generation)
    obj = await client.get(WORKSPACES, story.ref.name, story.ref.namespace)
    assert key not in (obj["metadata"].get("annotations") or {})
    await restore(story, fast.revision)
    obj = await client.get(WORKSPACES, story.ref.name, story.ref.namespace)
    assert obj["metadata"]["annotations"][key] == "throughput"


async def test_settings_that_were_edited_since_come_back_under_a_name_of_their_own(
    story: Story, client: KubernetesClient
) -> None:
    ref = story.ref
    first = await story.adopt()
    await put_config(client, ref.namespace, OTHER_CONFIG)
    second = await story.adopt()
    assert second.revision != first.revision
    for _ in range(2):
        await restore(story, first.revision)
    name = names.restored_config_name(ref.name, first.revision)
    assert (await spec_of(client, ref))["inference"]["config"] == name
    config_map = await client.get(CONFIG_MAPS, name, ref.namespace)
    assert config_map["data"] == {"inference_config.yaml": CONFIG}
    assert owned_by(ref).items() <= config_map["metadata"]["labels"].items()
    theirs = await client.get(CONFIG_MAPS, "settings", ref.namespace)
    assert theirs["data"] == {"inference_config.yaml": OTHER_CONFIG}
    assert (await story.plan()).revision == first.revision
    # And forward again: the user's own ConfigMap still holds what the second one recorded.
    await restore(story, second.revision)
    assert (await spec_of(client, ref))["inference"]["config"] == "settings"
    await story.run(
        Teardown(story.ctx).delete_workloads, p.TeardownInput(workspace=ref, deadline_seconds=60)
    )
    assert await client.find(CONFIG_MAPS, name, ref.namespace) is None


async def test_restored_settings_that_somebody_made_otherwise_are_made_anew(
    story: Story, client: KubernetesClient
) -> None:
    ref = story.ref
    first = await story.adopt()
    await put_config(client, ref.namespace, OTHER_CONFIG)
    name = names.restored_config_name(ref.name, first.revision)
    labels = {**owned_by(ref), names.LABEL_MANAGED_BY: names.MANAGED_BY}
    body = {"metadata": {"name": name, "labels": labels}, "data": {"inference_config.yaml": "x"}}
    await client.create(CONFIG_MAPS, body, ref.namespace)
    await restore(story, first.revision)
    config_map = await client.get(CONFIG_MAPS, name, ref.namespace)
    assert config_map["data"] == {"inference_config.yaml": CONFIG}


async def test_a_spec_that_can_not_be_read_is_no_hindrance(
    story: Story, client: KubernetesClient
) -> None:
    plan = await story.adopt()
    before = await spec_of(client, story.ref)
    await edit(client, story.ref, inference={"preset": {"name": "no-such-model"}})
    assert (await restore(story, plan.revision)).changed
    assert await spec_of(client, story.ref) == before


async def test_a_revision_that_nobody_recorded_is_refused_with_the_way_to_find_one(
    story: Story, client: KubernetesClient
) -> None:
    await story.adopt()
    error = await refusal(restore(story, "00000000"))
    assert error.type == "MissingReference"
    assert "kubectl get controllerrevisions" in error.message


async def test_a_record_of_an_earlier_workspace_of_that_name_does_not_count(
    story: Story, client: KubernetesClient
) -> None:
    plan = await story.adopt()
    name = names.workload_name(story.ref.name, plan.revision)
    obj = await client.get(CONTROLLER_REVISIONS, name, story.ref.namespace)
    obj["metadata"]["labels"][names.LABEL_WORKSPACE_UID] = "00000000-somebody-else"
    await client.replace(CONTROLLER_REVISIONS, obj, story.ref.namespace)
    error = await refusal(restore(story, plan.revision))
    assert error.type == "MissingReference"


async def test_a_workspace_that_is_gone_or_going_is_left_alone(
    story: Story, client: KubernetesClient
) -> None:
    plan = await story.adopt()
    await edit(client, story.ref, resource={"count": 3})
    await client.delete(WORKSPACES, story.ref.name, story.ref.namespace)
    assert (await restore(story, plan.revision)).superseded
    gone = story.ref.model_copy(update={"uid": "00000000-somebody-else"})
    result = await story.run(
        Restoring(story.ctx).restore_spec, p.RestoreSpecInput(workspace=gone, revision="a")
    )
    assert result.superseded


class Meddled(KubernetesClient):
    """A cluster in which somebody writes between every read of a record and the next write."""

    def __init__(self, client: KubernetesClient, ref: p.WorkspaceRef) -> None:
        super().__init__(client._configuration)
        self._ref = ref

    async def find(self, kind: Kind, name: str, namespace: str = "") -> dict[str, Any] | None:
        if kind is CONTROLLER_REVISIONS:
            await edit(self, self._ref, metadata={"labels": {"team": "a"}})
        return await super().find(kind, name, namespace)


async def test_a_write_of_somebody_else_in_between_is_tried_again_and_not_overwritten(
    story: Story, client: KubernetesClient
) -> None:
    plan = await story.adopt()
    await edit(client, story.ref, resource={"count": 3})
    meddled = Meddled(client, story.ref)
    context = dataclasses.replace(story.ctx, cluster=meddled)
    target = p.RestoreSpecInput(workspace=story.ref, revision=plan.revision)
    error = await refusal(story.run(Restoring(context).restore_spec, target))
    await meddled.close()
    assert (error.type, error.non_retryable) == ("Conflict", False)
    assert (await restore(story, plan.revision)).changed
    obj = await client.get(WORKSPACES, story.ref.name, story.ref.namespace)
    assert obj["metadata"]["labels"] == {"team": "a"}
