"""What hints add up to: what outdates work, what makes a plan old, what is noise."""

from __future__ import annotations

import pytest

from api.payloads import DesiredChanged, WorkspacePlan
from workflows.hints import HintBox, Target, is_older

WORK = Target(uid="u1", generation=2)
TEARDOWN = Target(uid="u1", generation=2, is_teardown=True)


def hint(generation: int = 0, *, uid: str = "u1", **fields: object) -> DesiredChanged:
    return DesiredChanged.model_validate({"uid": uid, "generation": generation, **fields})


def box(*hints: DesiredChanged) -> HintBox:
    filled = HintBox()
    for each in hints:
        filled.put(each)
    return filled


@pytest.mark.parametrize(
    ("came", "is_outdated"),
    [
        (hint(0), False),
        (hint(1), False),
        (hint(2), False),
        (hint(3), True),
        (hint(3, uid=""), True),
        (hint(2, deleting=True), True),
        (hint(0, deleting=True), True),
        (hint(1, uid="u2"), True),
        (hint(0, uid="u2"), False),
    ],
)
def test_only_news_about_the_object_itself_outdates_work(
    came: DesiredChanged, is_outdated: bool
) -> None:
    assert box(came).supersedes(WORK) is is_outdated


@pytest.mark.parametrize("came", [hint(9), hint(9, deleting=True), hint(1, uid="u2")])
def test_nothing_outdates_a_teardown(came: DesiredChanged) -> None:
    assert not box(came).supersedes(TEARDOWN)


def test_nothing_outdates_work_that_has_no_plan_yet() -> None:
    assert not box(hint(9)).supersedes(None)


def test_a_late_hint_takes_nothing_from_a_newer_one() -> None:
    newest = box(hint(5, deleting=True), hint(3)).take()
    assert newest is not None
    assert (newest.generation, newest.deleting) == (5, True)


def test_a_hint_that_repeats_the_last_one_is_dropped() -> None:
    filled = box(hint(2, resource_version="7"))
    filled.take()
    filled.put(hint(2, resource_version="7"))
    assert not filled.is_filled
    filled.put(hint(2, resource_version="8"))
    assert filled.is_filled


def test_taking_empties_the_box() -> None:
    filled = box(hint(2))
    filled.take()
    assert (filled.is_filled, filled.take()) == (False, None)


def test_hints_about_an_object_that_is_gone_count_no_more() -> None:
    filled = box(hint(2, deleting=True), hint(0))
    filled.forget("u1")
    filled.put(hint(3))
    assert not filled.is_filled
    filled.put(hint(1, uid="u2"))
    assert filled.is_filled


def test_a_hint_without_a_uid_is_never_explained_away() -> None:
    filled = box(hint(0, uid=""))
    filled.forget("u1")
    filled.forget("")
    assert filled.is_filled


@pytest.mark.parametrize(
    ("plan", "came", "is_old"),
    [
        (WorkspacePlan(found=True, uid="u1", generation=2), None, False),
        (WorkspacePlan(found=True, uid="u1", generation=2), hint(2), False),
        (WorkspacePlan(found=True, uid="u1", generation=3), hint(2), False),
        (WorkspacePlan(found=True, uid="u1", generation=1), hint(2), True),
        (WorkspacePlan(found=True, uid="u1", generation=2), hint(2, deleting=True), True),
        (WorkspacePlan(found=True, uid="u0", generation=2), hint(1), True),
        (WorkspacePlan(found=True, uid="u2", generation=1), hint(2, deleting=True), False),
        (WorkspacePlan(), hint(1), True),
        (WorkspacePlan(), hint(1, deleting=True), False),
    ],
)
def test_a_plan_is_old_when_it_has_not_seen_what_the_hint_has(
    plan: WorkspacePlan, came: DesiredChanged | None, is_old: bool
) -> None:
    assert is_older(plan, came) is is_old
