"""The lifecycle table: complete, and strict about what can't be."""

from __future__ import annotations

from itertools import combinations, pairwise, product

import pytest

from api.payloads import LifecyclePhase, Step
from workflows.lifecycle import (
    ORDER,
    PHASE_WHILE_RUNNING,
    TABLE,
    IllegalTransition,
    advance,
    first,
    following,
)
from workflows.outcomes import OutcomeKind

PLANS = [plan for size in range(1, len(ORDER) + 1) for plan in combinations(ORDER, size)]


def test_every_step_with_every_outcome_has_one_row_and_nothing_else_has() -> None:
    assert set(TABLE) == set(product(Step, OutcomeKind))


def test_the_order_names_every_step_once_as_the_payloads_do() -> None:
    assert list(ORDER) == list(Step)


def test_every_step_has_a_word_for_people() -> None:
    assert set(PHASE_WHILE_RUNNING) == set(Step)


@pytest.mark.parametrize("step", Step)
def test_waiting_and_blocked_stop_from_any_step(step: Step) -> None:
    assert following(step, OutcomeKind.WAITING) is LifecyclePhase.WAITING
    assert following(step, OutcomeKind.BLOCKED) is LifecyclePhase.FAILED


@pytest.mark.parametrize(("step", "after"), [*pairwise(ORDER)])
def test_a_step_done_leads_to_the_next(step: Step, after: Step) -> None:
    assert following(step, OutcomeKind.DONE) is after


def test_the_last_step_done_is_ready() -> None:
    assert following(ORDER[-1], OutcomeKind.DONE) is LifecyclePhase.READY


@pytest.mark.parametrize(("phase", "outcome"), [*product(LifecyclePhase, OutcomeKind)])
def test_what_does_not_run_cannot_end(phase: LifecyclePhase, outcome: OutcomeKind) -> None:
    with pytest.raises(IllegalTransition):
        following(phase, outcome)


@pytest.mark.parametrize("plan", PLANS, ids="-".join)
def test_each_plan_runs_exactly_its_steps_in_order_and_ends_ready(plan: tuple[Step, ...]) -> None:
    shuffled = plan[::-1]
    ran = []
    place: Step | LifecyclePhase = first(shuffled)
    while isinstance(place, Step):
        ran.append(place)
        place = advance(place, OutcomeKind.DONE, shuffled)
    assert ran == list(plan)
    assert place is LifecyclePhase.READY


@pytest.mark.parametrize("plan", PLANS, ids="-".join)
def test_no_step_runs_that_was_not_planned(plan: tuple[Step, ...]) -> None:
    for step in set(Step) - set(plan):
        with pytest.raises(IllegalTransition):
            advance(step, OutcomeKind.DONE, plan)


def test_an_operation_without_steps_cannot_begin() -> None:
    with pytest.raises(IllegalTransition):
        first([])
