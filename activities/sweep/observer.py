"""Whom a sweep tells what it found and did: the numbers of a process are not this room's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from api.payloads import RepairOutcome, StrayKind


class SweepObserver(Protocol):
    """Told of each look and of each repair."""

    def found_strays(self, counts: Mapping[StrayKind, int], blind_spots: Sequence[str]) -> None:
        """Take what one look found, and what it could not see."""

    def repaired_stray(self, kind: StrayKind, outcome: RepairOutcome) -> None:
        """Take how one repair ended."""


class NoObserver:
    """For whoever does not count."""

    def found_strays(self, counts: Mapping[StrayKind, int], blind_spots: Sequence[str]) -> None:
        """Do nothing."""

    def repaired_stray(self, kind: StrayKind, outcome: RepairOutcome) -> None:
        """Do nothing."""
