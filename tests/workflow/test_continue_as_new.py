"""A life in many runs is the same life: every run goes on where the one before it stopped."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from api.errors import InsufficientCapacity, MissingReference, RuntimeFailed
from api.payloads import LifecyclePhase
from tests.workflow.conftest import WorkspaceEntity
from tests.workflow.entity import claims_told
from tests.workflow.fake_world import FakeWorld


@pytest.fixture(autouse=True)
def _a_run_a_pass(entity: WorkspaceEntity) -> None:
    entity.passes_per_run = 1


async def test_a_ready_workspace_stays_ready_and_is_not_reported_again(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    reports_count = len(world.reports)
    for plans_count in (2, 3, 4):
        await entity.tell_owned()
        await world.until_count("plan_workspace", plans_count)
    assert (await entity.query("status"))["phase"] == "Ready"
    assert len(world.reports) == reports_count
    assert len(await entity.histories()) >= 4


async def test_an_edit_a_failure_and_a_deletion_go_through(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    await entity.settled()
    world.auto_rollback = False  # It is tried again and again.
    world.fail("await_workload", RuntimeFailed("crash loop"), times=2)
    world.edit("b")
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    await environment.sleep(timedelta(minutes=5))
    report = await world.until_phase(LifecyclePhase.READY)
    assert [record.revision for record in report.history] == ["rev-a", "rev-b"]
    await entity.settled()
    world.delete()
    await entity.tell()
    await entity.ended()
    assert world.workspace is None
    assert world.owned["uid-1"].leftovers() == []


async def test_the_delays_of_retries_grow_from_run_to_run(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.fail("await_workload", RuntimeFailed("crash loop"), times=3)
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    # Delays of 30, 60 and 120 s, each up to 20 % shorter or longer.
    await environment.sleep(timedelta(seconds=110))
    await world.until(lambda: world.count("await_workload") == 3)
    await environment.sleep(timedelta(seconds=50))
    assert world.count("await_workload") == 3
    await environment.sleep(timedelta(seconds=100))
    await world.until_phase(LifecyclePhase.READY)


async def test_a_block_is_remembered(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.fail("pull_images", MissingReference("no such image"))
    await entity.tell()
    await world.until_phase(LifecyclePhase.FAILED)
    await environment.sleep(timedelta(hours=1))
    assert world.count("pull_images") == 1
    assert len(await entity.histories()) >= 4


async def test_a_pause_is_remembered(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    await entity.signal("pause", "audit")
    await world.until_phase(LifecyclePhase.PAUSED)
    world.mine.service = ""
    await environment.sleep(timedelta(hours=1))
    assert world.mine.service == ""
    await entity.signal("resume")
    await world.until(lambda: world.mine.service == "rev-a")


async def test_a_retry_at_the_end_of_a_run_reaches_the_claims_all_the_same(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.fail("await_nodes", InsufficientCapacity("all machines are taken"))
    world.close_gate("await_nodes")
    await entity.tell()
    await world.until(lambda: world.running["await_nodes"] == 1)
    world.close_gate("report_status")
    world.open_gate("await_nodes")
    await world.until(lambda: world.running["report_status"] == 1)
    await entity.signal("retry")
    world.open_gate("report_status")
    await world.until_phase(LifecyclePhase.READY)
    told = [claim for history in await entity.histories() for claim in claims_told(history)]
    assert len(told) == 1


async def test_no_hint_of_a_burst_is_lost_between_runs(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    for number in range(20):
        world.edit(f"edit{number}")
        await entity.tell()
    await world.until(lambda: world.mine.service == "rev-edit19")
    assert list(world.mine.workloads) == ["rev-edit19"]
