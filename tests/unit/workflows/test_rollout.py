"""What a plan means for revisions: who is in the way, who is to blame, who comes back."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

import pytest

from api import payloads as p
from api.errors import (
    CapacityUnavailable,
    ClusterUnavailable,
    PlatformError,
    QuotaExceeded,
    Remedy,
    RuntimeFailed,
)
from api.workflow_inputs import WorkspaceState
from workflows import rollout
from workflows.failures import ActivityFailed

GOOD, BAD, UNKNOWN = (
    p.RevisionOutcome.GOOD,
    p.RevisionOutcome.GIVEN_UP,
    p.RevisionOutcome.UNKNOWN,
)
CRASH = p.Problem(reason="RuntimeFailed", message="crash loop")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def plan(**fields: object) -> p.WorkspacePlan:
    """Plan revision c while b serves; a and b are good."""
    base = p.WorkspacePlan(
        found=True,
        revision="c",
        spec_revision="c",
        active_revision="b",
        recorded=records(c=UNKNOWN, b=GOOD, a=GOOD),
        stale_revisions=["a", "b"],
        steps=[p.Step.WORKLOAD],
    )
    return base.model_copy(update=fields)


def records(**outcomes: p.RevisionOutcome) -> list[p.RevisionRecord]:
    return [p.RevisionRecord(revision=name, outcome=each) for name, each in outcomes.items()]


def failed(
    activity: str = "await_workload", error: type[PlatformError] = RuntimeFailed
) -> ActivityFailed:
    return ActivityFailed(activity, p.Problem(reason=error.reason(), message="why"), error.remedy)


def test_in_place_everything_old_is_in_the_way() -> None:
    assert rollout.in_the_way(plan(mode=p.RolloutMode.IN_PLACE)) == ["a", "b"]


def test_by_surge_what_serves_is_in_nobodys_way() -> None:
    assert rollout.in_the_way(plan(mode=p.RolloutMode.SURGE)) == ["a"]


def test_a_plan_of_an_earlier_version_retires_as_it_did() -> None:
    old = p.WorkspacePlan(found=True, revision="c", stale_revisions=["a", "b"])
    assert rollout.in_the_way(old) == ["a", "b"]
    assert rollout.left_over(old) == []


@pytest.mark.parametrize("steps", [[p.Step.WORKLOAD], [p.Step.RETIRE], [*p.Step]])
def test_what_a_step_stops_is_not_left_over(steps: list[p.Step]) -> None:
    assert rollout.left_over(plan(steps=steps)) == []


@pytest.mark.parametrize("steps", [[], [p.Step.ENDPOINT, p.Step.TRAFFIC]])
def test_what_no_step_stops_is_left_over(steps: list[p.Step]) -> None:
    assert rollout.left_over(plan(steps=steps)) == ["a", "b"]


@pytest.mark.parametrize(
    ("recorded", "active", "expected"),
    [
        (records(c=UNKNOWN, b=GOOD, a=GOOD), "b", "b"),
        (records(c=UNKNOWN, b=GOOD, a=GOOD), "a", "a"),
        (records(c=UNKNOWN, b=UNKNOWN, a=GOOD), "b", "b"),
        (records(c=UNKNOWN, b=BAD, a=GOOD), "b", "a"),
        (records(c=UNKNOWN, b=UNKNOWN, a=GOOD), "", "a"),
        (records(c=GOOD, b=UNKNOWN), "", ""),
        (records(c=GOOD), "b", ""),
        ([], "b", ""),
    ],
)
def test_what_serves_comes_back_else_the_newest_good_one(
    recorded: list[p.RevisionRecord], active: str, expected: str
) -> None:
    assert rollout.good_revision(plan(recorded=recorded, active_revision=active)) == expected


def test_the_failed_revision_is_never_its_own_way_back() -> None:
    outcomes = [GOOD, BAD, UNKNOWN]
    for mine, other, active in product(outcomes, outcomes, ["", "b", "c"]):
        it = plan(recorded=records(c=mine, b=other), active_revision=active)
        assert rollout.revision_to_restore(it, WorkspaceState(), failed()) != "c"


@pytest.mark.parametrize("activity", sorted(rollout.BLAMED))
def test_a_failed_rollout_is_undone(activity: str) -> None:
    assert rollout.revision_to_restore(plan(), WorkspaceState(), failed(activity)) == "b"


@pytest.mark.parametrize(
    ("fields", "state", "failure"),
    [
        ({"auto_rollback": False}, WorkspaceState(), failed()),
        ({"active_revision": "c"}, WorkspaceState(), failed()),
        (
            {"active_revision": "", "recorded": records(c=GOOD, a=GOOD)},
            WorkspaceState(),
            failed(),
        ),
        ({}, WorkspaceState(given_up=p.GivenUp(revision="d", problem=CRASH)), failed()),
        ({}, WorkspaceState(), failed("await_nodes")),
        ({}, WorkspaceState(), failed("retire_workloads")),
        ({}, WorkspaceState(), failed("ensure_traffic")),
        ({}, WorkspaceState(), failed(error=QuotaExceeded)),
        ({}, WorkspaceState(), failed(error=CapacityUnavailable)),
        ({}, WorkspaceState(), failed(error=ClusterUnavailable)),
    ],
)
def test_what_is_no_failed_rollout_is_not_undone(
    fields: dict[str, object], state: WorkspaceState, failure: ActivityFailed
) -> None:
    assert rollout.revision_to_restore(plan(**fields), state, failure) == ""


def test_a_cluster_that_was_away_for_long_is_still_no_fault_of_a_revision() -> None:
    problem = p.Problem(reason=ClusterUnavailable.reason(), message="connection refused")
    assert not rollout.is_blamed(ActivityFailed("await_workload", problem, Remedy.SLOW_RETRY))


@pytest.mark.parametrize(
    ("fields", "state", "needs"),
    [
        ({}, WorkspaceState(), True),
        ({"requires_approval": False}, WorkspaceState(), False),
        ({"steps": []}, WorkspaceState(), False),
        ({"spec_revision": "d"}, WorkspaceState(), False),
        ({}, WorkspaceState(approved_revision="c"), False),
        ({}, WorkspaceState(approved_revision="b"), True),
        ({}, WorkspaceState(revision="c", operation_started_at=NOW), False),
        ({}, WorkspaceState(revision="b", operation_started_at=NOW), True),
    ],
)
def test_an_approval_is_needed_once_a_revision_and_before_it_begins(
    fields: dict[str, object], state: WorkspaceState, needs: bool
) -> None:
    it = plan(**({"requires_approval": True} | fields))
    assert rollout.needs_approval(it, state) is needs


@pytest.mark.parametrize(
    ("fields", "revision", "target", "why"),
    [
        ({}, "", "b", ""),
        ({}, "a", "a", ""),
        ({"spec_revision": "b"}, "", "a", ""),
        ({"spec_revision": "b"}, "b", "b", "what the spec asks for already"),
        ({}, "x", "x", "recorded are: c, b, a"),
        ({"recorded": []}, "x", "x", "recorded are: none"),
        ({"recorded": records(c=GOOD)}, "", "", "no earlier revision"),
        ({"recorded": records(c=GOOD, b=BAD)}, "b", "b", "was given up"),
        ({"recorded": records(c=GOOD, b=BAD, a=GOOD)}, "", "a", ""),
        ({"recorded": records(c=GOOD, b=UNKNOWN)}, "b", "b", ""),
        ({"deleting": True}, "a", "a", "being deleted"),
        ({"spec_revision": ""}, "", "b", ""),
    ],
)
def test_an_order_means_one_revision_or_is_refused(
    fields: dict[str, object], revision: str, target: str, why: str
) -> None:
    order = p.RollbackOrder(revision=revision)
    it = plan(**fields)
    assert rollout.rollback_target(order, it) == target
    refusal = rollout.rollback_refusal(order, it)
    assert why in refusal
    assert bool(refusal) is bool(why)
