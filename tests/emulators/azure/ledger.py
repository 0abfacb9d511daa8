"""The books of the emulated cloud: every request, and every pool that ever was.

Tests judge by these books: what was bought twice, what was left behind, who asked, and how long
each asker was willing to wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.emulators.azure.faults import Call


@dataclass
class CallRecord:
    """One HTTP request."""

    at_seconds: float
    """Since the emulator started."""
    method: str
    path: str
    call: Call
    pool: str
    client_request_id: str
    api_version: str
    is_authenticated: bool
    status: int = 0
    """0: not answered."""
    seconds: float = 0.0
    is_given_up: bool = False
    """The client hung up before it had an answer."""


@dataclass
class PoolRecord:
    """One pool, from its acceptance to its end; a new pool of an old name is a new record."""

    cluster: str
    name: str
    vm_size: str
    priority: str
    zones: tuple[str, ...]
    count: int
    tags: Mapping[str, str]
    created_at_seconds: float
    client_request_ids: list[str] = field(default_factory=list)
    """Of every PUT that was accepted for it."""
    states: list[tuple[float, str]] = field(default_factory=list)
    delete_client_request_ids: list[str] = field(default_factory=list)
    deleted_at_seconds: float | None = None

    @property
    def is_alive(self) -> bool:
        """Say whether the cloud still has it (and, unless it failed early, bills it)."""
        return self.deleted_at_seconds is None

    def overlaps(self, other: PoolRecord) -> bool:
        """Say whether the two were there at one time."""
        return self.created_at_seconds < (
            other.deleted_at_seconds or float("inf")
        ) and other.created_at_seconds < (self.deleted_at_seconds or float("inf"))


@dataclass
class Ledger:
    """Everything that was ever asked for, in order."""

    calls: list[CallRecord] = field(default_factory=list)
    pools: list[PoolRecord] = field(default_factory=list)

    def alive(self) -> list[PoolRecord]:
        """Return the pools that are still there."""
        return [pool for pool in self.pools if pool.is_alive]

    def of(self, name: str) -> list[PoolRecord]:
        """Return every pool that ever had this name."""
        return [pool for pool in self.pools if pool.name == name]

    def calls_of(self, *calls: Call) -> list[CallRecord]:
        """Return the requests of these kinds."""
        return [record for record in self.calls if record.call in calls]

    def duplicates(self, tag: str, *more: str) -> list[tuple[PoolRecord, PoolRecord]]:
        """Return pairs that stood at one time under the same values of all these tags."""
        tags = (tag, *more)
        found = []
        for index, first in enumerate(self.pools):
            for second in self.pools[index + 1 :]:
                same = all(
                    one in first.tags and first.tags[one] == second.tags.get(one) for one in tags
                )
                if same and first.overlaps(second):
                    found.append((first, second))
        return found

    def orphans(self, wanted: set[str]) -> list[str]:
        """Return the names of pools that are there and that nobody wants."""
        return sorted(pool.name for pool in self.alive() if pool.name not in wanted)

    def accepted_creates(self) -> Counter[str]:
        """Return how many pools were ever begun under each name."""
        return Counter(pool.name for pool in self.pools)
