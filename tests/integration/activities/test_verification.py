"""A revision is verified before it counts, and its failure is told in seconds."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

import pytest

from activities.clients.kubernetes import PODS, KubernetesClient
from activities.context import ActivityContext
from activities.workspace.endpoint import Endpoint
from activities.workspace.workload import NO_ROOM_SECONDS, Workload
from api import names
from api import payloads as p
from tests import gen
from tests.harness.model_stub import ModelStub
from tests.harness.waiting import eventually
from tests.integration.activities.conftest import MODEL, Runner
from tests.integration.activities.story import Story, refusal
from tests.integration.activities.test_rendered import begin

MAX_SECONDS_TO_TELL = 5.0
"""Of the 15 that detection may take with a real kubelet; here nothing has to be pulled or start."""

DEADLINE_SECONDS = 300


@pytest.fixture
async def story(
    ctx: ActivityContext, run: Runner, client: KubernetesClient, full_namespace: str
) -> Story:
    adapter = {"source": {"name": "style", "image": "registry.test/style:1"}}
    obj = gen.workspace_object(namespace=full_namespace, inference={"adapters": [adapter]})
    return await begin(ctx, run, client, obj)


async def verify(story: Story) -> p.VerifyEndpointResult:
    plan = await story.adopt()
    result: p.VerifyEndpointResult = await story.run(
        Endpoint(story.ctx).verify_endpoint,
        p.VerifyEndpointInput(
            **story.of(plan), served_model_name=MODEL, deadline_seconds=DEADLINE_SECONDS
        ),
    )
    return result


async def test_a_server_that_lists_the_model_and_its_adapters_is_verified(
    story: Story, model: ModelStub
) -> None:
    model.adapters = ["style"]
    assert (await verify(story)).model == MODEL


async def test_an_adapter_that_is_not_listed_is_a_failure_that_names_it(
    story: Story, model: ModelStub
) -> None:
    model.adapters = ["another"]
    error = await refusal(verify(story))
    assert error.type == "RuntimeFailed"
    assert "not the adapter style" in error.message


@pytest.mark.parametrize(
    "text", ["<html>hello</html>", "[]", "5", "null", '{"data": null}', '{"data": {"id": "x"}}', ""]
)
async def test_garbage_on_v1_models_is_a_failure_at_once_and_in_clear_words(
    story: Story, model: ModelStub, text: str
) -> None:
    model.models_text = text
    begun = time.monotonic()
    error = await refusal(verify(story))
    assert time.monotonic() - begun < MAX_SECONDS_TO_TELL
    assert (error.type, error.non_retryable) == ("RuntimeFailed", True)
    assert "/v1/models answers" in error.message
    assert "inference.preset.presetOptions.image" in error.message


async def test_a_server_that_does_not_listen_yet_is_waited_for(
    story: Story, model: ModelStub
) -> None:
    model.adapters = ["style"]
    model.is_healthy = False

    async def recover() -> None:
        await asyncio.sleep(0.5)
        model.is_healthy = True

    recovery = asyncio.create_task(recover())
    assert (await verify(story)).model == MODEL
    await recovery


# --- Pods that fail ---------------------------------------------------------------------------


async def started(story: Story, client: KubernetesClient) -> tuple[p.WorkspacePlan, str]:
    """A revision whose one pod is on no node, so that nobody but the test writes its status."""
    plan = await story.adopt()
    target = p.EnsureWorkloadInput(**story.of(plan), node_names=["nowhere"])
    await story.run(Workload(story.ctx).ensure_workload, target)
    pod = f"{names.workload_name(story.ref.name, plan.revision)}-0"

    async def is_there() -> bool:
        return await client.find(PODS, pod, story.ref.namespace) is not None

    await eventually(is_there, what=f"the pod {pod}")
    return plan, pod


def waiting(
    story: Story, plan: p.WorkspacePlan, ctx: ActivityContext | None = None
) -> asyncio.Future[Any]:
    target = p.AwaitWorkloadInput(**story.of(plan), replicas=1, deadline_seconds=DEADLINE_SECONDS)
    return asyncio.ensure_future(story.run(Workload(ctx or story.ctx).await_workload, target))


def crashed(restart_count: int, reason: str, code: int, message: str = "") -> dict[str, Any]:
    ended = {"exitCode": code, "reason": reason, **({"message": message} if message else {})}
    return {
        "name": "chat",
        "image": "x",
        "imageID": "",
        "ready": False,
        "restartCount": restart_count,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
        "lastState": {"terminated": ended},
    }


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (crashed(1, "Error", 1, "no such layer"), "exit code 1"),
        # Its log can't be had: no kubelet is there. That hides nothing.
        (crashed(1, "Error", 3), "exit code 3"),
        (crashed(1, "OOMKilled", 137), "more memory"),
    ],
)
async def test_a_pod_that_can_not_start_is_told_within_seconds(
    story: Story, client: KubernetesClient, status: dict[str, Any], told: str
) -> None:
    plan, pod = await started(story, client)
    wait = waiting(story, plan)
    await asyncio.sleep(0.2)
    begun = time.monotonic()
    await client.merge_patch(
        PODS,
        pod,
        {"status": {"phase": "Running", "containerStatuses": [status]}},
        story.ref.namespace,
        "status",
    )
    error = await refusal(wait)
    assert time.monotonic() - begun < MAX_SECONDS_TO_TELL
    assert error.type == "RuntimeFailed"
    assert told in error.message
    assert pod in error.message


class WithLogs(KubernetesClient):
    """A cluster with a log: the harness has no kubelet (`tests/activities` reads over HTTP)."""

    def __init__(self, client: KubernetesClient) -> None:
        super().__init__(client._configuration)
        self.asked: list[tuple[str, str, bool]] = []

    async def read_log(
        self, pod: str, namespace: str, *, container: str, previous: bool, tail_lines: int
    ) -> str:
        self.asked.append((pod, container, previous))
        return "loading\nRuntimeError: layer 7 is missing; HF_TOKEN=abcdefgh\n"


async def test_the_last_lines_of_the_log_are_told_where_the_status_holds_none(
    story: Story, client: KubernetesClient
) -> None:
    plan, pod = await started(story, client)
    logging = WithLogs(client)
    context = dataclasses.replace(story.ctx, cluster=logging)
    wait = waiting(story, plan, context)
    status = {"phase": "Running", "containerStatuses": [crashed(2, "Error", 1)]}
    await client.merge_patch(PODS, pod, {"status": status}, story.ref.namespace, "status")
    error = await refusal(wait)
    await logging.close()
    assert "layer 7 is missing" in error.message
    assert "abcdefgh" not in error.message
    assert logging.asked == [(pod, "chat", True)]


async def test_a_server_that_crashes_at_its_first_question_is_told_within_seconds(
    story: Story, client: KubernetesClient, model: ModelStub
) -> None:
    model.is_healthy = False
    plan, pod = await started(story, client)
    target = p.VerifyEndpointInput(
        **story.of(plan), served_model_name=MODEL, deadline_seconds=DEADLINE_SECONDS
    )
    wait = asyncio.ensure_future(story.run(Endpoint(story.ctx).verify_endpoint, target))
    await asyncio.sleep(0.2)
    begun = time.monotonic()
    ended = crashed(1, "Error", 1, "RuntimeError: device-side assert triggered")
    status = {"phase": "Running", "containerStatuses": [ended]}
    await client.merge_patch(PODS, pod, {"status": status}, story.ref.namespace, "status")
    error = await refusal(wait)
    assert time.monotonic() - begun < MAX_SECONDS_TO_TELL
    assert "device-side assert triggered" in error.message


async def test_a_pod_that_no_node_has_room_for_is_told_before_fifteen_seconds(
    story: Story, client: KubernetesClient
) -> None:
    plan, _ = await started(story, client)
    begun = time.monotonic()
    error = await refusal(waiting(story, plan))
    assert NO_ROOM_SECONDS <= time.monotonic() - begun < 15
    assert error.type == "InsufficientCapacity"
    assert "no node has had room" in error.message
