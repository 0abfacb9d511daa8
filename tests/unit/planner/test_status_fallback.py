"""What `.status` says of offers that could not be had."""

from __future__ import annotations

from datetime import UTC, datetime

from api.conditions import ConditionStatus, ConditionType
from api.payloads import (
    LifecyclePhase,
    OperationOutcome,
    OperationRecord,
    Problem,
    ReportInput,
    Step,
    StepRecord,
    StepState,
    WorkspaceRef,
)
from api.workspace import WorkspaceStatus
from planner.conditions import judge
from planner.status import render_status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LINES = (
    "None of the candidates can be had:\n"
    "large on-demand: QuotaExceeded: 0 of 24 left, after 3 s\n"
    "small on-demand: InsufficientCapacity: none free, after 4 s"
)
PROBLEM = Problem(reason="InsufficientCapacity", message=LINES)
FELL_BACK = OperationRecord(
    revision="a",
    generation=1,
    outcome=OperationOutcome.FELL_BACK,
    reason="QuotaExceeded",
    message="large on-demand can't be had: 0 of 24 left",
    seconds=3.2,
    finished_at=NOW,
)
REPORT = ReportInput(
    workspace=WorkspaceRef(namespace="default", name="chat", uid="u"),
    generation=1,
    phase=LifecyclePhase.WAITING,
    revision="a",
    timeline=[
        StepRecord(
            step=Step.NODES,
            state=StepState.WAITING,
            reason=PROBLEM.reason,
            message=PROBLEM.message,
            attempts=2,
        ),
        StepRecord(step=Step.IMAGES),
    ],
    history=[FELL_BACK],
    problem=PROBLEM,
)


def test_the_claims_condition_has_a_line_for_each_candidate() -> None:
    verdict = judge(REPORT)[ConditionType.NODE_CLAIM_READY]
    assert (verdict.status, verdict.reason) == (ConditionStatus.FALSE, "InsufficientCapacity")
    assert verdict.message == f"{LINES}."


def test_it_is_tried_again_by_itself() -> None:
    verdict = judge(REPORT)[ConditionType.PROGRESSING]
    assert verdict.message.endswith(
        "It is tried again by itself, or at once on the signal `retry`."
    )


def test_each_attempt_is_a_line_of_the_history() -> None:
    status = render_status(REPORT, {}, NOW)
    assert status is not None
    (line,) = status["history"]
    assert line == {
        "revision": "a",
        "generation": 1,
        "outcome": "FellBack",
        "reason": "QuotaExceeded",
        "message": "large on-demand can't be had: 0 of 24 left",
        "seconds": 3.2,
        "finishedAt": "2026-01-01T00:00:00Z",
    }
    assert WorkspaceStatus.model_validate(status).history[0].outcome == "FellBack"
