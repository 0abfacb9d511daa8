"""Edits of a Workspace that serves: in place, by surge, told beforehand, measured, recorded."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from api.errors import AccessDenied, DeadlineExceeded, RuntimeFailed
from api.payloads import (
    EventKind,
    LifecyclePhase,
    OperatorOrder,
    ReportInput,
    RevisionOutcome,
    RolloutMode,
    Step,
    StepState,
)
from tests.workflow.conftest import WorkspaceEntity
from tests.workflow.fake_world import FakeWorld

STEPS_IN_PLACE = [
    "pull_images",
    "retire_workloads",
    "ensure_workload",
    "await_workload",
    "verify_endpoint",
    "ensure_traffic",
    "mark_revision",
    "report_status",
]
STEPS_OF_A_SURGE = [
    "pull_images",
    "ensure_workload",
    "await_workload",
    "verify_endpoint",
    "ensure_traffic",
    "mark_revision",
    "report_status",
    "retire_workloads",
    "report_status",
]


async def ready(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)


async def edited(entity: WorkspaceEntity, world: FakeWorld, spec: str = "b") -> ReportInput:
    """Edit a Workspace that is ready, and wait until it is so again."""
    world.edit(spec)
    await entity.tell()
    await world.until(
        lambda: (
            world.reports[-1].phase is LifecyclePhase.READY
            and world.reports[-1].active_revision == f"rev-{spec}"
        )
    )
    return world.reports[-1]


async def test_in_place_the_old_goes_before_the_new_comes(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    before = len(world.calls)
    report = await edited(entity, world)
    calls = world.calls[before:]
    assert calls[calls.index("pull_images") :] == STEPS_IN_PLACE
    assert world.retired == [["rev-a"]]
    assert world.mine.stopped == {"rev-a"}, "the old workload is kept to go back to"
    assert Step.RETIRE not in {record.step for record in report.timeline}


async def test_by_surge_the_old_serves_until_the_traffic_has_moved(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.mode = RolloutMode.SURGE
    await ready(entity, world)
    before = len(world.calls)
    report = await edited(entity, world)
    calls = world.calls[before:]
    assert calls[calls.index("pull_images") :] == STEPS_OF_A_SURGE
    assert world.retired == [["rev-a"]]
    assert report.timeline[-1].step is Step.RETIRE
    assert report.timeline[-1].state is StepState.DONE


async def test_while_the_old_drains_the_status_names_the_new_one_as_active(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.mode = RolloutMode.SURGE
    await ready(entity, world)
    world.close_gate("retire_workloads")
    world.edit("b")
    await entity.tell()
    await world.until(lambda: world.running["retire_workloads"] == 1)
    assert world.reports[-1].active_revision == "rev-b"
    assert world.mine.records["rev-b"] is RevisionOutcome.GOOD
    world.open_gate("retire_workloads")
    await world.until_phase(LifecyclePhase.READY)


async def test_by_surge_pods_that_never_served_are_in_the_way_of_the_next_edit(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.mode = RolloutMode.SURGE
    await ready(entity, world)
    world.close_gate("await_workload")
    world.edit("b")
    await entity.tell()
    await world.until(lambda: world.running["await_workload"] == 1)
    world.edit("c")
    await entity.tell()
    world.open_gate("await_workload")
    await world.until(lambda: world.mine.service == "rev-c")
    await world.until_phase(LifecyclePhase.READY)
    assert world.retired[0] == ["rev-b"], "what serves was not stopped with it"
    assert world.mine.stopped == {"rev-a", "rev-b"}


async def test_old_pods_that_do_not_end_are_waited_for_and_the_new_revision_stays(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.mode = RolloutMode.SURGE
    await ready(entity, world)
    world.fail("retire_workloads", DeadlineExceeded("pod w-rev-a-0 does not end"))
    world.edit("b")
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.WAITING)
    assert report.given_up is None
    assert world.mine.service == "rev-b"
    await environment.sleep(timedelta(seconds=60))
    await world.until_phase(LifecyclePhase.READY)
    assert world.mine.workloads == {"rev-b": True}


async def test_a_rollout_is_announced_once_at_its_beginning(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    assert all(note.reason != "RolloutStarted" for note in world.events.values())
    world.close_gate("pull_images")
    world.edit("b")
    await entity.tell()
    await world.until(lambda: world.running["pull_images"] == 1)
    told = [note for note in world.events.values() if note.reason == "RolloutStarted"]
    assert [(note.kind, note.message) for note in told] == [(EventKind.NORMAL, "rev-a to rev-b")]
    world.open_gate("pull_images")
    await world.until_phase(LifecyclePhase.READY)
    told = [note for note in world.events.values() if note.reason == "RolloutStarted"]
    assert len(told) == 1


async def test_the_same_edit_made_twice_is_announced_twice(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    for spec in "bab":
        await edited(entity, world, spec)
    told = [note.message for note in world.events.values() if note.reason == "RolloutStarted"]
    assert told == ["rev-a to rev-b", "rev-b to rev-a", "rev-a to rev-b"]


async def test_in_place_the_seconds_without_an_answer_are_measured_and_told(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    await entity.settled()
    # The second attempt begins 24 to 36 s later, and nobody answers meanwhile.
    world.auto_rollback = False
    world.fail("await_workload", RuntimeFailed("crash loop"))
    world.edit("b")
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    await environment.sleep(timedelta(seconds=40))
    report = await world.until_phase(LifecyclePhase.READY)
    traffic = next(record for record in report.timeline if record.step is Step.TRAFFIC)
    words, seconds = traffic.message.rsplit(" ", 2)[0], float(traffic.message.split()[-2])
    assert words == "nobody answered for"
    assert 20 < seconds < 60
    assert report.history[-1].message == traffic.message


async def test_by_surge_there_is_nothing_to_measure(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.mode = RolloutMode.SURGE
    await ready(entity, world)
    report = await edited(entity, world)
    assert {record.message for record in report.timeline} == {""}
    assert report.history[-1].message == ""


async def test_a_first_revision_is_marked_good_when_it_serves_and_never_again(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    assert [(mark.revision, mark.outcome) for mark in world.marks] == [
        ("rev-a", RevisionOutcome.GOOD)
    ]
    await environment.sleep(timedelta(hours=3))
    assert len(world.marks) == 1


async def test_a_mark_that_could_not_be_written_is_no_failure_and_is_made_up_for(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.fail("mark_revision", AccessDenied("may not patch controllerrevisions"))
    await ready(entity, world)
    assert world.reports[-1].problem is None
    await entity.tell_owned()
    await world.until(lambda: world.mine.records["rev-a"] is RevisionOutcome.GOOD)


async def test_what_serves_and_what_was_kept_is_never_forgotten(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    await edited(entity, world)
    assert world.marks[-1].keep == ["rev-a", "rev-b"]
    assert world.marks[-1].history_limit == 10


async def test_a_pause_holds_a_rollout_between_its_steps(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.mode = RolloutMode.SURGE
    await ready(entity, world)
    world.close_gate("await_workload")
    world.edit("b")
    await entity.tell()
    await world.until(lambda: world.running["await_workload"] == 1)
    await entity.signal("pause", OperatorOrder(reason="watch it"))
    world.open_gate("await_workload")
    await world.until_phase(LifecyclePhase.PAUSED)
    assert world.mine.service == "rev-a"
    assert set(world.mine.workloads) == {"rev-a", "rev-b"}
    await entity.signal("resume")
    await world.until(lambda: world.mine.service == "rev-b")
    await world.until_phase(LifecyclePhase.READY)
    assert world.mine.workloads == {"rev-b": True}


@pytest.mark.parametrize("mode", [RolloutMode.IN_PLACE, RolloutMode.SURGE])
async def test_pods_that_no_step_needs_out_of_its_way_are_stopped_all_the_same(
    entity: WorkspaceEntity, world: FakeWorld, mode: RolloutMode
) -> None:
    await ready(entity, world)
    world.mode = mode
    world.mine.workloads["rev-old"] = True
    await entity.tell_owned()
    await world.until(lambda: world.mine.stopped == {"rev-old"})
    assert world.mine.workloads == {"rev-a": True}


async def test_the_status_query_tells_the_rollout(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    world.close_gate("pull_images")
    world.edit("b")
    await entity.tell()
    await world.until(lambda: world.running["pull_images"] == 1)
    view = await entity.query("status")
    assert (view["mode"], view["announcement"]) == ("InPlace", "rev-a to rev-b")
    assert (view["revision"], view["spec_revision"]) == ("rev-b", "rev-b")
    assert view["recorded"][0]["revision"] == "rev-a"
    world.open_gate("pull_images")
    await world.until_phase(LifecyclePhase.READY)


async def test_an_edit_in_place_costs_no_more_than_a_cold_start(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    before = len(world.calls)
    await edited(entity, world)
    assert len(world.calls[before:]) <= 15
