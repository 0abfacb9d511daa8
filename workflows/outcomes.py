"""What a step can come to: done, waiting, blocked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random

from api.errors import Remedy
from api.payloads import Problem
from workflows import delays
from workflows.failures import ActivityFailed


class OutcomeKind(StrEnum):
    """The columns of the lifecycle table."""

    DONE = "done"
    WAITING = "waiting"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Done:
    """The step's result was seen."""

    kind = OutcomeKind.DONE


@dataclass(frozen=True)
class Waiting:
    """Try again after a while; a problem is shown, its absence means that nothing is wrong."""

    retry_after_seconds: float
    problem: Problem | None = None
    kind = OutcomeKind.WAITING


@dataclass(frozen=True)
class Blocked:
    """Nothing helps but an edit or `retry`."""

    problem: Problem
    kind = OutcomeKind.BLOCKED


@dataclass(frozen=True)
class FellBack:
    """The nodes can't be had as planned: plan again, with the next offer.

    It is no way for an operation to end, so the lifecycle table has no column for it.
    """


@dataclass(frozen=True)
class GaveUp:
    """The revision failed: plan again, for the good one that is brought back in its stead.

    No way for an operation to end by the table either: the next one begins at once.
    """

    problem: Problem
    restore: str


PhaseOutcome = Done | Waiting | Blocked


def of_failure(failed: ActivityFailed, failures_count: int, random: Random) -> Waiting | Blocked:
    """Judge a failure; `failures_count` includes this one."""
    return of_remedy(failed.problem, failed.remedy, failures_count, random)


def of_remedy(
    problem: Problem, remedy: Remedy, failures_count: int, random: Random
) -> Waiting | Blocked:
    """Turn a remedy into an outcome."""
    match remedy:
        case Remedy.EDIT:
            return Blocked(problem)
        case Remedy.SLOW_RETRY:
            return Waiting(delays.slow_retry_seconds(failures_count, random), problem)
        case Remedy.FAST_RETRY:
            return Waiting(delays.fast_retry_seconds(failures_count, random))
