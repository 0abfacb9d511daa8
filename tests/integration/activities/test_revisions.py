"""Records of revisions: what they hold, what became of them, and which are forgotten."""

from __future__ import annotations

import json
from typing import Any

import pytest

from activities.clients.kubernetes import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    PODS,
    STATEFUL_SETS,
    WORKSPACES,
    KubernetesClient,
)
from activities.workspace.reading import owned_by
from activities.workspace.revisions import Revisions
from activities.workspace.workload import Workload
from api import names
from api import payloads as p
from api.payloads import RevisionOutcome
from api.version import VERSION
from tests import gen
from tests.harness.waiting import eventually
from tests.integration.activities.conftest import Runner
from tests.integration.activities.story import Story
from tests.integration.activities.test_rendered import begin, put_config


@pytest.fixture
async def story(ctx: Any, run: Runner, client: KubernetesClient, full_namespace: str) -> Story:
    """A Workspace whose settings make a new revision at each edit."""
    await edit(client, full_namespace, 100)
    obj = gen.workspace_object(namespace=full_namespace, inference={"config": "settings"})
    return await begin(ctx, run, client, obj)


async def edit(client: KubernetesClient, namespace: str, number: int) -> None:
    await put_config(client, namespace, f"vllm:\n  max-model-len: {1000 + number}\n")


async def record(client: KubernetesClient, ref: p.WorkspaceRef, revision: str) -> dict[str, Any]:
    name = names.workload_name(ref.name, revision)
    return await client.get(CONTROLLER_REVISIONS, name, ref.namespace)


async def several(story: Story, client: KubernetesClient, count: int, first: int = 0) -> list[str]:
    """Revisions with records, workloads of no pods and copies of settings, the oldest first."""
    found = []
    for number in range(first, first + count):
        await edit(client, story.ref.namespace, number)
        plan = await story.adopt()
        target = p.EnsureWorkloadInput(**story.of(plan), node_names=["nowhere"])
        await story.run(Workload(story.ctx).ensure_workload, target)
        await retire(story, plan.revision)
        found.append(plan.revision)
    return found


async def retire(story: Story, *revisions: str) -> p.RetireWorkloadsResult:
    target = p.RetireWorkloadsInput(
        workspace=story.ref, revisions=list(revisions), deadline_seconds=60
    )
    result: p.RetireWorkloadsResult = await story.run(Workload(story.ctx).retire_workloads, target)
    return result


async def mark(story: Story, revision: str, **changes: Any) -> list[str]:
    target = {"outcome": RevisionOutcome.GOOD, **changes}
    result = await story.run(
        Revisions(story.ctx).mark_revision,
        p.MarkRevisionInput(workspace=story.ref, revision=revision, **target),
    )
    pruned: list[str] = result.pruned
    return pruned


async def left(client: KubernetesClient, ref: p.WorkspaceRef) -> dict[str, set[str]]:
    """Revisions that still have an object of a kind."""
    return {
        kind.kind: {
            obj["metadata"]["labels"][names.LABEL_REVISION]
            for obj in await client.list(kind, ref.namespace, owned_by(ref))
            if obj["metadata"]["name"].startswith(f"{ref.name}-")
            and "controller.kubernetes.io/hash" not in obj["metadata"]["labels"]
        }
        for kind in (CONTROLLER_REVISIONS, STATEFUL_SETS, CONFIG_MAPS)
    }


# --- What is recorded -------------------------------------------------------------------------


async def test_a_record_says_what_it_was_made_from_by_whom_and_with_what(
    story: Story, client: KubernetesClient
) -> None:
    plan = await story.adopt()
    obj = await record(client, story.ref, plan.revision)
    assert obj["data"]["inference"]["preset"]["name"] == gen.PRESET
    assert obj["data"]["config"].startswith("vllm:")
    assert obj["data"]["preset"]["name"] == gen.PRESET
    assert [image.split("/")[0] for image in obj["data"]["images"]] == ["registry.test"]
    marks = obj["metadata"]["annotations"]
    assert marks[names.ANNOTATION_AUTHOR].startswith(f"{names.FIELD_MANAGER} at 20")
    assert marks[names.ANNOTATION_PLATFORM_VERSION] == VERSION
    assert len(marks[names.ANNOTATION_CATALOGUE_VERSION]) == 12


