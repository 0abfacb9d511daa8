"""Steps run in the order that they need, side by side where they can, and stop at a failure."""

from __future__ import annotations

import threading

import pytest

from onebox.errors import OneboxError
from onebox.steps import Step, check, run


def test_a_step_waits_for_everything_that_it_needs() -> None:
    done: list[str] = []
    steps = [
        Step("c", lambda: done.append("c"), ("a", "b")),
        Step("b", lambda: done.append("b"), ("a",)),
        Step("a", lambda: done.append("a")),
    ]
    run(steps, threading.Event())
    assert done == ["a", "b", "c"]


def test_steps_that_do_not_need_each_other_run_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=10)
    steps = [Step("a", lambda: _ignore(meeting.wait())), Step("b", lambda: _ignore(meeting.wait()))]
    run(steps, threading.Event())


def test_a_failure_is_raised_at_once_and_nothing_more_is_started() -> None:
    cancelled, done = threading.Event(), list[str]()

    def fail() -> None:
        raise OneboxError("no disk")

    steps = [
        Step("stuck", lambda: _ignore(cancelled.wait(10))),
        Step("fails", fail),
        Step("later", lambda: done.append("later"), ("fails",)),
    ]
    with pytest.raises(OneboxError, match="no disk"):
        run(steps, cancelled)
    assert cancelled.is_set()
    assert done == []


@pytest.mark.parametrize("needs", [("b",), ("missing",)])
def test_steps_that_could_never_start_are_refused_before_anything_runs(
    needs: tuple[str, ...],
) -> None:
    with pytest.raises(ValueError, match="can never start"):
        check([Step("a", lambda: None, needs), Step("b", lambda: None, ("a",))])


def _ignore(_result: object) -> None:
    return None
