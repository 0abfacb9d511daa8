"""WorkspaceWorkflow: the one owner of a Workspace, for as long as the object lives.

    wake -> plan -> run the planned steps -> report -> wait (signal, timer, deletion)

Signals only set flags; the loop reads the world anew in each pass, so a signal that comes twice,
late or never costs at most a pass or a resync. Work in flight is one asyncio task per pass; a newer
spec cancels it and nobody asks how it ended. Deletion supersedes everything, and nothing supersedes
a deletion.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from temporalio import workflow

from api import names
from api import payloads as p
from api.errors import FeatureNotAvailable, Remedy
from api.workflow_inputs import WorkspaceState, WorkspaceWorkflowInput
from workflows import claims, delays, lifecycle, limits, outcomes, rollout
from workflows.failures import ActivityFailed, is_of_capacity, remedy_for
from workflows.hints import HintBox, Target
from workflows.ledger import REFUSED, Ledger
from workflows.operation import Operation
from workflows.outcomes import Blocked, Waiting
from workflows.planning import plan_after
from workflows.records import Records
from workflows.reporter import Reporter
from workflows.teardown import Teardown
from workflows.views import WorkspaceView, workspace_view

Order = p.OperatorOrder | str | None
"""What an operator may send: a payload, its reason alone, or nothing."""

FORCED_DELETION_PATCH: Final = "forced-deletion"
"""Histories from before `force_delete` could be followed go on refusing it."""


@workflow.defn(name=names.WORKSPACE_WORKFLOW)
class WorkspaceWorkflow:
    """Carries one Workspace from its first hint to the proof that it left nothing behind."""

    @workflow.init
    def __init__(self, start: WorkspaceWorkflowInput) -> None:
        """Set up before any signal can arrive."""
        self._start = start
        self._name = p.WorkspaceRef(namespace=start.workspace.namespace, name=start.workspace.name)
        self._ledger = Ledger(start.state)
        self._reporter = Reporter(self._name, self._ledger)
        self._hints = HintBox()
        self._is_ordered = False
        """An operator's order asks for a pass."""
        self._retries_claims = False
        """The order is for the claims' own workflows as well."""
        self._is_called_off = False
        """An order replaces the work in flight, as a newer spec does."""
        self._rollback: p.RollbackOrder | None = None
        """The order to write an earlier revision into the spec, until it is followed."""
        self._target: Target | None = None
        self._passes_count = 0

    # --- Signals: they set flags and never wait ----------------------------------------------

    @workflow.signal(description="The watcher saw a change: look again (a hint, not an order)")
    def desired_changed(self, hint: p.DesiredChanged | None = None) -> None:
        """Remember that something changed."""
        self._hints.put(hint or p.DesiredChanged())

    @workflow.signal(description="Try what failed again, now; argument: {reason}")
    def retry(self, order: Order = None) -> None:  # noqa: ARG002 - it stands in the history
        """Forget the failure and try again, if something failed."""
        state = self._ledger.state
        if state.problem is None and state.failures_count == 0 and state.given_up is None:
            self._refuse("retry", "nothing has failed")
            return
        # What is under way for the sake of a revision that was given up, is not wanted any more.
        self._is_called_off |= state.given_up is not None
        self._ledger.retry()
        self._is_ordered = True
        self._retries_claims = True

    @workflow.signal(description="Start no further step until `resume`; argument: {reason}")
    def pause(self, order: Order = None) -> None:
        """Hold between steps."""
        if self._ledger.state.phase is p.LifecyclePhase.DELETING:
            self._refuse("pause", "the Workspace is being deleted")
            return
        reason = _reason(order) or "no reason given"
        self._ledger.change(is_paused=True, paused_reason=reason)
        self._is_ordered = True

    @workflow.signal(description="Go on after `pause`")
    def resume(self, order: Order = None) -> None:  # noqa: ARG002 - it stands in the history
        """Stop holding."""
        if not self._ledger.state.is_paused:
            self._refuse("resume", "nothing is paused")
            return
        self._ledger.change(is_paused=False, paused_reason="")
        self._is_ordered = True

    @workflow.signal(description="Write an earlier revision into the spec: {revision?, reason}")
    def rollback(self, order: p.RollbackOrder | str | None = None) -> None:
        """Go back to a revision, or to the last good one, unless the last plan forbids it."""
        its = order if isinstance(order, p.RollbackOrder) else p.RollbackOrder(reason=order or "")
        plan = self._ledger.plan
        if self._is_deleting():
            self._refuse("rollback", "the Workspace is being deleted")
        elif plan is not None and (why := rollout.rollback_refusal(its, plan)):
            self._refuse("rollback", why)
        else:
            # What is true by now, the next plan tells; it is judged again then.
            self._rollback = its
            self._is_ordered = True
            self._is_called_off = True

    @workflow.signal(description="Carry out the edit that waits: {revision?, reason}")
    def approve(self, order: p.ApproveOrder | str | None = None) -> None:
        """Let the revision begin that waits for approval."""
        awaiting = self._ledger.state.awaiting_revision
        meant = order.revision if isinstance(order, p.ApproveOrder) else ""
        if not awaiting:
            self._refuse("approve", "nothing waits for an approval")
        elif meant not in {"", awaiting}:
            self._refuse("approve", f"revision {awaiting} waits for an approval, not {meant}")
        else:
            self._ledger.change(approved_revision=awaiting)
            self._is_ordered = True

    @workflow.signal(description="Let go of a deleted Workspace, whatever stays: {reason}")
    def force_delete(self, order: Order = None) -> None:
        """End a deletion that waits for something that does not go."""
        reason = _reason(order)
        if not self._is_deleting():
            self._refuse("force_delete", "the Workspace is not being deleted; delete it first")
        elif not reason:
            self._refuse("force_delete", "it needs a reason, which is kept: send {reason}")
        elif not workflow.patched(FORCED_DELETION_PATCH):
            self._refuse("force_delete", "it came too early", FeatureNotAvailable.reason())
        else:
            self._ledger.change(force_delete_reason=reason)
            self._is_ordered = True
            self._is_called_off = True

    # --- Queries ------------------------------------------------------------------------------

    @workflow.query(description="Phase, steps with seconds, problem, next look")
    def status(self) -> WorkspaceView:
        """Return what `.status` would say now, and more."""
        return workspace_view(self._ledger.state, self._ledger.plan)

    @workflow.query(description="The last plan")
    def plan(self) -> p.WorkspacePlan | None:
        """Return the last plan of this run; None before the first."""
        return self._ledger.plan

    @workflow.query(description="The last operations, oldest first")
    def history(self) -> list[p.OperationRecord]:
        """Return how the last operations ended."""
        return self._ledger.state.history

    # --- The loop -----------------------------------------------------------------------------

    @workflow.run
    async def run(self, start: WorkspaceWorkflowInput) -> None:  # noqa: ARG002 - see __init__
        """Live as long as the object."""
        self._reporter.show()
        while True:
            await self._wake()
            has_ended = await self._pass()
            if has_ended and not self._is_wanted_again():
                return
            if has_ended:
                self._continue_as_new(WorkspaceState())
            if self._is_history_long():
                await self._turn_over()

    async def _wake(self) -> None:
        at = self._ledger.state.next_wake_at
        if at is None:
            return
        remaining = at - workflow.now()
        if remaining <= timedelta(0) or self._should_wake():
            return
        try:
            await workflow.wait_condition(
                self._should_wake, timeout=remaining, timeout_summary="until the next look"
            )
        except TimeoutError:
            return

    def _should_wake(self) -> bool:
        state = self._ledger.state
        if self._is_ordered or self._has_refusals():
            return True
        if state.is_paused:
            return self._hints.calls_for_deletion(state.uid)
        return self._hints.is_filled

    async def _pass(self) -> bool:
        """Look and act once, until done or superseded; True when the workflow is over."""
        self._passes_count += 1
        self._is_ordered = False
        self._target = None
        hint = self._hints.take()
        work = asyncio.create_task(self._reconcile(hint))
        while not work.done():
            await workflow.wait_condition(
                lambda: work.done() or self._is_superseded() or self._has_refusals()
            )
            if work.done():
                break
            if self._is_superseded():
                work.cancel()
                await workflow.wait([work])
                return _outcome_of_superseded(work)
            await self._reporter.report()
        self._target = None
        return work.result()

    def _is_superseded(self) -> bool:
        is_called_off = self._is_called_off and self._target is not None
        return is_called_off or self._hints.supersedes(self._target)

    def _is_deleting(self) -> bool:
        state = self._ledger.state
        is_asked = self._hints.calls_for_deletion(state.uid)
        return is_asked or state.phase is p.LifecyclePhase.DELETING

    def _has_refusals(self) -> bool:
        """Whether Events wait that can be written now; a failed report waits for the next pass."""
        ledger = self._ledger
        return bool(ledger.events) and ledger.plan is not None and not self._reporter.has_failed

    # --- One pass -----------------------------------------------------------------------------

    async def _reconcile(self, hint: p.DesiredChanged | None) -> bool:
        while True:
            given_up = self._ledger.state.given_up
            plan = await self._plan_or_show(hint)
            if plan is None:
                return False
            if self._ledger.state.given_up != given_up:
                continue  # `retry` came meanwhile, and asks for another plan than this.
            hint = None
            if self._ledger.forget_failed_offers(plan):
                continue
            if self._rollback is not None and self._is_ours(plan):
                hint = await self._roll_back(plan)
            if hint is None:
                has_ended = await self._act(plan)
                if has_ended is not None:
                    return has_ended

    async def _plan_or_show(self, hint: p.DesiredChanged | None) -> p.WorkspacePlan | None:
        try:
            return await plan_after(hint, self._name, self._ledger.state)
        except ActivityFailed as failed:
            await self._show_failed_plan(failed)
            return None

    async def _act(self, plan: p.WorkspacePlan) -> bool | None:
        """Return whether the workflow is over; None when it is to plan again at once."""
        ledger = self._ledger
        self._is_called_off = False  # This plan knows of the order.
        if ledger.state.uid and plan.uid != ledger.state.uid:
            return await self._bury(plan)
        if not plan.found:
            return True
        ledger.remember(plan)
        if not plan.deleting and ledger.must_plan_again(plan):
            return None
        self._target = Target(plan.uid, plan.generation, is_teardown=plan.deleting)
        if plan.deleting:
            return await self._delete(plan)
        return None if await self._operate(plan) else False

    def _is_ours(self, plan: p.WorkspacePlan) -> bool:
        return plan.found and self._ledger.state.uid in {"", plan.uid}

    async def _roll_back(self, plan: p.WorkspacePlan) -> p.DesiredChanged | None:
        """Follow the order `rollback`; return what its write will be hinted as, if it wrote."""
        order, self._rollback = self._rollback, None
        # Our own write is a newer spec: it must not be taken for one that supersedes the writing.
        self._target = None
        self._ledger.remember(plan)
        records = Records(self._object(), self._ledger)
        return await records.roll_back(order or p.RollbackOrder(), plan)

    async def _show_failed_plan(self, failed: ActivityFailed) -> None:
        count = self._ledger.state.failures_count + 1
        self._ledger.change(failures_count=count)
        # Nobody's edit mends a plan that could not be made, so the slow retry is the least.
        remedy = Remedy.SLOW_RETRY if failed.remedy is Remedy.EDIT else failed.remedy
        outcome = outcomes.of_remedy(failed.problem, remedy, count, workflow.random())
        if isinstance(outcome, Waiting):
            self._ledger.wait(outcome.problem)
            await self._settle(outcome.retry_after_seconds)

    async def _operate(self, plan: p.WorkspacePlan) -> bool:
        """Return whether another offer or revision is due now, which needs another plan."""
        ledger = self._ledger
        ledger.close_other(plan.revision, workflow.now())
        if await self._hold(plan):
            return False
        if self._retries_claims and p.Step.NODES in plan.steps:
            await claims.retry(plan.claims)
        self._retries_claims = False
        operation = Operation(self._object(), ledger, self._reporter)
        stopped = await operation.run(plan)
        if stopped.changed_course:
            return True
        if stopped.plan_again:
            await self._settle(limits.STALE_PLAN_PAUSE.total_seconds())
        else:
            await self._settle(stopped.retry_after_seconds)
        return False

    async def _hold(self, plan: p.WorkspacePlan) -> bool:
        """Return whether no step may begin now; why, is shown then."""
        ledger, state = self._ledger, self._ledger.state
        if state.is_paused:
            ledger.change(phase=p.LifecyclePhase.PAUSED)
            await self._settle()
        elif plan.problem is not None:
            await self._hold_for(plan.problem, plan)
        elif rollout.is_given_up(plan, state) or (plan.steps and ledger.is_blocked(plan.revision)):
            ledger.stay_failed(plan.revision, workflow.now())
            await self._settle()
        elif rollout.needs_approval(plan, state):
            ledger.await_approval(plan)
            await self._settle()
        elif plan.steps and self._is_retry_pending(plan):
            await self._reporter.report()  # The time of the next attempt stays as it is.
        else:
            return False
        return True

    async def _hold_for(self, problem: p.Problem, plan: p.WorkspacePlan) -> None:
        ledger = self._ledger
        if not ledger.state.failed_offers or not is_of_capacity(problem):
            await self._stay_with(problem, plan)
            return
        ledger.exhaust(problem)
        count = ledger.state.failures_count
        await self._settle(delays.slow_retry_seconds(count, workflow.random()))

    async def _stay_with(self, problem: p.Problem, plan: p.WorkspacePlan) -> None:
        """Nothing can be done; judge again later, since what is missing may turn up."""
        ledger = self._ledger
        count = ledger.state.failures_count + 1 if ledger.state.problem == problem else 1
        ledger.change(failures_count=count)
        outcome = outcomes.of_remedy(problem, remedy_for(problem.reason), count, workflow.random())
        match outcome:
            case Blocked():
                ledger.refuse_spec(problem, plan.revision, workflow.now())
            case Waiting():
                ledger.wait(outcome.problem)
        await self._settle(delays.slow_retry_seconds(count, workflow.random()))

    def _is_retry_pending(self, plan: p.WorkspacePlan) -> bool:
        """Whether a hint woke us in the middle of a retry's delay, and nothing moved on.

        A crash loop hints with each crash; without this each hint would be an attempt.
        """
        state = self._ledger.state
        if state.problem is None or state.next_wake_at is None:
            return False
        return (
            workflow.now() < state.next_wake_at
            and state.revision == plan.revision
            and self._ledger.waits_in(lifecycle.first(plan.steps))
        )

    async def _delete(self, plan: p.WorkspacePlan) -> bool:
        ledger = self._ledger
        if plan.released and not ledger.state.has_resources:
            return True
        if ledger.begin_deleting(workflow.now()):
            await self._reporter.report()
        else:
            self._reporter.show()
        teardown = Teardown(self._object(), ledger, self._reporter)
        delay = await teardown.attempt(
            has_resources=ledger.state.has_resources, release=not plan.released
        )
        if delay is None:
            self._hints.forget(ledger.state.uid)
            return True
        await self._settle(delay)
        return False

    async def _bury(self, plan: p.WorkspacePlan) -> bool:
        """The object is gone without a teardown: remove what it left, by its uid."""
        ledger = self._ledger
        self._target = Target(ledger.state.uid, ledger.state.generation, is_teardown=True)
        self._rollback = None  # It was about the object that is gone.
        if ledger.state.has_resources:
            ledger.begin_deleting(workflow.now())
            self._reporter.show()
            teardown = Teardown(self._object(), ledger, self._reporter)
            delay = await teardown.attempt(has_resources=True, release=False)
            if delay is not None:
                await self._settle(delay)
                return False
        self._hints.forget(ledger.state.uid)
        if not plan.found:
            return True
        ledger.start_afresh(plan.uid)
        return False

    async def _settle(self, delay_seconds: float | None = None) -> None:
        """Say how things stand and when to look again; None means at the next resync.

        A moment at which a sick node may be lost comes before the resync.
        """
        await self._reporter.report()
        random, plan = workflow.random(), self._ledger.plan
        if delay_seconds is None:
            due_at = plan.look_again_at if plan is not None else None
            delay_seconds = delays.until(due_at, workflow.now(), delays.resync_seconds(random))
        if self._reporter.has_failed:
            delay_seconds = min(delay_seconds, delays.slow_retry_seconds(1, random))
        self._ledger.wake_after(delay_seconds, workflow.now())

    def _object(self) -> p.WorkspaceRef:
        return self._name.model_copy(update={"uid": self._ledger.state.uid})

    # --- Orders, and the end of a run ----------------------------------------------------------

    def _refuse(self, order: str, why: str, reason: str = REFUSED) -> None:
        self._ledger.refuse(order, why, reason)

    def _is_wanted_again(self) -> bool:
        """Whether hints came that the object now gone does not explain."""
        return self._hints.is_filled

    def _is_history_long(self) -> bool:
        info = workflow.info()
        hook = self._start.continue_as_new_after_passes
        return (
            info.is_continue_as_new_suggested()
            or info.get_current_history_length() >= limits.MAX_HISTORY_EVENTS
            or 0 < hook <= self._passes_count
        )

    async def _turn_over(self) -> None:
        """Go on in a new run; what can't wait for it is done first."""
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self._ledger.events and not self._reporter.has_failed:
            return
        if self._is_ordered or self._rollback is not None:
            return  # The state does not hold all of an order (a `retry` is for the claims, too).
        if self._hints.is_filled:
            # Hints are levels: a pass at the start of the new run sees what they were about.
            self._ledger.change(next_wake_at=None)
        self._continue_as_new(self._ledger.state)

    def _continue_as_new(self, state: WorkspaceState) -> None:
        workflow.continue_as_new(self._start.model_copy(update={"state": state}))


def _outcome_of_superseded(work: asyncio.Task[bool]) -> bool:
    """Ignore how superseded work ended, except for a bug in it, which must show."""
    if not work.cancelled():
        work.result()
    return False


def _reason(order: Order) -> str:
    return order if isinstance(order, str) else order.reason if order else ""
