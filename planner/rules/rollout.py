"""Rules on how edits are carried out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from planner.rules.base import Case, Fault, Rule, number, rule

MAX_DEADLINE_SECONDS: Final = 7 * 24 * 3600
"""A week. A guess at what nobody means; the largest model that is known takes 3 hours."""

MAX_REVISIONS: Final = 100
"""A guess at what nobody means. Each keeps two small objects in the cluster."""


@rule("rollout.progressDeadlineSeconds")
def deadline_is_sensible(case: Case) -> Iterator[Fault]:
    """A deadline is from one second to a week."""
    rollout = case.workspace.rollout
    seconds = rollout.progress_deadline_seconds if rollout is not None else None
    if seconds is not None and not 1 <= seconds <= MAX_DEADLINE_SECONDS:
        yield Fault(
            f"{number(seconds)} seconds can't be a deadline",
            f"set it to something from 1 to {MAX_DEADLINE_SECONDS}, or remove it",
        )


@rule("rollout.revisionHistoryLimit")
def history_limit_is_sensible(case: Case) -> Iterator[Fault]:
    """At least one revision is kept to roll back to, and at most 100."""
    rollout = case.workspace.rollout
    count = rollout.revision_history_limit if rollout is not None else None
    if count is not None and not 1 <= count <= MAX_REVISIONS:
        yield Fault(
            f"{number(count)} revisions can't be kept",
            f"set it to something from 1 to {MAX_REVISIONS}, or remove it",
        )


RULES: Final[tuple[Rule, ...]] = (deadline_is_sensible, history_limit_is_sensible)
