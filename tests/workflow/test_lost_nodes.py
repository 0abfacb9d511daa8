"""A lost node is replaced: first comes the new one, then the old claim goes, then the pods move."""

from __future__ import annotations

import pytest

from api.errors import AccessDenied, InsufficientCapacity
from api.payloads import LifecyclePhase
from tests.workflow.conftest import WorkspaceEntity
from tests.workflow.fake_world import FakeWorld

MOVE = ("ensure_node_claims", "await_nodes", "release_surplus_claims", "ensure_workload")


@pytest.fixture
async def lost(entity: WorkspaceEntity, world: FakeWorld) -> WorkspaceEntity:
    """A Workspace that was ready, until it lost its node."""
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    await entity.settled()
    world.calls.clear()
    world.lost = {0}
    return entity


async def test_the_new_node_comes_first_and_the_old_claim_goes_before_the_pods_move(
    lost: WorkspaceEntity, world: FakeWorld
) -> None:
    await lost.tell_owned()
    await world.until_count("verify_endpoint", 1)
    report = await world.until_phase(LifecyclePhase.READY)
    assert tuple(call for call in world.calls if call in MOVE)[:4] == MOVE
    assert world.mine.claims == {"claim-uid-1-1"}
    assert report.node_names == ["node-of-claim-uid-1-1"]
    assert [record.outcome for record in report.history] == ["Succeeded", "Succeeded"]


async def test_without_a_machine_that_replaces_it_the_old_claim_stays(
    lost: WorkspaceEntity, world: FakeWorld
) -> None:
    world.fail("await_nodes", InsufficientCapacity("the zone is full"))
    await lost.tell_owned()
    report = await world.until_phase(LifecyclePhase.WAITING)
    assert report.problem is not None
    assert report.problem.message == "the zone is full"
    assert "claim-uid-1-0" in world.mine.claims


async def test_a_claim_that_can_not_be_given_up_now_is_given_up_later(
    lost: WorkspaceEntity, world: FakeWorld
) -> None:
    world.fail("release_surplus_claims", AccessDenied("delete nodeclaims"))
    await lost.tell_owned()
    await world.until_count("release_surplus_claims", 2)
    await world.until_phase(LifecyclePhase.READY)
    assert world.mine.claims == {"claim-uid-1-1"}
