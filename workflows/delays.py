"""How long to wait before the next look; randomness comes in as an argument."""

from __future__ import annotations

from datetime import datetime
from random import Random

from workflows import limits


def jittered(seconds: float, share: float, random: Random) -> float:
    """Return `seconds`, made up to `share` shorter or longer."""
    return seconds * random.uniform(1 - share, 1 + share)


def resync_seconds(random: Random) -> float:
    """Return the delay until a quiet entity looks at its object again."""
    return jittered(limits.RESYNC_SECONDS, limits.RESYNC_JITTER, random)


def until(due_at: datetime | None, now: datetime, otherwise_seconds: float) -> float:
    """Return the delay until a moment, if there is one and it comes before the other delay ends."""
    if due_at is None:
        return otherwise_seconds
    left = max((due_at - now).total_seconds(), limits.LOOK_AGAIN_LEAST_SECONDS)
    return min(left, otherwise_seconds)


def slow_retry_seconds(failures_count: int, random: Random) -> float:
    """Return the delay after this many failures in a row; the first failure is number one."""
    return _grown(
        limits.SLOW_RETRY_FIRST_SECONDS, limits.SLOW_RETRY_CAP_SECONDS, failures_count, random
    )


def fast_retry_seconds(failures_count: int, random: Random) -> float:
    """Return the delay after a fault that is not worth showing."""
    return _grown(
        limits.FAST_RETRY_FIRST_SECONDS, limits.FAST_RETRY_CAP_SECONDS, failures_count, random
    )


def _grown(first: float, cap: float, failures_count: int, random: Random) -> float:
    # The exponent is capped as well: after years of failures 2**n would be no float any more.
    exponent = min(max(failures_count, 1) - 1, 30)
    grown = min(cap, first * limits.SLOW_RETRY_GROWTH**exponent)
    return jittered(grown, limits.RETRY_JITTER, random)
