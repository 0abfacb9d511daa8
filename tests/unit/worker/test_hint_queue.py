"""The queue of hints coalesces, paces and retries, and loses nothing. Its clock is ours."""

from __future__ import annotations

import random

import pytest

from api import names
from api.payloads import DesiredChanged
from planner.hints import Hint
from worker.watcher.hint_queue import (
    FIRST_BACKOFF_SECONDS,
    MAX_BACKOFF_SECONDS,
    HintQueue,
    Parcel,
    backoff_seconds,
)


def parcel(
    name: str = "a",
    generation: int = 1,
    *,
    deleting: bool = False,
    can_start: bool = True,
    wakes: bool = True,
    uid: str = "first",
) -> Parcel:
    hint = Hint(
        workflow=names.WORKSPACE_WORKFLOW,
        workflow_id=names.workspace_workflow_id("default", name),
        payload=DesiredChanged(uid=uid, generation=generation, deleting=deleting),
        name=name,
        namespace="default",
        can_start=can_start,
    )
    return Parcel(hint, wakes=wakes)


def take(queue: HintQueue, now: float) -> Parcel:
    found = queue.take(now)
    assert found is not None
    return found


def test_the_first_hint_is_not_held_back() -> None:
    queue = HintQueue(min_interval_seconds=1.0)
    queue.put(parcel(), now=10.0)
    assert queue.next_due() == 10.0
    assert take(queue, now=10.0) == parcel()


def test_hints_of_one_workflow_become_one_and_the_newest_wins() -> None:
    queue = HintQueue()
    assert queue.put(parcel(generation=1), now=0.0) is False
    assert queue.put(parcel(generation=3), now=0.0) is True
    assert queue.put(parcel(generation=2), now=0.0) is True
    assert len(queue) == 1
    assert take(queue, now=0.0).hint.payload.generation == 3
    assert queue.take(now=0.0) is None


def test_a_deletion_is_never_covered_by_a_later_hint() -> None:
    queue = HintQueue()
    queue.put(parcel(deleting=True), now=0.0)
    queue.put(parcel(generation=5), now=0.0)
    assert take(queue, now=0.0).hint.payload.deleting


def test_a_new_object_of_the_same_name_wins_over_the_old_one_whatever_their_generations() -> None:
    queue = HintQueue()
    queue.put(parcel(uid="first", generation=7, deleting=True, can_start=False), now=0.0)
    queue.put(parcel(uid="second", generation=1), now=0.0)
    assert take(queue, now=0.0) == parcel(uid="second", generation=1)


def test_news_of_something_that_the_old_object_owned_do_not_cover_the_new_object() -> None:
    queue = HintQueue()
    queue.put(parcel(uid="second", generation=1), now=0.0)
    queue.put(parcel(uid="first", generation=0, can_start=False), now=0.0)
    assert take(queue, now=0.0) == parcel(uid="second", generation=1)


def test_the_right_to_start_survives_a_merge() -> None:
    queue = HintQueue()
    queue.put(parcel(can_start=True), now=0.0)
    queue.put(parcel(can_start=False), now=0.0)
    assert take(queue, now=0.0).hint.can_start


@pytest.mark.parametrize("wakes_first", [True, False])
def test_a_check_of_existence_does_not_swallow_a_wake(wakes_first: bool) -> None:
    queue = HintQueue()
    queue.put(parcel(generation=4, can_start=False, wakes=wakes_first), now=0.0)
    queue.put(parcel(generation=4, can_start=True, wakes=not wakes_first), now=0.0)
    found = take(queue, now=0.0)
    assert found.wakes
    assert found.hint.can_start


def test_workflows_are_served_in_the_order_of_their_hints() -> None:
    queue = HintQueue()
    for name in ("c", "a", "b"):
        queue.put(parcel(name), now=0.0)
    assert [take(queue, now=0.0).hint.name for _ in range(3)] == ["c", "a", "b"]


def test_a_second_hint_waits_for_the_minimum_interval() -> None:
    queue = HintQueue(min_interval_seconds=1.0)
    queue.put(parcel(), now=0.0)
    queue.done(take(queue, now=0.0), now=0.1)
    queue.put(parcel(generation=2), now=0.2)
    assert queue.take(now=1.0) is None
    assert take(queue, now=1.1).hint.payload.generation == 2


def test_a_hint_that_comes_while_one_is_sent_is_sent_after_it() -> None:
    queue = HintQueue(min_interval_seconds=1.0)
    queue.put(parcel(), now=0.0)
    sent = take(queue, now=0.0)
    queue.put(parcel(generation=2), now=0.1)
    assert queue.take(now=5.0) is None, "one workflow never has two in flight"
    queue.done(sent, now=5.0)
    assert take(queue, now=6.0).hint.payload.generation == 2


