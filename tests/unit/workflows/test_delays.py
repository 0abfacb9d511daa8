"""Delays grow, have a cap, and never fall together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows import delays, limits


@given(count=st.integers(min_value=0, max_value=10**6), seed=st.integers())
def test_a_delay_stays_between_its_first_and_its_cap(count: int, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - seeded on purpose
    slow = delays.slow_retry_seconds(count, random)
    fast = delays.fast_retry_seconds(count, random)
    short, long = 1 - limits.RETRY_JITTER, 1 + limits.RETRY_JITTER
    assert limits.SLOW_RETRY_FIRST_SECONDS * short <= slow <= limits.SLOW_RETRY_CAP_SECONDS * long
    assert limits.FAST_RETRY_FIRST_SECONDS * short <= fast <= limits.FAST_RETRY_CAP_SECONDS * long


@given(seed=st.integers())
def test_a_second_failure_waits_longer_than_the_first(seed: int) -> None:
    random = Random(seed)  # noqa: S311 - seeded on purpose
    assert delays.slow_retry_seconds(2, random) > delays.slow_retry_seconds(1, random)


def test_a_thousand_entities_do_not_look_at_the_same_time() -> None:
    random = Random(1)  # noqa: S311 - seeded on purpose
    looks = {round(delays.resync_seconds(random)) for _ in range(1000)}
    assert min(looks) >= limits.RESYNC_SECONDS * (1 - limits.RESYNC_JITTER)
    assert max(looks) <= limits.RESYNC_SECONDS * (1 + limits.RESYNC_JITTER)
    assert len(looks) > 200


@pytest.mark.parametrize(
    ("sentence", "due_in_seconds", "delay"),
    [
        ("no moment was named", None, 600),
        ("the moment comes first", 100, 100),
        ("the other delay ends first", 601, 600),
        ("the moment is over", -5, limits.LOOK_AGAIN_LEAST_SECONDS),
    ],
)
def test_a_named_moment_comes_before_a_longer_delay(
    sentence: str, due_in_seconds: float | None, delay: float
) -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    due_at = None if due_in_seconds is None else now + timedelta(seconds=due_in_seconds)
    assert delays.until(due_at, now, 600) == delay, sentence