async def test_the_author_is_the_one_who_wrote_the_spec_last_and_not_the_status_or_a_label(
    story: Story, client: KubernetesClient
) -> None:
    ref = story.ref
    await story.adopt()
    await client._request(
        "PATCH",
        WORKSPACES.path(ref.namespace, ref.name),
        "patch",
        "workspaces",
        query={"fieldManager": "somebody"},
        body={"inference": {"adapters": []}, "resource": {"count": 2}},
        content_type="application/merge-patch+json",
    )
    await client.merge_patch(
        WORKSPACES, ref.name, {"metadata": {"labels": {"team": "a"}}}, ref.namespace
    )
    plan = await story.adopt()
    obj = await record(client, ref, plan.revision)
    assert obj["metadata"]["annotations"][names.ANNOTATION_AUTHOR].startswith("somebody at ")


async def test_a_revision_that_is_asked_for_again_is_the_newest_and_keeps_its_outcome(
    story: Story, client: KubernetesClient
) -> None:
    first, second = await several(story, client, 2)
    await mark(story, first)
    await edit(client, story.ref.namespace, 0)
    for _ in range(2):
        assert (await story.adopt()).revision == first
        assert (await record(client, story.ref, first))["revision"] == 3
    assert (await record(client, story.ref, second))["revision"] == 2
    annotations = (await record(client, story.ref, first))["metadata"]["annotations"]
    assert annotations[names.ANNOTATION_OUTCOME] == "Good"


# --- What became of it ------------------------------------------------------------------------


async def test_an_outcome_is_written_once(story: Story, client: KubernetesClient) -> None:
    plan = await story.adopt()
    given_up = {"outcome": RevisionOutcome.GIVEN_UP, "message": "the model server crashed"}
    await mark(story, plan.revision, **given_up)
    first = (await record(client, story.ref, plan.revision))["metadata"]
    assert first["annotations"][names.ANNOTATION_OUTCOME] == "GivenUp"
    assert first["annotations"][names.ANNOTATION_OUTCOME_MESSAGE] == given_up["message"]
    await mark(story, plan.revision, **given_up)
    second = (await record(client, story.ref, plan.revision))["metadata"]
    assert second["resourceVersion"] == first["resourceVersion"]


async def test_a_revision_that_serves_after_all_says_nothing_of_why_it_once_did_not(
    story: Story, client: KubernetesClient
) -> None:
    plan = await story.adopt()
    await mark(story, plan.revision, outcome=RevisionOutcome.GIVEN_UP, message="why")
    await mark(story, plan.revision)
    annotations = (await record(client, story.ref, plan.revision))["metadata"]["annotations"]
    assert annotations[names.ANNOTATION_OUTCOME] == "Good"
    assert names.ANNOTATION_OUTCOME_MESSAGE not in annotations
    assert names.ANNOTATION_AUTHOR in annotations


@pytest.mark.parametrize("text", ["<|user|> & \u00e9 \\n", "a: 0.90", "1e-05", "\U0001f680"])
async def test_a_record_of_any_text_can_be_marked(
    story: Story, client: KubernetesClient, text: str
) -> None:
    # The API server compares what is recorded byte by byte, and writes JSON otherwise than we do.
    data = {"inference_config.yaml": f"vllm:\n  # {text}\n  max-model-len: 9\n"}
    await client.merge_patch(CONFIG_MAPS, "settings", {"data": data}, story.ref.namespace)
    plan = await story.adopt()
    await mark(story, plan.revision)
    obj = await record(client, story.ref, plan.revision)
    assert obj["metadata"]["annotations"][names.ANNOTATION_OUTCOME] == "Good"
    assert text.strip() in obj["data"]["config"]


async def test_a_revision_that_served_says_which_bytes_its_images_were(
    story: Story, client: KubernetesClient
) -> None:
    ref = story.ref
    plan = await story.all_steps()
    pod = f"{names.workload_name(ref.name, plan.revision)}-0"
    obj = await client.get(PODS, pod, ref.namespace)
    image = obj["spec"]["containers"][0]["image"]
    digest = f"{image.rpartition(':')[0]}@sha256:{'0' * 64}"
    statuses = obj["status"]["containerStatuses"]
    statuses[0]["imageID"] = digest
    await client.merge_patch(
        PODS, pod, {"status": {"containerStatuses": statuses}}, ref.namespace, "status"
    )

    async def is_seen() -> bool:
        seen = story.ctx.informers.pods.get(pod, ref.namespace) or {}
        return bool(seen["status"]["containerStatuses"][0]["imageID"] == digest)

    await eventually(is_seen, what="the digest in the informer")
    await mark(story, plan.revision)
    annotations = (await record(client, ref, plan.revision))["metadata"]["annotations"]
    assert json.loads(annotations[names.ANNOTATION_IMAGES]) == {image: digest}


