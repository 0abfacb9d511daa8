"""Each activity fails in each way; the Workspace gets there all the same, or says what it needs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from api.errors import (
    AccessDenied,
    ClusterUnavailable,
    DeadlineExceeded,
    InsufficientCapacity,
    MissingReference,
    PlatformError,
    RuntimeFailed,
)
from api.payloads import EventKind, LifecyclePhase, Problem, StepState
from tests.workflow.conftest import WorkspaceEntity
from tests.workflow.fake_world import FakeWorld

STEPS = (
    "ensure_node_claims",
    "await_nodes",
    "pull_images",
    "ensure_workload",
    "await_workload",
    "verify_endpoint",
    "ensure_traffic",
)
ALL = ("plan_workspace", "adopt_workspace", *STEPS)


@pytest.mark.parametrize("name", [*ALL, "report_status"])
async def test_an_unreachable_cluster_is_retried_and_not_shown(
    entity: WorkspaceEntity, world: FakeWorld, name: str
) -> None:
    world.fail(name, ClusterUnavailable("connection refused"), times=2)
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    assert all(report.problem is None for report in world.reports)
    assert all(note.kind is EventKind.NORMAL for note in world.events.values())


@pytest.mark.parametrize("name", ALL)
async def test_a_full_zone_is_shown_and_tried_again_by_itself(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld, name: str
) -> None:
    world.fail(name, InsufficientCapacity("no machine free"))
    await entity.tell()
    if name != "plan_workspace":  # Before the first plan there is nothing to report about.
        report = await world.until_phase(LifecyclePhase.WAITING)
        assert report.problem == Problem(reason="InsufficientCapacity", message="no machine free")
        assert [note.reason for note in world.events.values()] == ["InsufficientCapacity"]
    else:
        await world.until(lambda: world.count("plan_workspace") == 1)
    await environment.sleep(timedelta(seconds=60))
    report = await world.until_phase(LifecyclePhase.READY)
    assert report.problem is None
    assert world.count(name) == 2


@pytest.mark.parametrize("name", ["adopt_workspace", *STEPS])
async def test_what_only_an_edit_mends_waits_for_the_edit(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld, name: str
) -> None:
    world.fail(name, MissingReference("no such image"))
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.FAILED)
    assert report.problem == Problem(reason="MissingReference", message="no such image")
    assert [record.outcome for record in report.history] == ["Failed"]
    plans_count = world.count("plan_workspace")
    await environment.sleep(timedelta(minutes=13))
    await world.until(lambda: world.count("plan_workspace") > plans_count)
    assert world.count(name) == 1, "a resync tried again what only an edit mends"
    world.edit("b")
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.READY)
    assert report.active_revision == "rev-b"


@pytest.mark.parametrize("error", [DeadlineExceeded, AccessDenied, RuntimeFailed])
async def test_every_slow_class_waits_and_comes_back(
    environment: WorkflowEnvironment,
    entity: WorkspaceEntity,
    world: FakeWorld,
    error: type[PlatformError],
) -> None:
    world.fail("await_workload", error("in its own words"))
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.WAITING)
    assert report.problem == Problem(reason=error.reason(), message="in its own words")
    waiting = next(record for record in report.timeline if record.step == "workload")
    assert (waiting.state, waiting.reason) == (StepState.WAITING, error.reason())
    await environment.sleep(timedelta(seconds=60))
    report = await world.until_phase(LifecyclePhase.READY)
    done = next(record for record in report.timeline if record.step == "workload")
    assert (done.state, done.attempts, done.reason) == (StepState.DONE, 2, "")


async def test_the_delay_between_attempts_grows(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.fail("await_workload", RuntimeFailed("crash loop"), times=3)
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    # 30 s, then 60 s, each with up to 20 % of jitter: after 24 to 36 s, then after 72 to 108 s.
    await environment.sleep(timedelta(seconds=40))
    await world.until(lambda: world.count("await_workload") == 2)
    await environment.sleep(timedelta(seconds=30))
    assert world.count("await_workload") == 2
    await environment.sleep(timedelta(seconds=45))
    await world.until(lambda: world.count("await_workload") == 3)


async def test_the_same_failure_again_makes_no_second_event(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.fail("await_workload", RuntimeFailed("crash loop"), times=3)
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    for attempts in (2, 3, 4):
        await environment.sleep(timedelta(minutes=5))
        await world.until_count("await_workload", attempts)
    await world.until_phase(LifecyclePhase.READY)
    assert [note.reason for note in world.events.values()] == ["RuntimeFailed", "Ready"]


async def test_a_bug_in_an_activity_is_shown_as_one_and_does_not_end_the_workflow(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.claims_wanted = 0  # Makes the fake pull_images raise an AssertionError.
    await entity.tell()
    await world.until(lambda: world.count("pull_images") >= 1)
    await environment.sleep(timedelta(hours=1))
    report = await world.until_phase(LifecyclePhase.WAITING)
    assert report.problem is not None
    assert report.problem.reason == "PlatformError"
    assert "images go to nodes" in report.problem.message


@pytest.mark.parametrize("name", [*ALL, "report_status"])
async def test_a_result_lost_after_the_effect_costs_a_second_attempt_and_nothing_else(
    entity: WorkspaceEntity, world: FakeWorld, name: str
) -> None:
    world.lose(name)
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    assert world.count(name) >= 2
    assert len(world.mine.claims) == 1
    assert list(world.mine.workloads) == ["rev-a"]
    assert all(report.problem is None for report in world.reports)


async def test_a_wait_whose_worker_fell_silent_is_begun_again_after_its_heartbeat_timeout(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.hang("await_nodes")
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    assert world.count("await_nodes") == 2


async def test_a_spec_that_planning_refuses_is_failed_until_it_is_edited(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    assert world.workspace is not None
    world.workspace.problem = Problem(reason="UnknownPreset", message="no preset phi-9")
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.FAILED)
    assert report.problem == world.workspace.problem
    assert world.count("adopt_workspace") == 0
    world.workspace.problem = None
    world.edit("b")
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)


async def test_what_was_missing_and_turned_up_is_noticed_without_an_edit(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    assert world.workspace is not None
    world.workspace.problem = Problem(reason="MissingReference", message="no ConfigMap c")
    await entity.tell()
    await world.until_phase(LifecyclePhase.FAILED)
    world.workspace.problem = None
    await environment.sleep(timedelta(seconds=60))
    await world.until_phase(LifecyclePhase.READY)


async def test_a_report_that_is_refused_stops_no_step(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.fail("report_status", AccessDenied("patch of status"), times=1)
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
