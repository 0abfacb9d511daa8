"""A deletion that waits for something that does not go can be ended, with a reason and a list."""

from __future__ import annotations

import pytest

from api.errors import AccessDenied, ProviderFailed
from api.payloads import LifecyclePhase, OperatorOrder
from tests.workflow.conftest import WorkspaceEntity
from tests.workflow.fake_world import FakeWorkspace, FakeWorld
from tests.workflow.test_rollback import notes
from tests.workflow.test_rollout import ready

STUCK = "NodeClaim/ws-stuck"


async def stuck(entity: WorkspaceEntity, world: FakeWorld) -> None:
    """Delete a Workspace of which something does not go."""
    await ready(entity, world)
    world.stuck = [STUCK]
    world.delete()
    await entity.tell()
    await world.until(lambda: world.count("prove_deleted") == 1)


@pytest.mark.parametrize("argument", ["cloud is gone", OperatorOrder(reason="cloud is gone")])
async def test_the_object_goes_and_what_it_leaves_is_told(
    entity: WorkspaceEntity, world: FakeWorld, argument: object
) -> None:
    await stuck(entity, world)
    world.lets_go = True
    before = len(world.calls)
    await entity.signal("force_delete", argument)
    await entity.ended()
    assert world.workspace is None
    assert world.owned["uid-1"].leftovers() == [], "what can go, goes"
    assert notes(world, "ForceDeleted") == [
        f"Deleted by force (cloud is gone). Left behind, to be removed by hand: {STUCK}"
    ]
    calls = world.calls[before:]
    assert calls[-5:] == [
        "delete_workloads",
        "delete_node_claims",
        "prove_deleted",
        "report_status",
        "release_workspace",
    ]
    memo = await (await entity.handle.describe()).memo()
    assert memo["leftovers"] == [STUCK]
    assert memo["forceDeleteReason"] == "cloud is gone"


async def test_it_does_not_wait_for_what_runs(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await ready(entity, world)
    world.close_gate("delete_workloads")
    world.delete()
    await entity.tell()
    await world.until(lambda: world.running["delete_workloads"] == 1)
    await entity.signal("force_delete", "the node is dead")
    await world.until(lambda: world.count("delete_workloads") == 2)
    world.open_gate("delete_workloads")
    await entity.ended()
    assert notes(world, "ForceDeleted") == ["Deleted by force (the node is dead). Nothing is left."]


@pytest.mark.parametrize("name", ["delete_workloads", "delete_node_claims", "prove_deleted"])
async def test_no_failure_holds_it_up(entity: WorkspaceEntity, world: FakeWorld, name: str) -> None:
    await stuck(entity, world)
    world.lets_go = True
    world.fail(name, ProviderFailed("the subscription is closed"))
    await entity.signal("force_delete", "closed")
    await entity.ended()
    assert world.workspace is None
    if name == "prove_deleted":
        assert "the subscription is closed" in notes(world, "ForceDeleted")[0]


async def test_a_finalizer_that_can_not_go_is_tried_again(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await stuck(entity, world)
    world.lets_go = True
    world.fail("release_workspace", AccessDenied("may not patch workspaces"))
    await entity.signal("force_delete", "closed")
    await world.until(lambda: "may not patch" in str(world.reports[-1].problem))
    await entity.signal("force_delete", "closed")
    await entity.ended()
    assert world.workspace is None


@pytest.mark.parametrize("argument", [(), (None,), ("",), (OperatorOrder(),)])
async def test_without_a_reason_it_is_refused(
    entity: WorkspaceEntity, world: FakeWorld, argument: tuple[object, ...]
) -> None:
    await stuck(entity, world)
    await entity.signal("force_delete", *argument)
    await world.until(lambda: bool(notes(world, "OrderRefused")))
    assert "it needs a reason" in notes(world, "OrderRefused")[0]
    assert world.workspace is not None
    assert world.count("release_workspace") == 0


async def test_what_is_not_being_deleted_is_not_deleted(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    await entity.signal("force_delete", "away with it")
    await world.until(lambda: bool(notes(world, "OrderRefused")))
    assert "delete it first" in notes(world, "OrderRefused")[0]
    assert world.reports[-1].phase is LifecyclePhase.READY


async def test_an_object_that_was_made_anew_is_not_let_go_as_well(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await stuck(entity, world)
    world.workspace = FakeWorkspace(uid="uid-2")
    await entity.tell()
    await world.until(lambda: world.count("prove_deleted") == 2)
    await entity.signal("force_delete", "the old one")
    world.stuck = []
    await world.until(lambda: world.owned["uid-2"].service == "rev-a")
    world.delete()
    world.stuck = [STUCK]
    proofs = world.count("prove_deleted")
    await entity.tell()
    await world.until(lambda: world.count("prove_deleted") > proofs)
    await entity.query("status")
    assert world.workspace is not None