async def test_a_record_that_is_gone_is_no_error(story: Story) -> None:
    assert await mark(story, "00000000") == []


# --- What is forgotten ------------------------------------------------------------------------


async def test_the_oldest_are_forgotten_with_their_workloads_and_settings(
    story: Story, client: KubernetesClient
) -> None:
    revisions = await several(story, client, 4)
    assert await mark(story, revisions[3], history_limit=2) == revisions[:2]
    assert await left(client, story.ref) == {
        "ControllerRevision": set(revisions[2:]),
        "StatefulSet": set(revisions[2:]),
        "ConfigMap": set(revisions[2:]),
    }
    assert await mark(story, revisions[3], history_limit=2) == []
    assert await client.find(CONFIG_MAPS, "settings", story.ref.namespace) is not None


async def test_what_may_be_gone_back_to_is_kept_however_old(
    story: Story, client: KubernetesClient
) -> None:
    revisions = await several(story, client, 3)
    pruned = await mark(story, revisions[2], history_limit=1, keep=[revisions[0]])
    assert pruned == [revisions[1]]
    assert (await left(client, story.ref))["ControllerRevision"] == {revisions[0], revisions[2]}


async def test_a_revision_with_pods_and_the_one_that_gets_the_traffic_are_kept(
    story: Story, client: KubernetesClient
) -> None:
    serving = await story.all_steps()
    revisions = await several(story, client, 3)
    assert await mark(story, revisions[2], history_limit=1) == revisions[:2]
    assert serving.revision in (await left(client, story.ref))["ControllerRevision"]
    # Its pods gone, the Service still points at it.
    await retire(story, serving.revision)
    assert await mark(story, revisions[2], history_limit=1) == []


async def test_the_settings_that_the_live_spec_names_stay(
    story: Story, client: KubernetesClient
) -> None:
    first, second = await several(story, client, 2)
    name = names.restored_config_name(story.ref.name, first)
    labels = {**owned_by(story.ref), names.LABEL_REVISION: first}
    body = {"metadata": {"name": name, "labels": labels}, "data": {"a": "b"}}
    await client.create(CONFIG_MAPS, body, story.ref.namespace)
    await client.merge_patch(
        WORKSPACES, story.ref.name, {"inference": {"config": name}}, story.ref.namespace
    )
    assert await mark(story, second, history_limit=1) == [first]
    assert await client.find(CONFIG_MAPS, name, story.ref.namespace) is not None
    # Once the spec names others, they go with the next revision that is forgotten.
    await client.merge_patch(
        WORKSPACES, story.ref.name, {"inference": {"config": "settings"}}, story.ref.namespace
    )
    (third,) = await several(story, client, 1, first=2)
    assert await mark(story, third, history_limit=1) == [second]
    assert await client.find(CONFIG_MAPS, name, story.ref.namespace) is None


# --- To nothing, and back ---------------------------------------------------------------------


async def test_a_workload_is_scaled_to_nothing_and_back_and_nothing_of_it_is_lost(
    story: Story, client: KubernetesClient
) -> None:
    ref = story.ref
    plan = await story.all_steps()
    before = await left(client, ref)
    name = names.workload_name(ref.name, plan.revision)
    uid = (await client.get(STATEFUL_SETS, name, ref.namespace))["metadata"]["uid"]
    assert (await retire(story, plan.revision)).retired == [name]
    labels = {**owned_by(ref), names.LABEL_ROLE: names.ROLE_INFERENCE}
    assert await client.list(PODS, ref.namespace, labels) == []
    workload = await client.get(STATEFUL_SETS, name, ref.namespace)
    assert (workload["spec"]["replicas"], workload["status"]["replicas"]) == (0, 0)
    assert await left(client, ref) == before
    await retire(story, plan.revision)
    again = await client.get(STATEFUL_SETS, name, ref.namespace)
    assert again["metadata"]["resourceVersion"] == workload["metadata"]["resourceVersion"]
    await story.all_steps()
    workload = await client.get(STATEFUL_SETS, name, ref.namespace)
    assert workload["metadata"]["uid"] == uid
    pods = await client.list(PODS, ref.namespace, labels)
    assert [pod["metadata"]["name"] for pod in pods] == [f"{name}-0"]


async def test_a_workload_that_is_not_there_is_retired(story: Story) -> None:
    assert (await retire(story, "00000000")).retired == ["chat-00000000"]
