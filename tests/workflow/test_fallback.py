"""What can't be had is given up for the next offer, at once; if nothing can, that is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowHistory
from temporalio.testing import WorkflowEnvironment

from api.errors import (
    AccessDenied,
    ClusterUnavailable,
    DeadlineExceeded,
    InsufficientCapacity,
    ProviderFailed,
    QuotaExceeded,
)
from api.payloads import EventKind, LifecyclePhase, Offer, Step, StepState
from tests.workflow.conftest import WorkspaceEntity
from tests.workflow.fake_world import FakeWorld

NO_QUOTA = QuotaExceeded("0 of 24 vCPUs left.")
FULL = InsufficientCapacity("the zone is full")

MAX_SECONDS_TO_NEXT_REQUEST = 2.0
"""What the issue asks for, from the error to the next request."""

LARGE, SMALL = Offer(instance_type="large"), Offer(instance_type="small")
SPOT = Offer(instance_type="large", capacity_type="spot")


@pytest.fixture(autouse=True)
def _two_types(world: FakeWorld) -> None:
    world.offers = [LARGE, SMALL]
    world.may_fall_back = True


def scheduled_at(history: WorkflowHistory, name: str) -> list[float]:
    """Return when calls of an activity were scheduled."""
    return [
        event.event_time.ToNanoseconds() / 1e9
        for event in history.events
        if event.activity_task_scheduled_event_attributes.activity_type.name == name
    ]


def failed_at(history: WorkflowHistory) -> list[float]:
    """Return when activities failed for good."""
    return [
        event.event_time.ToNanoseconds() / 1e9
        for event in history.events
        if event.HasField("activity_task_failed_event_attributes")
    ]


async def test_a_quota_that_is_used_up_leads_to_the_next_type(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.refused = {"large": NO_QUOTA}
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.READY)
    assert world.asked == [LARGE, SMALL]
    assert report.instance_type == "small"
    assert report.problem is None
    assert report.node_names == ["node-of-claim-uid-1-0-1"]


async def test_the_next_request_follows_the_error_without_a_pause(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.refused = {"large": NO_QUOTA}
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    (history,) = await entity.histories()
    (error,) = failed_at(history)
    _, second = scheduled_at(history, "ensure_node_claims")
    assert 0 < second - error < MAX_SECONDS_TO_NEXT_REQUEST


async def test_what_is_asked_for_next_is_told_before_it_is_waited_for(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.refused = {"large": NO_QUOTA}
    world.close_gate("pull_images")
    await entity.tell()
    await world.until(lambda: bool(world.reports) and world.reports[-1].instance_type == "small")
    assert [line.outcome for line in world.reports[-1].history] == ["FellBack"]
    world.open_gate("pull_images")
    await world.until_phase(LifecyclePhase.READY)


async def test_spot_that_is_taken_leads_to_on_demand(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.offers = [SPOT, LARGE]
    world.refused = {"large/spot": FULL}
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    assert world.asked == [SPOT, LARGE]


async def test_each_attempt_stands_in_the_history_and_in_an_event(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.refused = {"large": NO_QUOTA}
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.READY)
    fell_back, succeeded = report.history
    assert (fell_back.outcome, succeeded.outcome) == ("FellBack", "Succeeded")
    assert fell_back.reason == "QuotaExceeded"
    assert fell_back.message == "large on-demand can't be had: 0 of 24 vCPUs left"
    assert 0 <= fell_back.seconds < MAX_SECONDS_TO_NEXT_REQUEST
    note = next(iter(world.events.values()))
    assert (note.kind, note.reason) == (EventKind.WARNING, "QuotaExceeded")
    assert note.message.startswith("large on-demand can't be had: 0 of 24 vCPUs left (")
    assert note.message.endswith("trying small on-demand next")


async def test_a_set_that_is_partly_filled_is_given_back(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.claims_wanted, world.ready_before_refusal = 3, 2
    world.refused = {"large": FULL}
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    assert {
        offer.instance_type for offer in map(world.mine.offers.get, world.mine.claims) if offer
    } == {"small"}
    assert len(world.mine.nodes) == 3
    calls = [
        call for call in world.calls if call in {"ensure_node_claims", "release_surplus_claims"}
    ]
    assert calls == ["ensure_node_claims", "release_surplus_claims", "ensure_node_claims"]


async def test_what_can_not_be_given_back_now_does_not_stop_the_next_attempt(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.refused = {"large": FULL}
    world.fail("release_surplus_claims", AccessDenied("delete nodeclaims"))
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    assert len(world.mine.claims) == 1, "it is given back when all is well"


async def test_when_nothing_can_be_had_each_candidate_is_told(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.refused = {"large": NO_QUOTA, "small": FULL}
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.WAITING)
    assert report.problem is not None
    assert report.problem.message.splitlines() == [
        "large: 0 of 24 vCPUs left.",
        "small: the zone is full",
    ]
    nodes = next(one for one in report.timeline if one.step is Step.NODES)
    assert (nodes.state, nodes.reason) == (StepState.WAITING, "InsufficientCapacity")
    assert [one.outcome for one in report.history] == ["FellBack", "FellBack"]
    assert world.mine.claims == set()
    last = [note.message for note in world.events.values() if "no other candidate" in note.message]
    assert len(last) == 1


async def test_a_new_attempt_begins_with_the_first_after_a_growing_delay(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.refused = {"large": NO_QUOTA, "small": FULL}
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    # 30 s, then 60 s, each with up to 20 % of jitter: after 24 to 36 s, then after 72 to 108 s.
    await environment.sleep(timedelta(seconds=40))
    await world.until(lambda: len(world.asked) == 4)
    await environment.sleep(timedelta(seconds=30))
    assert len(world.asked) == 4
    del world.refused["large"]
    await environment.sleep(timedelta(seconds=45))
    report = await world.until_phase(LifecyclePhase.READY)
    assert world.asked == [LARGE, SMALL, LARGE, SMALL, LARGE]
    assert report.problem is None


async def test_attempts_that_fail_as_before_are_told_once(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.refused = {"large": NO_QUOTA, "small": FULL}
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    for rounds in (2, 3, 4):
        await environment.sleep(timedelta(minutes=5))
        await world.until(lambda rounds=rounds: len(world.asked) >= 2 * rounds)  # type: ignore[misc]
    report = await world.until_phase(LifecyclePhase.WAITING)
    assert [one.outcome for one in report.history] == ["FellBack", "FellBack"]
    assert len(world.events) == 3


async def test_a_hint_in_the_middle_of_the_delay_is_no_attempt(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.refused = {"large": NO_QUOTA, "small": FULL}
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    plans_count = world.count("plan_workspace")
    await entity.tell_owned()
    await world.until(lambda: world.count("plan_workspace") > plans_count)
    await environment.sleep(timedelta(seconds=5))
    assert len(world.asked) == 2


async def test_a_retry_begins_with_the_first_at_once(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.refused = {"large": NO_QUOTA, "small": FULL}
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    world.refused = {}
    await entity.signal("retry")
    await world.until_phase(LifecyclePhase.READY)
    assert world.asked == [LARGE, SMALL, LARGE]


async def test_an_edit_begins_with_the_first_again(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.refused = {"large": NO_QUOTA}
    world.close_gate("pull_images")
    await entity.tell()
    await world.until(lambda: world.running["pull_images"] == 1)
    world.refused = {}
    world.edit("b")
    await entity.tell()
    world.open_gate("pull_images")
    report = await world.until_phase(LifecyclePhase.READY)
    await world.until(lambda: world.mine.service == "rev-b")
    assert world.asked == [LARGE, SMALL, LARGE]
    report = await world.until_phase(LifecyclePhase.READY)
    assert [one.outcome for one in report.history] == ["FellBack", "Superseded", "Succeeded"]


async def test_what_is_at_home_is_not_moved_by_a_failure_to_grow(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    world.claims_wanted = 2
    world.refused = {"large": FULL}
    world.edit("b")
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.WAITING)
    assert report.problem is not None
    assert report.problem.message == "the zone is full"
    assert world.asked == [LARGE, LARGE]
    assert world.count("release_surplus_claims") == 0


@pytest.mark.parametrize("error", [ProviderFailed("HTTP 500"), AccessDenied("403")])
async def test_other_failures_are_no_reason_to_take_something_else(
    entity: WorkspaceEntity, world: FakeWorld, error: ProviderFailed | AccessDenied
) -> None:
    world.refused = {"large": error}
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.WAITING)
    assert report.problem is not None
    assert report.problem.reason == error.reason()
    assert world.asked == [LARGE]


async def test_a_deletion_between_two_offers_leaves_nothing(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.refused = {"large": NO_QUOTA}
    world.close_gate("release_surplus_claims")
    await entity.tell()
    await world.until(lambda: world.running["release_surplus_claims"] == 1)
    world.delete()
    await entity.tell()
    world.open_gate("release_surplus_claims")
    await entity.ended()
    assert world.owned["uid-1"].leftovers() == []
    assert world.asked == [LARGE]


async def test_a_pause_holds_between_two_offers(entity: WorkspaceEntity, world: FakeWorld) -> None:
    world.refused = {"large": NO_QUOTA}
    world.close_gate("release_surplus_claims")
    await entity.tell()
    await world.until(lambda: world.running["release_surplus_claims"] == 1)
    await entity.signal("pause")
    world.open_gate("release_surplus_claims")
    await world.until_phase(LifecyclePhase.PAUSED)
    assert world.asked == [LARGE]
    await entity.signal("resume")
    await world.until_phase(LifecyclePhase.READY)
    assert world.asked == [LARGE, SMALL]


async def test_what_failed_is_remembered_from_run_to_run(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    entity.passes_per_run = 1
    world.refused = {"large": NO_QUOTA}
    world.fail("pull_images", ProviderFailed("registry is down"))
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    await environment.sleep(timedelta(seconds=60))
    await world.until_phase(LifecyclePhase.READY)
    assert len(await entity.histories()) > 1
    assert world.asked == [LARGE, SMALL]


async def test_an_unreachable_cluster_while_falling_back_is_not_shown(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.refused = {"large": NO_QUOTA}
    world.fail("release_surplus_claims", ClusterUnavailable("connection refused"), times=2)
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    assert all(report.problem is None for report in world.reports)


NEVER_JOINED = DeadlineExceeded("the node never joined")


async def test_machines_that_never_join_lead_to_the_next_offer(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.refused = {"large": NEVER_JOINED}
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.READY)
    assert world.asked == [LARGE, SMALL]
    assert [one.outcome for one in report.history] == ["FellBack", "Succeeded"]
    assert report.history[0].reason == "DeadlineExceeded"
    assert world.mine.claims == {"claim-uid-1-0-1"}, "the machine is given back"


async def test_the_only_offer_is_waited_for_on(entity: WorkspaceEntity, world: FakeWorld) -> None:
    world.offers = [LARGE]
    world.refused = {"large": NEVER_JOINED}
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.WAITING)
    assert report.problem is not None
    assert report.problem.reason == "DeadlineExceeded"
    assert world.mine.claims == {"claim-uid-1-0"}
    assert report.history == []


async def test_after_the_last_offer_whose_machines_never_join_all_is_tried_again(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.refused = {"large": NO_QUOTA, "small": NEVER_JOINED}
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    assert world.mine.claims == set()
    world.refused = {}
    await environment.sleep(timedelta(seconds=40))
    await world.until_phase(LifecyclePhase.READY)
    assert world.asked == [LARGE, SMALL, LARGE]


async def test_a_wait_that_was_cut_short_for_a_sick_node_blames_no_offer(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.look_again_at = datetime(2030, 1, 1, tzinfo=UTC)
    world.refused = {"large": NEVER_JOINED}
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    assert world.asked == [LARGE]
