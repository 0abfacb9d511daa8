"""One operation of a Workspace: the steps that a plan names, in order, until the first trouble."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow

from api import contracts
from api import payloads as p
from workflows import delays, lifecycle, outcomes, rollout
from workflows.calls import execute
from workflows.failures import ActivityFailed, is_of_capacity, is_of_machine
from workflows.ledger import Ledger
from workflows.outcomes import Blocked, Done, FellBack, GaveUp, PhaseOutcome, Waiting
from workflows.phases import PHASES, nodes, retire
from workflows.phases.context import PhaseContext
from workflows.records import Records
from workflows.reporter import Reporter


@dataclass(frozen=True)
class Stopped:
    """Why an operation went no further than it did."""

    retry_after_seconds: float | None = None
    """None: as the entity's resync says."""
    plan_again: bool = False
    """The spec moved between planning and adopting."""
    changed_course: bool = False
    """Another offer, or another revision, is to be planned, at once."""


class Operation:
    """Carries out plans; the ledger remembers how far it came."""

    def __init__(self, workspace: p.WorkspaceRef, ledger: Ledger, reporter: Reporter) -> None:
        """Work on one object; `workspace` carries its uid."""
        self._workspace = workspace
        self._ledger = ledger
        self._reporter = reporter
        self._records = Records(workspace, ledger)

    async def run(self, plan: p.WorkspacePlan) -> Stopped:
        """Adopt the spec, run the planned steps, and report how it ended."""
        try:
            # What is restored has its record; adopting would make one of the spec.
            is_new = not plan.adopted and not rollout.is_restore(plan)
            if is_new and not await self._adopt(plan):
                return Stopped(plan_again=True)
        except ActivityFailed as failed:
            return await self._stop(self._judge(failed), plan)
        self._ledger.change(has_resources=True)
        if self._ledger.state.phase is p.LifecyclePhase.PAUSED:
            # Resumed: the word is stale even where no step is left to replace it.
            self._ledger.change(phase=p.LifecyclePhase.PENDING)
        if plan.steps:
            outcome = await self._run_steps(plan)
            if isinstance(outcome, FellBack):
                await self._give_back(plan)
                return Stopped(changed_course=True)
            if isinstance(outcome, GaveUp):
                await self._give_up(plan, outcome)
                return Stopped(changed_course=True)
            if outcome is not None:
                return await self._stop(outcome, plan)
        if self._ledger.state.phase is not p.LifecyclePhase.PAUSED:
            await self._learn_nodes(plan)
            await self._stop_left_over(plan)
            await self._release_surplus(plan)
            await self._records.mark_good(plan)
            await self._records.mark_given_up(plan)
            self._ledger.succeed(plan.revision, workflow.now())
        await self._reporter.report()
        return Stopped()

    async def _adopt(self, plan: p.WorkspacePlan) -> bool:
        result = await execute(
            contracts.adopt_workspace,
            p.AdoptInput(
                workspace=self._workspace, revision=plan.revision, generation=plan.generation
            ),
            summary=f"finalizer and record of revision {plan.revision}",
        )
        return not result.superseded

    async def _run_steps(self, plan: p.WorkspacePlan) -> PhaseOutcome | FellBack | GaveUp | None:
        """Return the outcome that stopped the operation; None when it is over or paused."""
        ledger = self._ledger
        if ledger.begin_operation(plan, workflow.now()):
            await self._reporter.report()
        ctx = PhaseContext(workspace=self._workspace)
        place: lifecycle.Place = lifecycle.first(plan.steps)
        while isinstance(place, p.Step):
            if ledger.state.is_paused:
                ledger.change(phase=p.LifecyclePhase.PAUSED)
                return None
            if place is p.Step.WORKLOAD and plan.lost_claims:
                # What replaces them is there. A pod on a node that is silent ends with its Node,
                # and until then no pod of the same name can begin elsewhere.
                await self._release(plan.lost_claims, "claims lost their nodes")
            outcome = await self._run_step(place, ctx, plan)
            if isinstance(outcome, FellBack | GaveUp):
                return outcome
            place = lifecycle.advance(place, outcome.kind, plan.steps)
            if not isinstance(outcome, Done):
                return outcome
            if place is p.Step.RETIRE:
                # The traffic has moved, and what is left may take a while.
                await self._records.mark_good(plan)
                ledger.show_step(place)
                await self._reporter.report()
            elif isinstance(place, p.Step):
                ledger.show_step(place)
                await self._reporter.report_progress()
        return None

    async def _run_step(
        self, step: p.Step, ctx: PhaseContext, plan: p.WorkspacePlan
    ) -> PhaseOutcome | FellBack | GaveUp:
        ledger, started_at = self._ledger, workflow.now()
        ledger.step_started(step)
        self._reporter.show()
        try:
            await self._prepare(step, ctx, plan)
            outcome = await PHASES[step](ctx, plan, ledger.state)
        except ActivityFailed as failed:
            course = self._other_course(step, plan, failed, workflow.now() - started_at)
            if course is not None:
                return course
            outcome = self._judge(failed)
        except asyncio.CancelledError:
            ledger.step_stopped(step, p.StepState.PENDING, workflow.now() - started_at, None)
            raise
        took = workflow.now() - started_at
        if ctx.node_names:
            ledger.change(node_names=ctx.node_names)
        match outcome:
            case Done():
                ledger.step_done(step, took, self._end_downtime(step, plan))
                if step is p.Step.TRAFFIC:
                    ledger.plan = plan.model_copy(update={"active_revision": plan.revision})
            case Waiting():
                ledger.step_stopped(step, p.StepState.WAITING, took, outcome.problem)
            case Blocked():
                ledger.step_stopped(step, p.StepState.BLOCKED, took, outcome.problem)
        return outcome

    async def _prepare(self, step: p.Step, ctx: PhaseContext, plan: p.WorkspacePlan) -> None:
        if step in {p.Step.IMAGES, p.Step.WORKLOAD} and not ctx.node_names:
            await nodes.find(ctx, plan)
        if step is p.Step.WORKLOAD and plan.active_revision in rollout.in_the_way(plan):
            self._ledger.downtime_begins(workflow.now())

    def _other_course(
        self, step: p.Step, plan: p.WorkspacePlan, failed: ActivityFailed, took: timedelta
    ) -> FellBack | GaveUp | None:
        """Return what to do in the plan's stead; None when there is nothing but to try again."""
        ledger, problem = self._ledger, failed.problem
        if step is p.Step.NODES and plan.may_fall_back and self._is_of_offer(failed, plan):
            ledger.step_stopped(step, p.StepState.PENDING, took, None)
            ledger.fall_back(plan, problem, took, workflow.now())
            return FellBack()
        restore = rollout.revision_to_restore(plan, ledger.state, failed)
        if restore:
            ledger.step_stopped(step, p.StepState.BLOCKED, took, problem)
            return GaveUp(problem, restore)
        return None

    def _is_of_offer(self, failed: ActivityFailed, plan: p.WorkspacePlan) -> bool:
        """Whether there is none of the offer, or its machines never joined and another is left."""
        if is_of_capacity(failed.problem):
            return True
        # Existing nodes that were waited for as well, or a sick one for which the wait was cut
        # short, are not the offer's fault. And the only offer that there is is waited for on.
        is_offer_alone = not plan.existing_nodes and plan.look_again_at is None
        has_others = bool(self._ledger.state.failed_offers) or _has_another_offer(plan)
        if not (is_of_machine(failed) and is_offer_alone and has_others):
            return False
        # Older histories waited here, and asked for the same again.
        return workflow.patched("fall-back-from-machines-that-never-joined")

    async def _stop(self, outcome: PhaseOutcome, plan: p.WorkspacePlan) -> Stopped:
        ledger = self._ledger
        match outcome:
            case Blocked(problem):
                ledger.block(problem, plan.revision, workflow.now())
                await self._reporter.report()
                await self._free(plan)
                return Stopped()
            case Waiting(retry_after_seconds, problem):
                ledger.wait(problem)
                if problem is not None:
                    await self._reporter.report()
                return Stopped(retry_after_seconds)
            case Done():
                raise lifecycle.IllegalTransition("an operation can't stop because it is done")

    def _judge(self, failed: ActivityFailed) -> Waiting | Blocked:
        count = self._ledger.state.failures_count + 1
        self._ledger.change(failures_count=count)
        outcome = outcomes.of_failure(failed, count, workflow.random())
        if isinstance(outcome, Blocked) and self._ledger.state.given_up is not None:
            # There is nothing else to bring back, and no edit is asked for: it is tried again.
            return Waiting(delays.slow_retry_seconds(count, workflow.random()), outcome.problem)
        return outcome

    def _end_downtime(self, step: p.Step, plan: p.WorkspacePlan) -> str:
        """Return for how long nobody answered, when this step brought an end to it."""
        is_answering = step is p.Step.TRAFFIC or (
            step is p.Step.WORKLOAD and plan.active_revision == plan.revision
        )
        return self._ledger.downtime_ends(workflow.now()) if is_answering else ""

    async def _give_up(self, plan: p.WorkspacePlan, outcome: GaveUp) -> None:
        """Tell that the revision failed, before the good one is brought back."""
        self._ledger.give_up(outcome.problem, outcome.restore, workflow.now())
        await self._reporter.report()
        await self._records.mark_given_up(plan)

    async def _free(self, plan: p.WorkspacePlan) -> None:
        """Give back what a failed revision holds, where the policy says so and nobody needs it."""
        if not plan.frees_failed or plan.active_revision == plan.revision:
            return
        await self._stop_pods([plan.revision])
        if not plan.active_revision:
            await self._release([claim.name for claim in plan.claims], "claims of what failed")

    async def _stop_left_over(self, plan: p.WorkspacePlan) -> None:
        """Stop pods that no step needed out of its way; what serves does so beside them."""
        await self._stop_pods(rollout.left_over(plan))

    async def _stop_pods(self, revisions: list[str]) -> None:
        """Stop revisions; a failure is none of the operation's: a later pass finds them again."""
        try:
            await retire.stop(self._workspace, revisions)
        except ActivityFailed as failed:
            workflow.logger.warning("pods stay for now: %s", failed)

    async def _give_back(self, plan: p.WorkspacePlan) -> None:
        """Give up what was had of an offer: nothing runs on it, and a part of a set is no use."""
        await self._release([claim.name for claim in plan.claims], "claims can't all be served")

    async def _release_surplus(self, plan: p.WorkspacePlan) -> None:
        """Give up claims that nothing runs on any more; what serves does so without them."""
        if plan.surplus_claims:
            await self._release(plan.surplus_claims, "claims are not used any more")

    async def _release(self, claim_names: list[str], why: str) -> None:
        """Let claims go; a failure is none of the operation's: a later pass finds them again."""
        try:
            await execute(
                contracts.release_surplus_claims,
                p.ReleaseClaimsInput(workspace=self._workspace, claim_names=claim_names),
                summary=f"{len(claim_names)} {why}",
            )
        except ActivityFailed as failed:
            workflow.logger.warning("surplus claims stay for now: %s", failed)

    async def _learn_nodes(self, plan: p.WorkspacePlan) -> None:
        """Find the nodes' names when they were forgotten, or others are planned now."""
        if nodes.are_known(plan, self._ledger.state.node_names):
            return
        ctx = PhaseContext(workspace=self._workspace)
        try:
            await nodes.find(ctx, plan)
        except ActivityFailed as failed:
            workflow.logger.warning("nodes are not known: %s", failed)
            return
        self._ledger.change(node_names=ctx.node_names)


def _has_another_offer(plan: p.WorkspacePlan) -> bool:
    offer = plan.offer
    tried = None if offer is None else (offer.instance_type.casefold(), offer.capacity_type)
    return any(
        not one.problem and (one.instance_type.casefold(), one.capacity_type) != tried
        for one in plan.candidates
    )
