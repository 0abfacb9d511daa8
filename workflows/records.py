"""Writing down what became of revisions, and the order to go back to one.

A mark that fails is no failure of the operation: the next plan tells that it is missing.
"""

from __future__ import annotations

from temporalio import workflow

from api import contracts
from api import payloads as p
from workflows import rollout
from workflows.calls import execute
from workflows.failures import ActivityFailed
from workflows.ledger import REFUSED, Ledger


class Records:
    """The recorded revisions of one Workspace."""

    def __init__(self, workspace: p.WorkspaceRef, ledger: Ledger) -> None:
        """Write for `workspace`, whose uid is known."""
        self._workspace = workspace
        self._ledger = ledger

    async def mark_good(self, plan: p.WorkspacePlan) -> None:
        """Write down that the planned revision serves, if that is news.

        A plan without `spec_revision` is of an earlier version: histories that hold one go on
        without this activity.
        """
        known = self._ledger.plan or plan
        marked = rollout.outcome_of(known, plan.revision)
        if plan.spec_revision and marked is not p.RevisionOutcome.GOOD:
            await self._mark(plan, plan.revision, p.RevisionOutcome.GOOD)

    async def mark_given_up(self, plan: p.WorkspacePlan) -> None:
        """Write down that a revision failed, if that is news."""
        given_up = self._ledger.state.given_up
        if given_up is None:
            return
        marked = rollout.outcome_of(self._ledger.plan or plan, given_up.revision)
        if marked is not p.RevisionOutcome.GIVEN_UP:
            message = given_up.problem.message
            await self._mark(plan, given_up.revision, p.RevisionOutcome.GIVEN_UP, message)

    async def roll_back(
        self, order: p.RollbackOrder, plan: p.WorkspacePlan
    ) -> p.DesiredChanged | None:
        """Write the revision that the order means into the spec, or refuse.

        Returns:
            What the watcher will say of that write; None when nothing was written.
        """
        if why := rollout.rollback_refusal(order, plan):
            self._ledger.refuse("rollback", why, REFUSED)
            return None
        target = rollout.rollback_target(order, plan)
        try:
            result = await execute(
                contracts.restore_spec,
                p.RestoreSpecInput(
                    workspace=self._workspace, revision=target, generation=plan.generation
                ),
                summary=f"the spec of revision {target}, as ordered: {order.reason or '-'}",
            )
        except ActivityFailed as failed:
            why = f"the spec of revision {target} can't be written: {failed.problem.message}"
            self._ledger.refuse("rollback", why, failed.problem.reason)
            return None
        if result.superseded:
            why = "the spec was edited at the same moment; send it again if it is still wanted"
        elif not result.changed and result.generation <= plan.generation:
            # A newer one that is as recorded is what an attempt wrote whose answer was lost.
            why = f"the spec is that of revision {target} already"
        else:
            now = workflow.now()
            self._ledger.roll_back(target, order.reason, result.generation, now)
            return p.DesiredChanged(uid=plan.uid, generation=result.generation, cause="rollback")
        self._ledger.refuse("rollback", why, REFUSED)
        return None

    async def _mark(
        self, plan: p.WorkspacePlan, revision: str, outcome: p.RevisionOutcome, message: str = ""
    ) -> None:
        ledger = self._ledger
        state = ledger.state
        kept = {plan.revision, plan.active_revision, plan.spec_revision, revision, state.restore}
        if state.given_up is not None:
            kept.add(state.given_up.revision)
        try:
            await execute(
                contracts.mark_revision,
                p.MarkRevisionInput(
                    workspace=self._workspace,
                    revision=revision,
                    outcome=outcome,
                    message=message,
                    history_limit=plan.history_limit,
                    keep=sorted(kept - {""}),
                ),
                summary=f"revision {revision} is {outcome}",
            )
        except ActivityFailed as failed:
            workflow.logger.warning("revision %s is not marked yet: %s", revision, failed)
            return
        ledger.remember_outcome(revision, outcome)
