"""Deletion as a saga: workloads, then claims, then the proof, and only then the finalizer.

One attempt per call; the entity's loop spaces attempts, so that a teardown that takes days also
continues as new.
"""

from __future__ import annotations

from temporalio import workflow

from api import contracts
from api import payloads as p
from api.errors import DeadlineExceeded, Remedy
from workflows import delays, limits
from workflows.calls import execute
from workflows.failures import ActivityFailed
from workflows.ledger import Ledger
from workflows.reporter import Reporter


class Teardown:
    """Removes what one object (by uid) owns."""

    def __init__(self, workspace: p.WorkspaceRef, ledger: Ledger, reporter: Reporter) -> None:
        """Tear down for one object; `workspace` carries its uid, also when it is gone."""
        self._input = p.TeardownInput(
            workspace=workspace, deadline_seconds=limits.TEARDOWN_ATTEMPT_SECONDS
        )
        self._ledger = ledger
        self._reporter = reporter

    async def attempt(self, *, has_resources: bool, release: bool) -> float | None:
        """Try once; None means proven gone, a number is the delay before the next attempt.

        Args:
            has_resources: Delete before proving; without it the proof comes first, since there
                should be nothing to delete.
            release: Drop the finalizer at the end.
        """
        if self._ledger.state.force_delete_reason:
            return await self._force(release=release)
        try:
            leftovers = [] if has_resources else await self._prove()
            if has_resources or leftovers:
                self._ledger.change(has_resources=True)
                # A failure of the first does not stop the second: nodes cost money, and the pods
                # of a dead node go only when the node does.
                trouble = await self._delete_workloads()
                trouble = await self._delete_node_claims() or trouble
                leftovers = await self._prove()
                if leftovers:
                    return await self._again(trouble or _still_there(leftovers))
            if release:
                await execute(contracts.release_workspace, self._input, summary="finalizer off")
        except ActivityFailed as failed:
            return await self._again(failed)
        return None

    async def _force(self, *, release: bool) -> float | None:
        """Ask once for everything to go, say what stays, and let the object go all the same."""
        short = {"deadline_seconds": limits.FORCED_TEARDOWN_SECONDS}
        self._input = self._input.model_copy(update=short)
        await self._delete_workloads()
        await self._delete_node_claims()
        try:
            leftovers = await self._prove()
        except ActivityFailed as failed:
            leftovers = [f"unknown, since it could not be listed ({failed.problem.message})"]
        self._ledger.let_go(leftovers)
        workflow.upsert_memo(
            {"forceDeleteReason": self._ledger.state.force_delete_reason, "leftovers": leftovers}
        )
        await self._reporter.report()
        try:
            if release:
                await execute(contracts.release_workspace, self._input, summary="finalizer off")
        except ActivityFailed as failed:
            return await self._again(failed)
        return None

    async def _delete_workloads(self) -> ActivityFailed | None:
        try:
            await execute(
                contracts.delete_workloads,
                self._input,
                summary="workload, Service and pods away",
                deadline_seconds=self._input.deadline_seconds,
            )
        except ActivityFailed as failed:
            return failed
        return None

    async def _delete_node_claims(self) -> ActivityFailed | None:
        try:
            await execute(
                contracts.delete_node_claims,
                self._input,
                summary="claims away",
                deadline_seconds=self._input.deadline_seconds,
            )
        except ActivityFailed as failed:
            return failed
        return None

    async def _prove(self) -> list[str]:
        proof = await execute(
            contracts.prove_deleted, self._input, summary="nothing carries our labels"
        )
        return sorted(proof.leftovers)

    async def _again(self, failed: ActivityFailed) -> float:
        ledger = self._ledger
        count = ledger.state.failures_count + 1
        ledger.change(failures_count=count)
        if failed.remedy is Remedy.FAST_RETRY:
            return delays.fast_retry_seconds(count, workflow.random())
        started_at = ledger.state.operation_started_at or workflow.now()
        is_slow = workflow.now() - started_at >= limits.TEARDOWN_SHOWN_AFTER
        if is_slow or failed.problem.reason != DeadlineExceeded.reason():
            ledger.wait(failed.problem)
            await self._reporter.report()
        return delays.slow_retry_seconds(count, workflow.random())


def _still_there(leftovers: list[str]) -> ActivityFailed:
    message = f"still there: {', '.join(leftovers)}"
    problem = p.Problem(reason=DeadlineExceeded.reason(), message=message)
    return ActivityFailed("prove_deleted", problem, Remedy.SLOW_RETRY)
