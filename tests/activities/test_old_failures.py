"""Which failure of a claim is an answer to the step that waits for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.workspace.nodes import ASKING_SECONDS, OLD_FAILURE_SECONDS, is_old_failure

ASKED_AT = datetime(2026, 1, 1, 12, 0, 30, 900_000, tzinfo=UTC)


def claim(
    *since: str, status: str = "False", reason: str = "InsufficientCapacity"
) -> dict[str, Any]:
    conditions = [
        {"type": f"C{number}", "status": status, "reason": reason, "lastTransitionTime": one}
        for number, one in enumerate(since)
    ]
    return {"metadata": {"name": "ws1"}, "status": {"conditions": conditions}}


def is_old(obj: dict[str, Any], after_seconds: float = 0.1) -> bool:
    return is_old_failure(obj, asked_at=ASKED_AT, now=ASKED_AT + timedelta(seconds=after_seconds))


def test_a_failure_after_the_asking_is_an_answer() -> None:
    assert not is_old(claim("2026-01-01T12:00:31Z"))


def test_one_of_the_moments_before_is_an_answer_as_well() -> None:
    # The step made the claim before it waited, and the condition's time has whole seconds.
    assert ASKING_SECONDS == 5
    assert not is_old(claim("2026-01-01T12:00:26Z"))


def test_one_of_long_ago_is_none() -> None:
    assert is_old(claim("2026-01-01T12:00:25Z"))
    assert is_old(claim("2026-01-01T10:00:00Z"))


def test_what_stands_there_after_a_while_is_how_things_are() -> None:
    old = claim("2026-01-01T10:00:00Z")
    assert is_old(old, OLD_FAILURE_SECONDS - 0.1)
    assert not is_old(old, OLD_FAILURE_SECONDS)


def test_the_newest_of_several_decides() -> None:
    assert not is_old(claim("2026-01-01T10:00:00Z", "2026-01-01T12:00:31Z"))


@pytest.mark.parametrize(
    "obj",
    [
        claim("yesterday"),
        claim(""),
        claim("2026-01-01T10:00:00Z", status="Unknown", reason="CreateInstanceFailed"),
        claim("2026-01-01T10:00:00Z", reason="Pending"),
        claim(),
    ],
    ids=["no time", "empty", "Karpenter's words", "no failure", "no condition"],
)
def test_without_a_time_that_can_be_read_it_counts(obj: dict[str, Any]) -> None:
    assert not is_old(obj)
