"""From an applied Workspace to Ready: the order of things, and what it costs."""

from __future__ import annotations

from api.payloads import LifecyclePhase, Step, StepState
from tests.workflow.conftest import WorkspaceEntity
from tests.workflow.entity import activities
from tests.workflow.fake_world import FakeWorld

MAX_ACTIVITIES = 15
MAX_EVENTS = 150
MAX_WRITES = 12


async def test_the_steps_run_in_order_and_end_ready(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    assert world.calls == [
        "plan_workspace",
        "adopt_workspace",
        "report_status",
        "ensure_node_claims",
        "await_nodes",
        "pull_images",
        "ensure_workload",
        "await_workload",
        "verify_endpoint",
        "ensure_traffic",
        "mark_revision",
        "report_status",
    ]
    assert world.mine.service == "rev-a"


async def test_it_stays_within_the_budget_of_a_cold_start(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.close_gate("await_nodes")
    await entity.tell()
    await world.until(lambda: world.running["await_nodes"] == 1)
    await entity.tell_owned()
    world.open_gate("await_nodes")
    await world.until_phase(LifecyclePhase.READY)
    await world.until(lambda: world.count("plan_workspace") == 2)
    (history,) = await entity.histories()
    assert len(activities(history)) <= MAX_ACTIVITIES
    assert len(history.events) <= MAX_EVENTS
    assert world.writes_count <= MAX_WRITES


async def test_the_last_report_tells_every_step_and_the_operation(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.READY)
    assert [record.step for record in report.timeline] == [
        step for step in Step if step is not Step.RETIRE
    ]
    assert {record.state for record in report.timeline} == {StepState.DONE}
    assert [record.outcome for record in report.history] == ["Succeeded"]
    assert report.node_names == ["node-of-claim-uid-1-0"]
    assert report.active_revision == "rev-a"


async def test_what_works_otherwise_than_one_may_think_is_told_in_the_status(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.warnings = ["resource.count is raised to 2"]
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.READY)
    assert report.warnings == ["resource.count is raised to 2"]
    assert report.target_node_count == 1


async def test_pods_of_the_users_own_are_served_without_being_asked(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.is_model_known = False
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.READY)
    assert "verify_endpoint" not in world.calls
    assert report.active_revision == report.revision
