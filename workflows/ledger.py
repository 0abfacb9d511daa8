"""What a WorkspaceWorkflow remembers, and how it changes: operations, steps, refusals.

Time comes in as an argument, so that all of this is tested without Temporal.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from api import payloads as p
from api.conditions import Reason
from api.workflow_inputs import WorkspaceState
from workflows import limits, rollout
from workflows.describe import next_offer_words, offer_words
from workflows.lifecycle import ORDER, PHASE_WHILE_RUNNING, first

REFUSED: Final = "OrderRefused"
"""Reason of the Event that answers an order which can't be followed."""

_DOWNTIME: Final = "nobody answered for"


class Ledger:
    """The workflow's state and the Events that wait to be written."""

    def __init__(self, state: WorkspaceState) -> None:
        """Open the ledger where the run before this one left it."""
        self.state = state
        self.plan: p.WorkspacePlan | None = None
        self.events: list[p.EventNote] = []
        self._has_news = False

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
        is_open = self.state.operation_started_at is not None
        if not is_open and plan.generation != self.state.noted_generation:
            self.change(operation_notes=[])

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
        self.change(awaiting_revision="")
        if not any(record.reason for record in timeline):
            # The step that failed is no longer needed: the world mended itself.
            self.change(problem=None, failures_count=0)
        self.show_step(first(planned))
        if plan.announcement and not goes_on:
            self.note(p.EventKind.NORMAL, "RolloutStarted", plan.announcement, "RolloutStarted")
        is_news = self._has_news or not goes_on
        self._has_news = False
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
        # What is asked for now is told before it is waited for, which may take long.
        self._has_news = True
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
        self.note(p.EventKind.WARNING, problem.reason, message, outcome)

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
            given_up=None,
            restore="",
            awaiting_revision="",
            downtime_began_at=None,
        )
        return True

    def let_go(self, leftovers: list[str]) -> None:
        """Tell what a forced deletion leaves behind, before the object goes."""
        self.change(leftovers=leftovers)
        why = self.state.force_delete_reason
        left = ", ".join(leftovers)
        message = f"Deleted by force ({why}). "
        message += f"Left behind, to be removed by hand: {left}" if left else "Nothing is left."
        self.note(p.EventKind.WARNING, "ForceDeleted", message, "ForceDeleted")

    def close_other(self, revision: str, now: datetime) -> None:
        """End an operation for another revision: a newer spec (or a deletion) replaced it."""
        if self.state.operation_started_at is not None and self.state.revision != revision:
            self.close(p.OperationOutcome.SUPERSEDED, now)

    def succeed(self, revision: str, now: datetime) -> None:
        """End the operation, if one runs: the world is as it should be."""
        if self.state.operation_started_at is None and self.state.operation_notes:
            # An order that needed no step: what was asked for serves already.
            count = self.state.operations_count + 1
            self.change(operation_started_at=now, revision=revision, operations_count=count)
        given_up = self.state.given_up
        if self.state.operation_started_at is not None and given_up is not None:
            downtime = [one for one in self.state.operation_notes if one.startswith(_DOWNTIME)]
            seconds = self.close(p.OperationOutcome.RESTORED, now)
            self._note_restored(given_up, seconds, downtime)
        elif self.state.operation_started_at is not None:
            seconds = self.close(p.OperationOutcome.SUCCEEDED, now)
            message = f"Revision {self.state.revision} is ready after {seconds:.0f} s."
            self.note(p.EventKind.NORMAL, "Ready", message, str(p.OperationOutcome.SUCCEEDED))
        self.change(
            phase=p.LifecyclePhase.READY if given_up is None else p.LifecyclePhase.ROLLED_BACK,
            revision=revision,
            problem=None,
            failures_count=0,
            blocked_on="",
            awaiting_revision="",
            downtime_began_at=None,
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

    def stay_failed(self, revision: str, now: datetime) -> None:
        """Show again what failed and is not tried again before an edit or `retry`."""
        if self.state.given_up is not None:
            self.refuse_spec(self.state.given_up.problem, revision, now)
        self.change(phase=p.LifecyclePhase.FAILED)

    def wait(self, problem: p.Problem | None) -> None:
        """Keep the operation open for another attempt; a problem is shown, if there is one."""
        if problem is None:
            return
        if problem != self.state.problem:
            outcome = f"Waiting-{self.state.failures_count}"
            self.note(p.EventKind.WARNING, problem.reason, problem.message, outcome)
        phase = self.state.phase
        is_last = phase is p.LifecyclePhase.DELETING
        self.change(problem=problem, phase=phase if is_last else p.LifecyclePhase.WAITING)

    # --- Steps --------------------------------------------------------------------------------

    def step_started(self, step: p.Step) -> None:
        """Say that a step runs."""
        record = self._record(step)
        self._put(record, state=p.StepState.RUNNING, attempts=record.attempts + 1)
        self.show_step(step)

    def show_step(self, step: p.Step) -> None:
        """Show the phase that belongs to a step, unless a problem is shown."""
        if self.state.problem is None:
            restoring = p.LifecyclePhase.RESTORING
            is_restoring = self.state.given_up is not None
            self.change(phase=restoring if is_restoring else PHASE_WHILE_RUNNING[step])

    def step_done(self, step: p.Step, took: timedelta, message: str = "") -> None:
        """Say that a step's result was seen; a failure that it had is over."""
        record = self._record(step)
        if record.reason:
            self.change(problem=None, failures_count=0)
        self._put(
            record,
            state=p.StepState.DONE,
            seconds=_seconds(record, took),
            reason="",
            message=message,
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

    # --- Rollout and rollback -----------------------------------------------------------------

    def give_up(self, problem: p.Problem, restore: str, now: datetime) -> None:
        """End the operation, since its revision failed, and begin that for the good one."""
        failed = self.state.revision
        message = f"Revision {failed} failed: {problem.message.rstrip('.')}. "
        message += f"Revision {restore} is brought back."
        self.close(p.OperationOutcome.GIVEN_UP, now, problem)
        self.note(p.EventKind.WARNING, problem.reason, message, str(p.OperationOutcome.GIVEN_UP))
        self.change(
            given_up=p.GivenUp(revision=failed, problem=problem, failed_at=now),
            restore=restore,
            phase=p.LifecyclePhase.RESTORING,
            problem=None,
            failures_count=0,
        )
        self._open(restore, now)

    def must_plan_again(self, plan: p.WorkspacePlan) -> bool:
        """Compare a plan with what was given up; True when there is another one to keep.

        Another spec is another try, and then what was given up is forgotten.
        """
        given_up = self.state.given_up
        asked = rollout.asked_for(plan)
        if given_up is None:
            return False
        if asked and asked != given_up.revision:
            self.change(given_up=None, restore="")
            return False
        is_record_gone = rollout.outcome_of(plan, self.state.restore) is None
        if plan.revision == given_up.revision and is_record_gone:
            # What was to be kept was forgotten by somebody; there may be another one.
            other = rollout.good_revision(plan)
            self.change(restore=other or self.state.restore)
            return bool(other)
        return False

    def roll_back(self, revision: str, reason: str, generation: int, now: datetime) -> None:
        """Note that the spec was set back to a revision, as an operator ordered."""
        self.close_other(revision, now)
        why = reason or "no reason given"
        message = f"The spec goes back to revision {revision}, as ordered: {why}"
        outcome = f"RollbackOrdered-{generation}"
        self.note(p.EventKind.NORMAL, "RollbackOrdered", message, outcome)
        self.change(
            operation_notes=[f"rolled back by order: {why}"],
            noted_generation=generation,
            # Who orders a revision agrees with it.
            approved_revision=revision,
        )

    def await_approval(self, plan: p.WorkspacePlan) -> None:
        """Show that a revision waits for the order `approve`; people are told once."""
        is_news = self.state.awaiting_revision != plan.revision
        self.change(
            phase=p.LifecyclePhase.AWAITING_APPROVAL,
            awaiting_revision=plan.revision,
            problem=None,
            failures_count=0,
        )
        if is_news:
            message = f"Revision {plan.revision} waits for the order `approve`."
            if plan.announcement:
                message += f" {plan.announcement}"
            outcome = f"{Reason.AWAITING_APPROVAL}-{plan.revision}"
            self.note(p.EventKind.NORMAL, Reason.AWAITING_APPROVAL, message, outcome)

    def downtime_begins(self, now: datetime) -> None:
        """Note that what serves is being stopped; a second stop is the same downtime."""
        if self.state.downtime_began_at is None:
            self.change(downtime_began_at=now)

    def downtime_ends(self, now: datetime) -> str:
        """Note that somebody answers again; return how long nobody did, in words."""
        began_at = self.state.downtime_began_at
        if began_at is None:
            return ""
        words = f"{_DOWNTIME} {(now - began_at).total_seconds():.1f} s"
        notes = [*self.state.operation_notes, words]
        self.change(downtime_began_at=None, operation_notes=notes)
        return words

    def remember_outcome(self, revision: str, outcome: p.RevisionOutcome) -> None:
        """Keep what was just written down of a revision, until the next plan tells it."""
        if self.plan is None:
            return
        marked = p.RevisionRecord(revision=revision, outcome=outcome)
        lines = [
            one.model_copy(update={"outcome": outcome}) if one.revision == revision else one
            for one in self.plan.recorded
        ]
        is_new = all(one.revision != revision for one in lines)
        recorded = [marked, *lines] if is_new else lines
        self.plan = self.plan.model_copy(update={"recorded": recorded})

    # --- Orders -------------------------------------------------------------------------------

    def retry(self) -> None:
        """Forget a failure, so that the next pass tries again at once."""
        self.change(
            problem=None,
            failures_count=0,
            blocked_on="",
            next_wake_at=None,
            failed_offers=[],
            given_up=None,
            restore="",
            # A retry is a new attempt: its Events must not be taken for the last one's.
            operations_count=self.state.operations_count + 1,
        )
        self._has_news = True

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

    def close(
        self, outcome: p.OperationOutcome, now: datetime, problem: p.Problem | None = None
    ) -> float:
        """End the operation that is open, and return its seconds."""
        started = self.state.operation_started_at or now
        seconds = round((now - started).total_seconds(), 1)
        record = p.OperationRecord(
            revision=self.state.revision,
            generation=self.state.generation,
            outcome=outcome,
            reason=problem.reason if problem else "",
            message=problem.message if problem else "; ".join(self.state.operation_notes),
            seconds=seconds,
            finished_at=now,
        )
        history = [*self.state.history, record][-limits.MAX_OPERATION_RECORDS :]
        self.change(
            history=history, operation_started_at=None, failed_offers=[], operation_notes=[]
        )
        return seconds

    def _fail(self, problem: p.Problem, revision: str, now: datetime) -> None:
        if self.state.operation_started_at is None:
            # It ended before its first step.
            self.change(
                operation_started_at=now,
                operations_count=self.state.operations_count + 1,
                revision=revision,
            )
        self.close(p.OperationOutcome.FAILED, now, problem)
        self.note(
            p.EventKind.WARNING, problem.reason, problem.message, str(p.OperationOutcome.FAILED)
        )
        self.change(phase=p.LifecyclePhase.FAILED, problem=problem)

    def _open(self, revision: str, now: datetime) -> None:
        """Begin an operation before its plan is made; the plan finds it open."""
        self.change(
            operation_started_at=now,
            operations_count=self.state.operations_count + 1,
            revision=revision,
            timeline=[],
            blocked_on="",
        )

    def _note_restored(self, given_up: p.GivenUp, seconds: float, downtime: Sequence[str]) -> None:
        how = "was not stopped and goes on serving"
        if downtime:
            how = f"serves again after {seconds:.0f} s ({', '.join(downtime)})"
        message = (
            f"Revision {self.state.revision} {how}. Revision {given_up.revision}, which the spec "
            f"asks for, failed: {given_up.problem.message.rstrip('.')}. Correct the spec, or send "
            "`retry`."
        )
        outcome = str(p.OperationOutcome.RESTORED)
        self.note(p.EventKind.WARNING, Reason.ROLLED_BACK, message, outcome)

    def _blocking_key(self, revision: str) -> str:
        return f"{self.state.generation}/{revision}"

    def note(self, kind: p.EventKind, reason: str, message: str, outcome: str) -> None:
        """Let people know by an Event; `outcome` tells it from others of the operation."""
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
        elif step in known and known[step].state is p.StepState.DONE:
            lines.append(known[step])
        elif step in known:
            done = {"state": p.StepState.DONE, "reason": "", "message": ""}
            lines.append(known[step].model_copy(update=done))
    return lines
