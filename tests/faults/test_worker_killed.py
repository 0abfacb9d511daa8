"""The worker dies with SIGKILL in the middle of a step, and everything goes on where it was.

Each step has a Workspace of its own, and the worker is killed when that one's step has begun; the
others are hit wherever they are. So a run is many times harsher than one kill.
"""

from __future__ import annotations

import asyncio

import pytest

from activities.clients.kubernetes import NODE_CLAIMS
from api import names
from tests.harness.platform import NAMESPACE, Platform, workspace
from tests.harness.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

# In groups, so that test processes can share them.
COMING = (
    ("plan_workspace", "adopt_workspace", "ensure_node_claims", "await_nodes"),
    ("pull_images", "ensure_workload", "await_workload", "verify_endpoint", "ensure_traffic"),
    ("launch_node", "await_node_initialized", "report_node_claim"),
)
MACHINE_COMES = COMING[2]
DELETING = ("delete_workloads", "delete_node_claims", "prove_deleted", "release_workspace")
MACHINE_GOES = ("terminate_node", "release_node_claim")
STEP_SECONDS = 240.0
"""240 s for a step to begin while the worker is killed a dozen times around it."""


class Killer:
    """Kills the platform's worker and starts it again, one at a time."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.kills_count = 0
        self._lock = asyncio.Lock()

    async def kill_at(self, workflow_id: str, step: str) -> None:
        await self.platform.until_activity(workflow_id, step, seconds=STEP_SECONDS)
        async with self._lock:
            self.platform.kill_worker()
            self.platform.start_worker()
            self.kills_count += 1
            # A worker that never comes up between two kills would prove nothing.
            await self.platform.until_worker_ready()


def _name(step: str) -> str:
    return step.replace("_", "-")


def _workflow(step: str) -> str:
    return names.workspace_workflow_id(NAMESPACE, _name(step))


async def _claim_workflow(platform: Platform, step: str) -> str:
    claims = await eventually(
        lambda: platform.owned(NODE_CLAIMS, _name(step)), what="a claim", seconds=STEP_SECONDS
    )
    return names.node_claim_workflow_id(claims[0]["metadata"]["name"])


@pytest.mark.parametrize("steps", COMING, ids=["nodes", "workload", "machine"])
async def test_a_workspace_becomes_ready_whatever_step_its_worker_dies_at(
    platform: Platform, steps: tuple[str, ...]
) -> None:
    killer = Killer(platform)
    # Refuses until the worker died at it: otherwise verification is over in no time.
    platform.model.is_healthy = "verify_endpoint" not in steps

    async def live_through(step: str) -> None:
        await platform.apply(workspace(_name(step)))
        if step in MACHINE_COMES:
            workflow_id = await _claim_workflow(platform, step)
        else:
            workflow_id = _workflow(step)
        await killer.kill_at(workflow_id, step)
        if step == "verify_endpoint":
            platform.model.is_healthy = True

    async with asyncio.TaskGroup() as lives:
        for step in steps:
            lives.create_task(live_through(step))
    for step in steps:
        await platform.until_phase(_name(step), "Ready", seconds=STEP_SECONDS)
        await platform.assert_one_of_each(_name(step))
    assert killer.kills_count == len(steps)
    assert len(platform.cloud.ledger) == len(steps), "each machine was bought once"


async def test_a_deletion_leaves_nothing_whatever_step_its_worker_dies_at(
    platform: Platform,
) -> None:
    killer = Killer(platform)
    steps = DELETING + MACHINE_GOES

    async def die_through(step: str) -> None:
        await platform.apply(workspace(_name(step)))
        workflow_id = _workflow(step)
        if step in MACHINE_GOES:
            workflow_id = await _claim_workflow(platform, step)
        await platform.until_phase(_name(step), "Ready")
        await platform.delete(_name(step))
        await killer.kill_at(workflow_id, step)

    async with asyncio.TaskGroup() as deaths:
        for step in steps:
            deaths.create_task(die_through(step))
    for step in steps:
        await platform.until_gone(_name(step), seconds=STEP_SECONDS)
    await platform.assert_nothing_left()
    assert killer.kills_count == len(steps)


async def test_a_worker_that_dies_again_and_again_is_no_reason_to_start_over(
    platform: Platform,
) -> None:
    await platform.apply(workspace("phi"))
    workflow_id = names.workspace_workflow_id(NAMESPACE, "phi")
    for step in ("await_nodes", "pull_images", "await_workload"):
        await platform.until_activity(workflow_id, step)
        platform.kill_worker()
        platform.start_worker()
    await platform.until_phase("phi", "Ready")
    await platform.assert_one_of_each("phi")
    scheduled = await platform.scheduled(workflow_id)
    assert scheduled.count("ensure_workload") == 1
    assert scheduled.count("ensure_node_claims") == 1


async def test_a_worker_that_is_told_to_stop_hands_its_waits_over(platform: Platform) -> None:
    await platform.apply(workspace("phi"))
    await platform.until_activity(names.workspace_workflow_id(NAMESPACE, "phi"), "await_nodes")
    platform.start_worker("worker-2")
    await platform.until_worker_ready("worker-2")
    assert await platform.workers["worker-1"].stop(seconds=20) == 0
    # Without the hand-over the wait would only go on after its heartbeat's 10 s of silence.
    await platform.until_phase("phi", "Ready", seconds=9)
    await platform.assert_one_of_each("phi")
