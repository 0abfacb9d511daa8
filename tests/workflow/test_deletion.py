"""Deletion at every moment: nothing is left, and only then the finalizer goes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from api.errors import AccessDenied, ClusterUnavailable, DeadlineExceeded
from api.payloads import LifecyclePhase
from tests.workflow.conftest import WorkspaceEntity
from tests.workflow.fake_world import FakeWorkspace, FakeWorld

STEPS = (
    "report_status",
    "ensure_node_claims",
    "await_nodes",
    "pull_images",
    "ensure_workload",
    "await_workload",
    "verify_endpoint",
    "ensure_traffic",
)
TEARDOWN = ("delete_workloads", "delete_node_claims", "prove_deleted", "release_workspace")


def assert_nothing_is_left(world: FakeWorld) -> None:
    assert world.workspace is None
    assert [left for owned in world.owned.values() for left in owned.leftovers()] == []


async def ready(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    await entity.settled()


async def test_a_ready_workspace_is_removed_in_order_and_the_workflow_ends(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    before = len(world.calls)
    world.delete()
    await entity.tell()
    await entity.ended()
    assert world.calls[before:] == [
        "plan_workspace",
        "report_status",
        "delete_workloads",
        "delete_node_claims",
        "prove_deleted",
        "release_workspace",
    ]
    assert world.reports[-1].phase is LifecyclePhase.DELETING
    assert world.reports[-1].deleting
    assert world.reports[-1].preset == "smollm2"
    assert_nothing_is_left(world)


@pytest.mark.parametrize("name", STEPS)
async def test_deleted_in_the_middle_of_a_step_nothing_is_left(
    entity: WorkspaceEntity, world: FakeWorld, name: str
) -> None:
    world.close_gate(name)
    await entity.tell()
    await world.until(lambda: world.running[name] == 1)
    world.delete()
    await entity.tell()
    await entity.query("status")
    world.open_gate(name)
    await entity.ended()
    assert_nothing_is_left(world)


async def test_deleted_in_the_middle_of_adoption_nothing_is_left(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.close_gate("adopt_workspace")
    await entity.tell()
    await world.until(lambda: world.running["adopt_workspace"] == 1)
    world.delete()  # It has no finalizer yet, so it is gone at once.
    await entity.tell(uid="uid-1", deleting=True)
    world.open_gate("adopt_workspace")
    await entity.ended()
    assert_nothing_is_left(world)
    assert world.count("ensure_node_claims") == 0


async def test_a_workspace_that_was_never_adopted_is_just_released(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    assert world.workspace is not None
    world.workspace.finalizer = True
    world.delete()
    await entity.tell()
    await entity.ended()
    assert world.calls == ["plan_workspace", "report_status", "prove_deleted", "release_workspace"]
    assert_nothing_is_left(world)


async def test_a_workflow_that_was_lost_still_tears_down(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    await entity.terminate()
    world.delete()
    await entity.tell()
    await entity.ended()
    assert_nothing_is_left(world)


async def test_a_released_workspace_that_others_hold_is_none_of_our_business(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    assert world.workspace is not None
    world.workspace.deleting = True
    await entity.tell()
    await entity.ended()
    assert world.calls == ["plan_workspace"]


async def test_a_workspace_that_is_gone_ends_the_workflow_at_once(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.workspace = None
    await entity.tell(uid="uid-1", generation=3, deleting=True)
    await entity.ended()
    assert world.calls == ["plan_workspace"]


async def test_a_workspace_whose_finalizer_was_torn_off_is_cleaned_up_by_its_uid(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    world.workspace = None
    await entity.tell(uid="uid-1", deleting=True)
    await entity.ended()
    assert_nothing_is_left(world)
    assert world.count("release_workspace") == 0


async def test_recreated_under_the_same_name_the_old_goes_before_the_new_comes(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    world.workspace = FakeWorkspace(uid="uid-2", spec="b")
    await entity.tell()
    await world.until(lambda: world.owned["uid-2"].service == "rev-b")
    assert world.owned["uid-1"].leftovers() == []
    old_is_proven = world.calls.index("prove_deleted")
    second_adoption = [at for at, name in enumerate(world.calls) if name == "adopt_workspace"][1]
    assert old_is_proven < second_adoption
    report = await world.until_phase(LifecyclePhase.READY)
    assert report.workspace.uid == "uid-2"
    assert [one.revision for one in report.history] == ["rev-b"]


async def test_recreated_during_the_teardown_a_new_run_takes_the_new_one(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    world.close_gate("release_workspace")
    world.delete()
    await entity.tell()
    await world.until(lambda: world.running["release_workspace"] == 1)
    world.workspace = FakeWorkspace(uid="uid-2", spec="b")
    await entity.tell()
    world.open_gate("release_workspace")
    await world.until(lambda: world.owned["uid-2"].service == "rev-b")
    assert world.owned["uid-1"].leftovers() == []
    assert len(await entity.histories()) == 2


@pytest.mark.parametrize("name", TEARDOWN)
async def test_a_teardown_whose_activity_fails_is_gone_on_with(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld, name: str
) -> None:
    await ready(entity, world)
    world.fail(name, AccessDenied("may not delete"))
    world.delete()
    await entity.tell()
    await world.until(lambda: world.count(name) == 1)
    await environment.sleep(timedelta(seconds=60))
    await entity.ended()
    assert_nothing_is_left(world)


@pytest.mark.parametrize("name", TEARDOWN)
async def test_a_teardown_survives_an_outage_of_the_cluster(
    entity: WorkspaceEntity, world: FakeWorld, name: str
) -> None:
    await ready(entity, world)
    world.fail(name, ClusterUnavailable("connection refused"), times=3)
    world.delete()
    await entity.tell()
    await entity.ended()
    assert_nothing_is_left(world)


async def test_pods_that_stay_do_not_keep_the_claims(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    world.fail("delete_workloads", DeadlineExceeded("Pod/w-0 stays"))
    world.delete()
    await entity.tell()
    await world.until(lambda: world.count("prove_deleted") == 1)
    assert not world.mine.claims
    assert world.mine.workloads
    await environment.sleep(timedelta(seconds=60))
    await entity.ended()
    assert_nothing_is_left(world)


async def test_what_stays_for_long_is_named_and_the_teardown_goes_on(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    world.stuck = ["Node/stubborn"]
    world.delete()
    await entity.tell()
    await world.until(lambda: world.count("prove_deleted") == 1)
    assert world.reports[-1].problem is None, "a moment is no problem yet"
    await environment.sleep(timedelta(hours=2))
    report = world.reports[-1]
    assert report.phase is LifecyclePhase.DELETING
    assert report.problem is not None
    assert report.problem.reason == "DeadlineExceeded"
    assert report.problem.message == "still there: Node/stubborn"
    assert world.count("release_workspace") == 0
    world.stuck = []
    await environment.sleep(timedelta(minutes=13))
    await entity.ended()
    assert_nothing_is_left(world)


async def test_a_retry_ends_the_delay_of_a_teardown(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    world.stuck = ["Node/stubborn"]
    world.fail("delete_node_claims", AccessDenied("may not delete"))
    world.delete()
    await entity.tell()
    await world.until(lambda: world.reports[-1].problem is not None)
    world.stuck = []
    await entity.signal("retry")
    await entity.ended()
    assert_nothing_is_left(world)


async def test_an_edit_during_the_teardown_changes_nothing(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    world.close_gate("delete_workloads")
    world.delete()
    await entity.tell()
    await world.until(lambda: world.running["delete_workloads"] == 1)
    world.edit("b")
    await entity.tell()
    await entity.query("status")
    world.open_gate("delete_workloads")
    await entity.ended()
    assert_nothing_is_left(world)
    assert world.count("delete_workloads") == 1


async def test_hints_about_dying_objects_start_no_further_run(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    world.close_gate("prove_deleted")
    world.delete()
    await entity.tell()
    await world.until(lambda: world.running["prove_deleted"] == 1)
    await entity.tell_owned()
    await entity.tell_owned()
    world.open_gate("prove_deleted")
    await entity.ended()
    assert len(await entity.histories()) == 1
