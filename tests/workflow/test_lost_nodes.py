"""A lost node is replaced: first comes the new one, then the old claim goes, then the pods move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

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


async def test_a_sick_node_is_looked_at_when_it_may_be_lost_and_not_at_the_next_resync(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    # Far less than the 8 min after which the earliest resync would be.
    world.look_again_at = await environment.get_current_time() + timedelta(seconds=120)
    plans_count = world.count("plan_workspace")
    await entity.tell_owned()
    await world.until_count("plan_workspace", plans_count + 1)
    await environment.sleep(timedelta(seconds=60))
    assert world.count("plan_workspace") == plans_count + 1, "nobody looks before"
    world.look_again_at, world.lost = None, {0}
    await environment.sleep(timedelta(seconds=90))
    await world.until(lambda: world.mine.claims == {"claim-uid-1-1"})


async def test_a_moment_that_is_over_is_no_reason_to_look_all_the_time(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.look_again_at = datetime(2020, 1, 1, tzinfo=UTC)
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    plans_count = world.count("plan_workspace")
    await environment.sleep(timedelta(seconds=65))
    assert 1 <= world.count("plan_workspace") - plans_count <= 7


async def test_what_counts_against_the_budget_is_told_to_every_later_plan(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    """Whichever worker plans, and in whichever run."""
    entity.passes_per_run = 1
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    world.recent_claims = {"claim-a": noon}
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    assert world.recent_claims_told[0] == {}
    world.recent_claims = None  # A plan that did not look.
    for count in (2, 3):
        await entity.tell_owned()
        await world.until(lambda count=count: len(world.recent_claims_told) >= count)  # type: ignore[misc]
    assert world.recent_claims_told[1:] == [{"claim-a": noon}] * 2
    assert len(await entity.histories()) > 1
