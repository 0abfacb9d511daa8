"""Edits that wait for a word: nothing begins before it, and it is about one revision only."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from api.payloads import ApproveOrder, LifecyclePhase, ReportInput
from tests.workflow.conftest import WorkspaceEntity
from tests.workflow.fake_world import FakeWorld
from tests.workflow.test_rollback import CRASH, notes
from tests.workflow.test_rollout import edited, ready


async def waiting(entity: WorkspaceEntity, world: FakeWorld) -> ReportInput:
    """Make a Workspace ready, then an edit that needs an approval."""
    await ready(entity, world)
    world.requires_approval = True
    world.edit("b")
    await entity.tell()
    return await world.until_phase(LifecyclePhase.AWAITING_APPROVAL)


async def test_a_first_revision_waits_for_nobody(entity: WorkspaceEntity, world: FakeWorld) -> None:
    world.requires_approval = True
    await ready(entity, world)


async def test_nothing_of_the_edit_begins_and_people_are_told_once(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await waiting(entity, world)
    before = len(world.calls)
    await environment.sleep(timedelta(hours=2))
    await entity.tell_owned()
    assert set(world.calls[before:]) <= {"plan_workspace"}
    assert world.mine.service == "rev-a"
    assert notes(world, "AwaitingApproval") == [
        "Revision rev-b waits for the order `approve`. rev-a to rev-b"
    ]
    assert notes(world, "RolloutStarted") == []
    assert (await entity.query("status"))["awaiting_revision"] == "rev-b"


@pytest.mark.parametrize(
    "argument",
    [
        (),
        (None,),
        ("looks good",),
        ({"reason": "looks good"},),
        ({"revision": "rev-b"},),
        (ApproveOrder(revision="rev-b", reason="looks good"),),
    ],
)
async def test_an_approval_carries_the_edit_out_whatever_its_argument(
    entity: WorkspaceEntity, world: FakeWorld, argument: tuple[object, ...]
) -> None:
    await waiting(entity, world)
    await entity.signal("approve", *argument)
    await world.until(lambda: world.mine.service == "rev-b")
    await world.until_phase(LifecyclePhase.READY)
    view = await entity.query("status")
    assert (view["approved_revision"], view["awaiting_revision"]) == ("rev-b", "")
    assert notes(world, "RolloutStarted") == ["rev-a to rev-b"]


async def test_an_approval_of_another_revision_is_refused(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await waiting(entity, world)
    await entity.signal("approve", ApproveOrder(revision="rev-x"))
    await world.until(lambda: bool(notes(world, "OrderRefused")))
    assert "revision rev-b waits for an approval, not rev-x" in notes(world, "OrderRefused")[0]
    assert world.mine.service == "rev-a"


async def test_an_approval_is_for_the_edit_that_was_seen_and_not_for_the_next(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await waiting(entity, world)
    world.edit("c")
    await entity.tell()
    await world.until(lambda: len(notes(world, "AwaitingApproval")) == 2)
    await entity.signal("approve", ApproveOrder(revision="rev-b"))
    await world.until(lambda: bool(notes(world, "OrderRefused")))
    assert world.mine.service == "rev-a"
    await entity.signal("approve")
    await world.until(lambda: world.mine.service == "rev-c")


async def test_an_edit_taken_back_waits_no_more(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await waiting(entity, world)
    await edited(entity, world, "a")
    await entity.signal("approve")
    await world.until(lambda: bool(notes(world, "OrderRefused")))
    assert "nothing waits for an approval" in notes(world, "OrderRefused")[0]


async def test_the_way_back_waits_for_nobody(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await waiting(entity, world)
    world.broken["await_workload", "rev-b"] = CRASH
    await entity.signal("approve")
    await world.until_phase(LifecyclePhase.ROLLED_BACK)
    assert world.mine.workloads == {"rev-a": True}


async def test_an_ordered_rollback_is_approved_by_its_order(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    await edited(entity, world, "b")
    world.requires_approval = True
    await entity.signal("rollback")
    await world.until(lambda: world.mine.service == "rev-a")


async def test_an_approval_is_remembered_by_the_next_run(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    entity.passes_per_run = 1
    await waiting(entity, world)
    await entity.signal("approve")
    await world.until(lambda: world.mine.service == "rev-b")


async def test_what_waits_can_be_deleted(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await waiting(entity, world)
    world.delete()
    await entity.tell()
    await entity.ended()
    assert world.owned["uid-1"].leftovers() == []
