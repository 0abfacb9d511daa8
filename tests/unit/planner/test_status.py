"""`.status`: complete, stable, and written only when it differs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from api.payloads import (
    GivenUp,
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
from planner.status import render_status

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
REF = WorkspaceRef(namespace="default", name="llm", uid="uid-1")


def report(**fields: object) -> ReportInput:
    defaults = {
        "generation": 3,
        "phase": LifecyclePhase.DEPLOYING,
        "revision": "abc",
        "active_revision": "old",
        "preset": "smollm2",
        "instance_type": "onebox.small",
        "target_node_count": 2,
        "warnings": ["count is raised to 2"],
        "node_names": ["b", "a"],
        "timeline": [
            StepRecord(step=Step.WORKLOAD, state=StepState.RUNNING, attempts=2),
            StepRecord(step=Step.NODES, state=StepState.DONE, seconds=3.14159, attempts=1),
        ],
        "history": [
            OperationRecord(
                revision="old",
                generation=2,
                outcome=OperationOutcome.SUCCEEDED,
                seconds=61.26,
                finished_at=datetime(2026, 1, 1, 13, tzinfo=timezone(timedelta(hours=2))),
            )
        ],
    }
    return ReportInput(workspace=REF, **{**defaults, **fields})


def written(
    given_report: ReportInput, current: dict[str, Any], now: datetime = NOON
) -> dict[str, Any]:
    status = render_status(given_report, current, now)
    assert status is not None
    return status


def condition(status: dict[str, Any], condition_type: str) -> dict[str, Any]:
    return next(one for one in status["conditions"] if one["type"] == condition_type)


def test_a_status_tells_where_the_workspace_is_in_kubernetes_own_spelling() -> None:
    status = written(report(), {})
    conditions = status.pop("conditions")
    assert status == {
        "phase": "Deploying",
        "state": "Pending",
        "observedGeneration": 3,
        "revision": "abc",
        "activeRevision": "old",
        "preset": "smollm2",
        "instanceType": "onebox.small",
        "targetNodeCount": 2,
        "warnings": ["count is raised to 2"],
        "workerNodes": ["a", "b"],
        "timeline": [
            {
                "step": "nodes",
                "state": "done",
                "seconds": 3.1,
                "reason": "",
                "message": "",
                "attempts": 1,
            },
            {
                "step": "workload",
                "state": "running",
                "seconds": 0.0,
                "reason": "",
                "message": "",
                "attempts": 2,
            },
        ],
        "history": [
            {
                "revision": "old",
                "generation": 2,
                "outcome": "Succeeded",
                "reason": "",
                "message": "",
                "seconds": 61.3,
                "finishedAt": "2026-01-01T11:00:00Z",
            }
        ],
    }
    assert {one["observedGeneration"] for one in conditions} == {3}
    assert {one["lastTransitionTime"] for one in conditions} == {"2026-01-01T12:00:00Z"}


def test_the_same_report_is_not_written_twice() -> None:
    status = written(report(), {})
    assert render_status(report(), status, LATER) is None


def test_the_order_of_conditions_in_the_cluster_is_no_difference() -> None:
    status = written(report(), {})
    status["conditions"].reverse()
    assert render_status(report(node_names=["a", "b"]), status, LATER) is None


def test_a_new_message_moves_no_time_and_a_new_status_does() -> None:
    first = written(report(), {})
    problem = Problem(reason="RuntimeFailed", message="exit code 1")
    failed = written(report(phase=LifecyclePhase.WAITING, problem=problem), first, LATER)
    succeeded = condition(failed, "WorkspaceSucceeded")
    assert succeeded["message"] == "exit code 1"
    assert succeeded["lastTransitionTime"] == "2026-01-01T12:00:00Z"
    assert condition(failed, "Progressing")["lastTransitionTime"] == "2026-01-01T13:00:00Z"


def test_a_condition_that_no_longer_applies_goes() -> None:
    deleting = written(report(deleting=True, phase=LifecyclePhase.DELETING), {})
    assert condition(deleting, "WorkspaceDeleting")
    again = written(report(), deleting, LATER)
    assert "WorkspaceDeleting" not in {one["type"] for one in again["conditions"]}


def test_conditions_of_others_are_kept_as_they_are() -> None:
    theirs = {"type": "example.com/Audited", "status": "True", "lastTransitionTime": "x"}
    status = written(report(), {"conditions": [theirs]})
    assert condition(status, "example.com/Audited") == theirs


@pytest.mark.parametrize(
    "odd",
    [
        {"conditions": None},
        {"conditions": "text"},
        {"conditions": [None, {"type": None}, {"status": 7}]},
        {"timeline": 3, "phase": ["x"]},
    ],
)
def test_an_odd_status_in_the_cluster_is_replaced(odd: dict[str, Any]) -> None:
    status = written(report(), odd)
    assert status["phase"] == "Deploying"
    assert render_status(report(), status, LATER) is None


def test_the_newest_operation_comes_first_for_people() -> None:
    ended = [
        OperationRecord(revision=name, outcome=OperationOutcome.FAILED) for name in ("old", "new")
    ]
    history = written(report(history=ended), {})["history"]
    assert [line["revision"] for line in history] == ["new", "old"]


def test_a_status_is_what_the_crd_has_fields_for() -> None:
    status = written(report(), {})
    known = WorkspaceStatus.model_validate(status).model_dump(by_alias=True, mode="json")
    for key, value in status.items():
        if isinstance(value, list):
            assert [sorted(one) if isinstance(one, dict) else one for one in value] == [
                sorted(one) if isinstance(one, dict) else one for one in known[key]
            ], key
        else:
            assert known[key] == value, key


def test_the_state_is_pending_until_the_first_time_that_it_is_ready() -> None:
    ready = {"phase": LifecyclePhase.READY, "active_revision": "abc", "timeline": []}
    assert written(report(), {})["state"] == "Pending"
    first = written(report(**ready), {"state": "Pending"})
    assert first["state"] == "Ready"
    assert written(report(), first)["state"] == "NotReady"
    assert written(report(**ready), {"state": "NotReady"})["state"] == "Ready"


def test_the_state_is_ready_while_any_good_revision_serves() -> None:
    problem = Problem(reason="RuntimeFailed", message="it exits")
    for fields in (
        {
            "phase": LifecyclePhase.ROLLED_BACK,
            "given_up": GivenUp(revision="bad", problem=problem),
        },
        {"phase": LifecyclePhase.AWAITING_APPROVAL},
    ):
        assert written(report(timeline=[], **fields), {"state": "Ready"})["state"] == "Ready"