def test_a_failed_hint_stays_and_a_newer_one_replaces_it() -> None:
    queue = HintQueue()
    queue.put(parcel(generation=1), now=0.0)
    queue.failed(take(queue, now=0.0), now=0.0, everywhere=False)
    queue.put(parcel(generation=2), now=0.05)
    assert len(queue) == 1
    assert queue.take(now=0.1) is None
    assert take(queue, now=FIRST_BACKOFF_SECONDS).hint.payload.generation == 2


def test_a_hint_that_is_newer_than_the_failed_one_is_kept() -> None:
    queue = HintQueue()
    queue.put(parcel(generation=1), now=0.0)
    failed = take(queue, now=0.0)
    queue.put(parcel(generation=7), now=0.0)
    queue.failed(failed, now=0.0, everywhere=False)
    assert take(queue, now=1.0).hint.payload.generation == 7


def test_one_bad_hint_does_not_hold_up_the_others() -> None:
    queue = HintQueue()
    queue.put(parcel("bad"), now=0.0)
    queue.put(parcel("good"), now=0.0)
    queue.failed(take(queue, now=0.0), now=0.0, everywhere=False)
    assert take(queue, now=0.0).hint.name == "good"


def test_while_temporal_is_away_the_whole_queue_rests() -> None:
    queue = HintQueue()
    queue.put(parcel("a"), now=0.0)
    queue.failed(take(queue, now=0.0), now=0.0, everywhere=True)
    queue.put(parcel("b"), now=0.01)
    assert queue.take(now=0.01) is None
    due = queue.next_due()
    assert due == FIRST_BACKOFF_SECONDS
    assert {take(queue, now=due).hint.name for _ in range(2)} == {"a", "b"}


def test_failures_of_one_moment_count_as_one() -> None:
    queue = HintQueue()
    for index in range(16):
        queue.put(parcel(f"w{index}"), now=0.0)
    in_flight = [take(queue, now=0.0) for _ in range(16)]
    for one in in_flight:
        queue.failed(one, now=0.0, everywhere=True)
    assert queue.next_due() == FIRST_BACKOFF_SECONDS


def test_delays_grow_up_to_a_limit_and_end_with_a_success() -> None:
    assert [backoff_seconds(count) for count in (0, 1, 2)] == [0.2, 0.4, 0.8]
    assert backoff_seconds(10**6) == MAX_BACKOFF_SECONDS
    queue, now = HintQueue(min_interval_seconds=0.0), 0.0
    queue.put(parcel(), now)
    for _ in range(5):
        queue.failed(take(queue, now), now, everywhere=True)
        now = queue.next_due() or now
    queue.done(take(queue, now), now)
    queue.put(parcel(generation=2), now)
    queue.failed(take(queue, now), now, everywhere=True)
    assert queue.next_due() == now + FIRST_BACKOFF_SECONDS


def test_a_workflow_that_is_done_leaves_nothing_behind() -> None:
    queue = HintQueue(min_interval_seconds=1.0)
    for index in range(100):
        queue.put(parcel(f"w{index}"), now=0.0)
        queue.done(take(queue, now=0.0), now=0.0)
    assert len(queue) == 0
    assert queue.take(now=1.0) is None
    assert queue.next_due() is None


def test_clearing_forgets_everything() -> None:
    queue = HintQueue()
    queue.put(parcel(), now=0.0)
    queue.clear()
    assert len(queue) == 0
    assert queue.take(now=100.0) is None


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_the_newest_generation_of_each_workflow_arrives(seed: int) -> None:
    """A random run of puts, deliveries and failures on a clock that we turn."""
    chance = random.Random(seed)  # noqa: S311 - a reproducible run, no secret
    queue, now = HintQueue(), 0.0
    newest: dict[str, int] = {}
    delivered: dict[str, int] = {}
    in_flight: list[Parcel] = []
    for _ in range(3000):
        now += chance.uniform(0, 0.1)
        match chance.choice(["put", "take", "land"]):
            case "put":
                name = f"w{chance.randrange(20)}"
                newest[name] = newest.get(name, 0) + 1
                queue.put(parcel(name, newest[name]), now)
            case "take":
                found = queue.take(now)
                if found is not None:
                    assert found.hint.name not in {one.hint.name for one in in_flight}
                    in_flight.append(found)
            case _ if in_flight:
                one = in_flight.pop(chance.randrange(len(in_flight)))
                if chance.random() < 0.3:
                    queue.failed(one, now, everywhere=chance.random() < 0.5)
                else:
                    queue.done(one, now)
                    delivered[one.hint.name] = one.hint.payload.generation
    for one in in_flight:
        queue.failed(one, now, everywhere=True)
    while (due := queue.next_due()) is not None:
        now = max(now, due)
        found = queue.take(now)
        if found is not None:
            queue.done(found, now)
            delivered[found.hint.name] = found.hint.payload.generation
    assert delivered == newest
    assert len(queue) == 0
