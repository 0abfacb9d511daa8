"""Each condition of a Workspace has one owner: one function that says what it is now.

    NodeClaimReady ─┐
    NodesReady     ─┴► ResourceReady ─┐
                       InferenceReady ─┴► WorkspaceSucceeded
    Progressing, RolloutHealthy, WorkspaceDeleting: beside them

Nothing is judged from a condition's old value. Messages depend on the report alone and hold no
time, so that the same state of affairs is the same text on every pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from api.conditions import ConditionStatus, ConditionType, Reason
from api.errors import BY_REASON, CapacityUnavailable, PlatformError, Remedy, trim
from api.payloads import (
    LifecyclePhase,
    Problem,
    ReportInput,
    RolloutMode,
    Step,
    StepRecord,
    StepState,
)

ORDER: Final = tuple(Step)
NODE_STEPS: Final = frozenset({Step.NODES})
INFERENCE_STEPS: Final = frozenset(Step) - NODE_STEPS - {Step.RETIRE}
"""Once traffic moved, the model is served; that earlier pods stop is nothing that users feel."""

AT_REST: Final = frozenset(
    {LifecyclePhase.READY, LifecyclePhase.ROLLED_BACK, LifecyclePhase.AWAITING_APPROVAL}
)
"""Phases in which nothing is under way, and a revision serves."""

_LEGAL_REASON: Final = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
"""What the CRD allows as a reason (metav1.Condition)."""


@dataclass(frozen=True)
class Verdict:
    """Status, reason and message of one condition."""

    status: ConditionStatus
    reason: str
    message: str


def judge(report: ReportInput) -> dict[ConditionType, Verdict]:
    """Return every condition that the Workspace has now, in the order in which it is shown."""
    verdicts = ((condition, owner(report)) for condition, owner in _OWNERS.items())
    return {
        condition: Verdict(verdict.status, legal_reason(verdict.reason), trim(verdict.message))
        for condition, verdict in verdicts
        if verdict is not None
    }


def legal_reason(reason: str) -> str:
    """Return a reason that the API server accepts, whatever an activity called its error."""
    return reason if _LEGAL_REASON.fullmatch(reason) else PlatformError.reason()


def is_ready(report: ReportInput) -> bool:
    """Return whether the Workspace is all that its spec asks for.

    A paused one may be: pausing stops the platform, not the model server.
    """
    is_as_asked = report.phase in {LifecyclePhase.READY, LifecyclePhase.PAUSED}
    return is_as_asked and report.given_up is None and serves(report)


def serves(report: ReportInput) -> bool:
    """Return whether a verified revision has the traffic, and nothing is being done about it.

    It need not be the one that the spec asks for: that may have failed, or wait for an approval.
    """
    is_at_rest = report.phase in {*AT_REST, LifecyclePhase.PAUSED}
    is_free = report.problem is None and not report.deleting
    return is_at_rest and is_free and _first_undone(report, frozenset(Step)) is None


# --- Owners ---------------------------------------------------------------------------------------


def _node_claim_ready(report: ReportInput) -> Verdict:
    return _after(report, NODE_STEPS, "Every node that the Workspace needs has been given.")


def _nodes_ready(report: ReportInput) -> Verdict:
    found = sorted(report.node_names)
    noun = "node is ready and shows its" if len(found) == 1 else "nodes are ready and show their"
    listed = f": {', '.join(found)}" if found else ""
    return _after(report, NODE_STEPS, f"{len(found)} {noun} GPUs{listed}.")


def _resource_ready(report: ReportInput) -> Verdict:
    return _after(report, NODE_STEPS, "The Workspace has the nodes that it needs.")


def _inference_ready(report: ReportInput) -> Verdict | None:
    if not report.has_inference:
        return None
    if report.preset:
        told = f"serves {report.preset}; it was asked and it answered"
    else:
        # Pods of the user's own: nobody knows what to ask them.
        told = "runs the pods of inference.template, and all of them are ready"
    message = f"Revision {_serving_revision(report)} {told}."
    return _after(report, INFERENCE_STEPS, message)


def _serving_revision(report: ReportInput) -> str:
    """Return the revision that answers where all steps are done."""
    is_asked_for = report.phase is not LifecyclePhase.AWAITING_APPROVAL
    return report.revision if is_asked_for else report.active_revision


def _job_started(report: ReportInput) -> Verdict | None:
    if report.has_inference:
        return None
    if report.problem is not None:
        return _false(report.problem.reason, report.problem.message)
    return _false(Reason.PENDING, "The tuning job has not started.")


def _workspace_succeeded(report: ReportInput) -> Verdict:
    if is_ready(report):
        message = f"Revision {report.revision} is ready."
        return Verdict(ConditionStatus.TRUE, Reason.READY, message)
    return (
        _deleting(report)
        or _problem(report)
        or _paused(report)
        or _restored(report)
        or _awaiting_approval(report)
        or _false(*_in_progress(report))
    )


def _workspace_deleting(report: ReportInput) -> Verdict | None:
    if not report.deleting:
        return None
    message = "Everything that the Workspace owns is being removed."
    if report.problem is not None:
        message = f"Removing what the Workspace owns is held up: {report.problem.message}"
    return Verdict(ConditionStatus.TRUE, Reason.DELETING, message)


def _progressing(report: ReportInput) -> Verdict:
    problem = _problem(report)
    if problem is not None:
        return Verdict(
            problem.status, problem.reason, f"{problem.message.rstrip('.')}. {_next_try(report)}."
        )
    if report.deleting:
        message = "Everything that the Workspace owns is being removed."
        return Verdict(ConditionStatus.TRUE, Reason.DELETING, message)
    if paused := _paused(report):
        return paused
    if is_ready(report):
        return _false(Reason.READY, "Nothing is left to do.")
    return _rollout_progressing(report) or Verdict(ConditionStatus.TRUE, *_in_progress(report))


def _rollout_progressing(report: ReportInput) -> Verdict | None:
    restored = _restored(report)
    if restored is not None and not serves(report):
        return Verdict(ConditionStatus.TRUE, restored.reason, restored.message)
    return restored or _awaiting_approval(report)


def _rollout_healthy(report: ReportInput) -> Verdict | None:
    if not report.has_inference or report.deleting:
        return None
    if report.problem is not None:
        return _false(report.problem.reason, f"{report.problem.message}{_still_serving(report)}")
    if restored := _restored(report):
        return restored
    if awaiting := _awaiting_approval(report):
        return Verdict(ConditionStatus.UNKNOWN, awaiting.reason, awaiting.message)
    if is_ready(report):
        message = f"Revision {report.revision} is the one that serves."
        return Verdict(ConditionStatus.TRUE, Reason.READY, message)
    message = f"Revision {report.revision or '-'} is not verified yet{_still_serving(report)}."
    return Verdict(ConditionStatus.UNKNOWN, Reason.IN_PROGRESS, message)


_OWNERS: Final[dict[ConditionType, Callable[[ReportInput], Verdict | None]]] = {
    ConditionType.NODE_CLAIM_READY: _node_claim_ready,
    ConditionType.NODES_READY: _nodes_ready,
    ConditionType.RESOURCE_READY: _resource_ready,
    ConditionType.INFERENCE_READY: _inference_ready,
    ConditionType.JOB_STARTED: _job_started,
    ConditionType.WORKSPACE_SUCCEEDED: _workspace_succeeded,
    ConditionType.WORKSPACE_DELETING: _workspace_deleting,
    ConditionType.PROGRESSING: _progressing,
    ConditionType.ROLLOUT_HEALTHY: _rollout_healthy,
}


# --- Steps ----------------------------------------------------------------------------------------


def step_of(problem: Problem) -> Step | None:
    """Return the step that a problem found by planning belongs to, if it belongs to one."""
    cause = BY_REASON.get(problem.reason)
    return Step.NODES if cause is not None and issubclass(cause, CapacityUnavailable) else None


def _after(report: ReportInput, steps: frozenset[Step], done: str) -> Verdict:
    """Judge a condition that is True once `steps`, and all before them, are done."""
    undone = _first_undone(report, steps)
    if deleting := _deleting(report):
        return deleting
    if undone is None:
        return Verdict(ConditionStatus.TRUE, Reason.READY, done)
    reason, message = _why_undone(report, undone, is_own=undone in steps)
    serving = _still_serving(report) if Step.TRAFFIC in steps else ""
    return _false(reason, f"{message.rstrip('.')}{serving}.")


def _why_undone(report: ReportInput, step: Step, *, is_own: bool) -> tuple[str, str]:
    cause = _cause(report, step)
    if is_own and cause is not None:
        return cause.reason, cause.message
    if report.problem is not None:
        return Reason.PENDING, "Waits until the problem is solved that WorkspaceSucceeded tells"
    if paused := _paused(report):
        return paused.reason, paused.message
    if is_own and _is_running(report, step):
        return Reason.IN_PROGRESS, f"Step {step} is running"
    return Reason.PENDING, f"Waits for step {step}"


def _cause(report: ReportInput, step: Step) -> Problem | None:
    """Return what stopped a step: what its activity said, or what planning found."""
    record = _record(report, step)
    if record is not None and record.reason:
        return Problem(reason=record.reason, message=record.message)
    if report.problem is not None and step_of(report.problem) is step:
        return report.problem
    return None


def _is_running(report: ReportInput, step: Step) -> bool:
    record = _record(report, step)
    return record is not None and record.state is StepState.RUNNING


def _first_undone(report: ReportInput, steps: frozenset[Step]) -> Step | None:
    """Return the first step, up to the last one of `steps`, that is not done."""
    last = max(ORDER.index(step) for step in steps)
    return next((step for step in ORDER[: last + 1] if not _is_done(report, step)), None)


def _is_done(report: ReportInput, step: Step) -> bool:
    if report.problem is not None and step_of(report.problem) is step:
        return False
    if not report.timeline:
        # Nothing had to be done and all is well, or nothing was begun yet.
        return report.phase in AT_REST
    record = _record(report, step)
    # An operation names only the steps that its plan found wanting; the others were well.
    return record is None or record.state is StepState.DONE


def _record(report: ReportInput, step: Step) -> StepRecord | None:
    return next((record for record in report.timeline if record.step is step), None)


# --- Common verdicts ------------------------------------------------------------------------------


def _false(reason: str, message: str) -> Verdict:
    return Verdict(ConditionStatus.FALSE, reason, message)


def _deleting(report: ReportInput) -> Verdict | None:
    return _false(Reason.DELETING, "The Workspace is being deleted.") if report.deleting else None


def _problem(report: ReportInput) -> Verdict | None:
    if report.problem is None:
        return None
    return _false(report.problem.reason, report.problem.message)


def _paused(report: ReportInput) -> Verdict | None:
    if not report.paused_reason and report.phase is not LifecyclePhase.PAUSED:
        return None
    why = f" ({report.paused_reason})" if report.paused_reason else ""
    return _false(Reason.PAUSED, f"Paused by an operator{why}; send the signal `resume` to go on.")


def _restored(report: ReportInput) -> Verdict | None:
    """Tell of a revision that failed, and of the good one that is in its stead."""
    if report.given_up is None:
        return None
    failed = report.given_up
    why = f"Revision {failed.revision} failed: {failed.problem.message.rstrip('.')}."
    if not serves(report):
        message = f"{why} Revision {report.revision}, the last good one, is being brought back."
        return _false(Reason.RESTORING, message)
    remedy = "Correct the spec, or send the signal `retry` to try it again"
    message = f"{why} Revision {report.revision} serves in its stead. {remedy}."
    return _false(Reason.ROLLED_BACK, message)


def _awaiting_approval(report: ReportInput) -> Verdict | None:
    if report.phase is not LifecyclePhase.AWAITING_APPROVAL:
        return None
    message = (
        f"Revision {report.revision} waits until an operator sends the signal `approve`"
        f"{_still_serving(report)}."
    )
    return _false(Reason.AWAITING_APPROVAL, message)


def _in_progress(report: ReportInput) -> tuple[str, str]:
    undone = _first_undone(report, frozenset(Step))
    if undone is None:
        return Reason.IN_PROGRESS, "All steps are done; the result is being looked at."
    if _is_running(report, undone):
        return Reason.IN_PROGRESS, f"Step {undone} is running."
    return Reason.IN_PROGRESS, f"Step {undone} is next."


def _next_try(report: ReportInput) -> str:
    cause = BY_REASON.get(report.problem.reason) if report.problem else None
    if report.phase is LifecyclePhase.FAILED or (cause and cause.remedy is Remedy.EDIT):
        return "It is tried again after an edit, or at once on the signal `retry`"
    return "It is tried again by itself, or at once on the signal `retry`"


def _still_serving(report: ReportInput) -> str:
    if not report.active_revision or report.active_revision == report.revision:
        return ""
    if report.mode is RolloutMode.IN_PLACE:
        # Nothing is reported when they stop, so this must be true before and after.
        return f"; revision {report.active_revision} serves until its pods make room"
    return f"; revision {report.active_revision} goes on serving"
