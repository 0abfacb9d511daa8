"""The one way in which an activity waits: on shared informers, with heartbeats and a deadline.

A check looks at the informers' stores and returns what it waited for, or a sentence that says how
far things are. It runs again when something changed and every few seconds; the newest sentence is
the heartbeat, which `temporal workflow describe` shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

from temporalio import activity

from activities.clients.informer import ANY, Informer
from activities.errors import HandOver
from api.errors import DeadlineExceeded

BEAT_SECONDS: Final = 2.0
"""2 s between looks when nothing changes: heartbeats stay fresh (the timeouts in
`workflows/limits.py` are several beats) and a stopping worker hands over within one beat."""

T = TypeVar("T")


@dataclass(frozen=True)
class Done(Generic[T]):
    """What was waited for is there."""

    value: T


@dataclass(frozen=True)
class Still:
    """Not yet; `sentence` says where things are."""

    sentence: str


Check = Callable[[], Awaitable[Done[T] | Still]]


@dataclass(frozen=True)
class Deadline:
    """A named limit on a wait, counted from when the activity was first scheduled.

    So a step does not get more time because a worker died in the middle of it.
    """

    name: str
    seconds: int
    remedy: str

    def passed_seconds(self) -> float:
        """Return the seconds since the activity was first scheduled."""
        return (datetime.now(tz=UTC) - activity.info().scheduled_time).total_seconds()

    def raise_if_over(self, sentence: str) -> None:
        """Give up once the time is over, saying where things stood.

        Raises:
            DeadlineExceeded: always retried by the workflow only, slowly.
        """
        if self.passed_seconds() >= self.seconds:
            raise DeadlineExceeded(
                f"{self.name} took longer than {self.seconds} s; last seen: {sentence}. "
                f"{self.remedy}"
            )


async def wait_until(
    check: Check[T],
    *,
    deadline: Deadline,
    informers: Sequence[Informer] = (),
    index_value: str = ANY,
    beat_seconds: float = BEAT_SECONDS,
) -> T:
    """Run `check` until it is done; wake for changes of `informers` that carry `index_value`.

    Raises:
        DeadlineExceeded: the time is over.
        HandOver: this worker stops.
    """
    while True:
        result = await check()
        if isinstance(result, Done):
            return result.value
        activity.heartbeat(result.sentence)
        deadline.raise_if_over(result.sentence)
        if activity.is_worker_shutdown():
            raise HandOver
        await _wait_any_changed(informers, index_value, beat_seconds)


async def _wait_any_changed(
    informers: Sequence[Informer], index_value: str, timeout_seconds: float
) -> None:
    if not informers:
        await asyncio.sleep(timeout_seconds)
        return
    waits = [
        asyncio.ensure_future(informer.wait_changed(timeout_seconds, index_value=index_value))
        for informer in informers
    ]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
