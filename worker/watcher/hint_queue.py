"""Hints that wait to be sent: one entry a workflow, the newest wins, none is lost.

    put ──► dirty ──take──► in flight ──done──► forgotten after the minimum interval
              ▲                 │  └─ put meanwhile: dirty again
              └──── failed ─────┘   (with a growing delay)

Time comes in as an argument (monotonic seconds), so the queue itself never waits.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, replace
from typing import Final

from planner.hints import Hint, merge

MIN_INTERVAL_SECONDS: Final = 0.25
"""0.25 s between two hints to one workflow: a burst of events (a StatefulSet's pods turning ready
one by one) becomes a few wakes, and a person's edit still shows at once, as the first is not held
back. A guess; a planning pass takes about 0.1 s."""

FIRST_BACKOFF_SECONDS: Final = 0.2
MAX_BACKOFF_SECONDS: Final = 5.0
"""0.2 s doubling to 5 s: after a restart of Temporal hints flow again within 5 s, and a long
outage costs one attempt every 5 s per sender."""


@dataclass(frozen=True)
class Parcel:
    """What goes to one workflow."""

    hint: Hint
    wakes: bool = True
    """False: only see to it that the workflow exists; one that runs is not disturbed."""

    def absorb(self, older: Parcel) -> Parcel:
        """Return one parcel for two, with every reason to wake."""
        if self.wakes != older.wakes:
            waking, other = (self, older) if self.wakes else (older, self)
            can_start = waking.hint.can_start or other.hint.can_start
            return replace(waking, hint=replace(waking.hint, can_start=can_start))
        return replace(self, hint=merge(older.hint, self.hint))


@dataclass
class _Entry:
    parcel: Parcel | None = None
    is_in_flight: bool = False
    not_before: float = 0.0
    failures_count: int = 0


class HintQueue:
    """The newest hint of each workflow, in the order in which they may be sent."""

    def __init__(self, *, min_interval_seconds: float = MIN_INTERVAL_SECONDS) -> None:
        """Begin empty."""
        self._min_interval_seconds = min_interval_seconds
        self._entries: dict[str, _Entry] = {}
        self._due: list[tuple[float, int, str]] = []
        self._undelivered: set[str] = set()
        # Breaks ties, so that what was put first is taken first.
        self._sequence = itertools.count()
        self._paused_until = 0.0
        self._pauses_count = 0

    def __len__(self) -> int:
        """Return how many workflows have a hint that is not delivered."""
        return len(self._undelivered)

    def put(self, parcel: Parcel, now: float) -> bool:
        """Add a parcel; returns whether it was merged into one that waits already."""
        key = parcel.hint.workflow_id
        entry = self._entries.setdefault(key, _Entry())
        if entry.parcel is not None:
            entry.parcel = parcel.absorb(entry.parcel)
            return True
        entry.parcel = parcel
        self._undelivered.add(key)
        if not entry.is_in_flight:
            self._schedule(key, max(now, entry.not_before))
        return False

    def take(self, now: float) -> Parcel | None:
        """Return the next parcel that may be sent now; it is in flight until done or failed."""
        if now < self._paused_until:
            return None
        while self._due and self._due[0][0] <= now:
            _, _, key = heapq.heappop(self._due)
            entry = self._entries.get(key)
            if entry is None or entry.is_in_flight or now < entry.not_before:
                continue
            if entry.parcel is None:
                del self._entries[key]
                continue
            parcel, entry.parcel, entry.is_in_flight = entry.parcel, None, True
            return parcel
        return None

    def done(self, parcel: Parcel, now: float) -> None:
        """Note that Temporal has it."""
        self._pauses_count, self._paused_until = 0, 0.0
        entry = self._land(parcel, now + self._min_interval_seconds)
        entry.failures_count = 0
        if entry.parcel is None:
            self._undelivered.discard(parcel.hint.workflow_id)

    def failed(self, parcel: Parcel, now: float, *, everywhere: bool) -> None:
        """Put a parcel back that could not be sent.

        With `everywhere` the whole queue rests: Temporal is away or asks for patience, and other
        parcels would fare no better.
        """
        key = parcel.hint.workflow_id
        entry = self._entries[key]
        entry.parcel = parcel if entry.parcel is None else entry.parcel.absorb(parcel)
        if everywhere:
            # Parcels that were in flight together fail together; that is one failure, not many.
            if now >= self._paused_until:
                self._paused_until = now + backoff_seconds(self._pauses_count)
                self._pauses_count += 1
            self._land(parcel, self._paused_until)
        else:
            self._land(parcel, now + backoff_seconds(entry.failures_count)).failures_count += 1

    def next_due(self) -> float | None:
        """Return the earliest time at which `take` may return something; None when idle."""
        return max(self._due[0][0], self._paused_until) if self._due else None

    def clear(self) -> None:
        """Forget everything: another process leads now and has its own view of the world."""
        self._entries.clear()
        self._due.clear()
        self._undelivered.clear()
        self._pauses_count, self._paused_until = 0, 0.0

    def _land(self, parcel: Parcel, not_before: float) -> _Entry:
        key = parcel.hint.workflow_id
        entry = self._entries[key]
        entry.is_in_flight = False
        entry.not_before = not_before
        # Scheduled even when empty: then `take` forgets the entry once its interval is over.
        self._schedule(key, not_before)
        return entry

    def _schedule(self, key: str, due: float) -> None:
        heapq.heappush(self._due, (due, next(self._sequence), key))


def backoff_seconds(failures_count: int) -> float:
    """Return how long to wait after this many failures in a row."""
    # min() on the exponent as well: 2 to the power of an outage of days is no float.
    return min(FIRST_BACKOFF_SECONDS * 2.0 ** min(failures_count, 10), MAX_BACKOFF_SECONDS)
