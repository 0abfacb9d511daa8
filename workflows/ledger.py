"""What a WorkspaceWorkflow remembers, and how it changes: operations, steps, refusals.

Time comes in as an argument, so that all of this is tested without Temporal.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from api import payloads as p
from api.workflow_inputs import WorkspaceState
from workflows import limits
from workflows.describe import next_offer_words, offer_words
from workflows.lifecycle import ORDER, PHASE_WHILE_RUNNING, first


class Ledger:
    """The workflow's state and the Events that wait to be written."""

    def __init__(self, state: WorkspaceState) -> None:
        """Open the ledger where the run before this one left it."""
        self.state = state
        self.plan: p.WorkspacePlan | None = None
        self.events: list[p.EventNote] = []
        self._is_retry_ordered = False

    def change(self, **fields: Any) -> None:
        """Replace fields of the (frozen) state."""
        self.state = self.state.model_copy(update=fields)

    def remember(self, plan: p.WorkspacePlan) -> None:
        """Keep the newest plan, and note which object and generation it is about."""
        if plan.deleting and self.plan is not None:
            # A plan for a deletion looks at nothing else; what people read should stay.
            kept = {"preset": self.plan.preset, "instance_type": self.plan.instance_type}
            plan = plan.model_copy(update=kept)
        self.plan = plan
        has_resources = self.state.has_resources or plan.adopted
        self.change(uid=plan.uid, generation=plan.generation, has_resources=has_resources)
        if plan.recent_claims is not None:
            self.change(recent_claims=plan.recent_claims)

    def start_afresh(self, uid: str) -> None:
        """Forget an object that is gone; another one has its name now."""
        self.state = WorkspaceState(
            uid=uid,
            operations_count=self.state.operations_count,
            refusals_count=self.state.refusals_count,
        )
        self.plan = None
        self.events.clear()

    def wake_after(self, seconds: float, now: datetime) -> None:
        """Set when to look again, as a point in time."""
        self.change(next_wake_at=now + timedelta(seconds=seconds))

    # --- Operations ---------------------------------------------------------------------------

    def begin_operation(self, plan: p.WorkspacePlan, now: datetime) -> bool:
        """Begin an operation, or go on with the one for the same revision.

        Returns whether people should hear of it at once: it is new, or somebody ordered it.
        """
        state = self.state
        goes_on = state.operation_started_at is not None and state.revision == plan.revision
        planned = [step for step in ORDER if step in plan.steps]
        if goes_on:
            timeline = _planned_anew(state.timeline, planned)
        else:
            self.close_other(plan.revision, now)
            timeline = [p.StepRecord(step=step) for step in planned]
            self.change(
                problem=None,
                failures_count=0,
                operation_started_at=now,
                operations_count=state.operations_count + 1,
            )
        self.change(timeline=timeline, revision=plan.revision, blocked_on="")
        if not any(record.reason for record in timeline):
            # The step that failed is no longer needed: the world mended itself.
            self.change(problem=None, failures_count=0)
        if self.state.problem is None:
            self.change(phase=PHASE_WHILE_RUNNING[first(planned)])
        is_news = self._is_retry_ordered or not goes_on
        self._is_retry_ordered = False
        return is_news

    # --- Offers -------------------------------------------------------------------------------

    def fall_back(
        self, plan: p.WorkspacePlan, problem: p.Problem, took: timedelta, now: datetime
    ) -> None:
        """Note that the plan's offer can't be had; the operation goes on with the next one."""
        offer = plan.offer or p.Offer(instance_type=plan.instance_type)
        failed = p.FailedOffer(
            offer=offer,
            reason=problem.reason,
            message=problem.message,
            seconds=round(took.total_seconds(), 1),
            failed_at=now,
        )
        self.change(failed_offers=[*self.state.failed_offers, failed])
        told = f"{offer_words(offer)} can't be had: {problem.message.rstrip('.')}"
        record = p.OperationRecord(
            revision=self.state.revision,
            generation=self.state.generation,
            outcome=p.OperationOutcome.FELL_BACK,
            reason=problem.reason,
            message=told,
            seconds=failed.seconds,
            finished_at=now,
        )
        # When all is tried again and fails as before, the line is renewed: many rounds must not
        # push everything else out.
        others = [line for line in self.state.history if not _is_repeated(line, record)]
        self.change(history=[*others, record][-limits.MAX_OPERATION_RECORDS :])
        message = f"{told} ({failed.seconds:.0f} s); {next_offer_words(plan, offer)}"
        outcome = f"{p.OperationOutcome.FELL_BACK}-{offer_words(offer)}-{problem.reason}"
        self._note(p.EventKind.WARNING, problem.reason, message, outcome)

    def forget_failed_offers(self, plan: p.WorkspacePlan) -> bool:
        """Forget what another spec asked for in vain; True when the plan must be made anew."""
        state = self.state
        is_same = plan.uid == state.uid and plan.generation == state.generation
        if not state.failed_offers or plan.deleting or not plan.found:
            return False
        if is_same and plan.revision in {state.revision, ""}:
            return False
        self.change(failed_offers=[])
        return True

    def exhaust(self, problem: p.Problem) -> None:
        """Show that nothing can be had; the next attempt begins with the first offer again."""
        self.change(failures_count=self.state.failures_count + 1, failed_offers=[])
        self.step_stopped(p.Step.NODES, p.StepState.WAITING, timedelta(0), problem)
        self.wait(problem)

    def begin_deleting(self, now: datetime) -> bool:
        """Enter the last phase of an object; True the first time."""
        if self.state.phase is p.LifecyclePhase.DELETING:
            return False
        self.close_other("", now)
        self.change(
            phase=p.LifecyclePhase.DELETING,
            is_paused=False,
            paused_reason="",
            operation_started_at=now,
            problem=None,
            failures_count=0,
            blocked_on="",
        )
        return True

    def close_other(self, revision: str, now: datetime) -> None:
        """End an operation for another revision: a newer spec (or a deletion) replaced it."""
        if self.state.operation_started_at is not None and self.state.revision != revision:
            self._close(p.OperationOutcome.SUPERSEDED, now)

    def succeed(self, revision: str, now: datetime) -> None:
        """End the operation, if one runs: the world is as it should be."""
        if self.state.operation_started_at is not None:
            seconds = self._close(p.OperationOutcome.SUCCEEDED, now)
            message = f"Revision {self.state.revision} is ready after {seconds:.0f} s."
            self._note(p.EventKind.NORMAL, "Ready", message, str(p.OperationOutcome.SUCCEEDED))
        self.change(
            phase=p.LifecyclePhase.READY,
            revision=revision,
            problem=None,
            failures_count=0,
            blocked_on="",
            timeline=_planned_anew(self.state.timeline, []),
        )

    def block(self, problem: p.Problem, revision: str, now: datetime) -> None:
        """End the operation as failed: nobody tries this spec again before an edit or `retry`."""
        self._fail(problem, revision, now)
        self.change(blocked_on=self._blocking_key(revision))

    def refuse_spec(self, problem: p.Problem, revision: str, now: datetime) -> None:
        """Show that planning refused the spec; a later plan may find that it is good after all."""
        key = f"{self.state.generation}/refused"
        if self.state.blocked_on != key or self.state.problem != problem:
            self._fail(problem, revision, now)
        self.change(phase=p.LifecyclePhase.FAILED, blocked_on=key)

    def is_blocked(self, revision: str) -> bool:
        """Whether this very spec failed in a way that only an edit or `retry` mends."""
        return self.state.blocked_on == self._blocking_key(revision)

    def wait(self, problem: p.Problem | None) -> None:
        """Keep the operation open for another attempt; a problem is shown, if there is one."""
        if problem is None:
            return
        if problem != self.state.problem:
            outcome = f"Waiting-{self.state.failures_count}"
            self._note(p.EventKind.WARNING, problem.reason, problem.message, outcome)
        phase = self.state.phase
        is_last = phase is p.LifecyclePhase.DELETING
        self.change(problem=problem, phase=phase if is_last else p.LifecyclePhase.WAITING)

    # --- Steps --------------------------------------------------------------------------------

    def step_started(self, step: p.Step) -> None:
        """Say that a step runs."""
        record = self._record(step)
        self._put(record, state=p.StepState.RUNNING, attempts=record.attempts + 1)
        if self.state.problem is None:
            self.change(phase=PHASE_WHILE_RUNNING[step])

    def step_done(self, step: p.Step, took: timedelta) -> None:
        """Say that a step's result was seen; a failure that it had is over."""
        record = self._record(step)
        if record.reason:
            self.change(problem=None, failures_count=0)
        self._put(
            record,
            state=p.StepState.DONE,
            seconds=_seconds(record, took),
            reason="",
            message="",
        )

    def step_stopped(
        self, step: p.Step, state: p.StepState, took: timedelta, problem: p.Problem | None
    ) -> None:
        """Say that a step waits or is blocked, and why if that is for people."""
        record = self._record(step)
        self._put(
            record,
            state=state,
            seconds=_seconds(record, took),
            reason=problem.reason if problem else record.reason,
            message=problem.message if problem else record.message,
        )

    def waits_in(self, step: p.Step) -> bool:
        """Whether this step failed and its next attempt has a time."""
        return any(
            record.step is step and record.state is p.StepState.WAITING
            for record in self.state.timeline
        )

    # --- Orders -------------------------------------------------------------------------------

    def retry(self) -> None:
        """Forget a failure, so that the next pass tries again at once."""
        self.change(
            problem=None,
            failures_count=0,
            blocked_on="",
            next_wake_at=None,
            failed_offers=[],
            # A retry is a new attempt: its Events must not be taken for the last one's.
            operations_count=self.state.operations_count + 1,
        )
        self._is_retry_ordered = True

    def refuse(self, order: str, why: str, reason: str) -> None:
        """Answer an order that can't be followed."""
        count = self.state.refusals_count + 1
        message = f"The order `{order}` was not followed: {why}"
        self.change(refusals_count=count, last_refusal=message)
        key = f"{self.state.generation}-refused-{order}-{count}"
        self.events.append(
            p.EventNote(kind=p.EventKind.WARNING, reason=reason, message=message, key=key)
        )

    # --- Inside -------------------------------------------------------------------------------

    def _close(
        self, outcome: p.OperationOutcome, now: datetime, problem: p.Problem | None = None
    ) -> float:
        started = self.state.operation_started_at or now
        seconds = round((now - started).total_seconds(), 1)
        record = p.OperationRecord(
            revision=self.state.revision,
            generation=self.state.generation,
            outcome=outcome,
            reason=problem.reason if problem else "",
            message=problem.message if problem else "",
            seconds=seconds,
            finished_at=now,
        )
        history = [*self.state.history, record][-limits.MAX_OPERATION_RECORDS :]
        self.change(history=history, operation_started_at=None, failed_offers=[])
        return seconds

    def _fail(self, problem: p.Problem, revision: str, now: datetime) -> None:
        if self.state.operation_started_at is None:
            # It ended before its first step.
            self.change(
                operation_started_at=now,
                operations_count=self.state.operations_count + 1,
                revision=revision,
            )
        self._close(p.OperationOutcome.FAILED, now, problem)
        self._note(
            p.EventKind.WARNING, problem.reason, problem.message, str(p.OperationOutcome.FAILED)
        )
        self.change(phase=p.LifecyclePhase.FAILED, problem=problem)

    def _blocking_key(self, revision: str) -> str:
        return f"{self.state.generation}/{revision}"

    def _note(self, kind: p.EventKind, reason: str, message: str, outcome: str) -> None:
        state = self.state
        key = f"{state.generation}-{state.revision}-{outcome}-{state.operations_count}"
        self.events.append(p.EventNote(kind=kind, reason=reason, message=message, key=key))

    def _record(self, step: p.Step) -> p.StepRecord:
        return next(record for record in self.state.timeline if record.step is step)

    def _put(self, record: p.StepRecord, **fields: Any) -> None:
        changed = record.model_copy(update=fields)
        self.change(timeline=[changed if line is record else line for line in self.state.timeline])


def _seconds(record: p.StepRecord, took: timedelta) -> float:
    return round(record.seconds + took.total_seconds(), 1)


def _is_repeated(line: p.OperationRecord, newer: p.OperationRecord) -> bool:
    moved_on = {"seconds": newer.seconds, "finished_at": newer.finished_at}
    return line.model_copy(update=moved_on) == newer


def _planned_anew(timeline: list[p.StepRecord], planned: list[p.Step]) -> list[p.StepRecord]:
    """Keep what is known of each step; what no longer needs doing is done."""
    known = {record.step: record for record in timeline}
    lines: list[p.StepRecord] = []
    for step in ORDER:
        if step in planned:
            line = known.get(step, p.StepRecord(step=step))
            if line.state is p.StepState.DONE:
                line = line.model_copy(update={"state": p.StepState.PENDING})
            lines.append(line)
        elif step in known:
            done = {"state": p.StepState.DONE, "reason": "", "message": ""}
            lines.append(known[step].model_copy(update=done))
    return lines
