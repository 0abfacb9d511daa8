"""Step `retire`: earlier revisions finish what they were asked, and their pods end."""

from __future__ import annotations

from collections.abc import Sequence

from api import contracts
from api import payloads as p
from api.workflow_inputs import WorkspaceState
from workflows.calls import execute
from workflows.outcomes import Done, PhaseOutcome
from workflows.phases.context import PhaseContext


async def run(ctx: PhaseContext, plan: p.WorkspacePlan, state: WorkspaceState) -> PhaseOutcome:  # noqa: ARG001 - the shape of every step
    """Stop what the traffic has left."""
    await stop(ctx.workspace, plan.stale_revisions)
    return Done()


async def stop(workspace: p.WorkspaceRef, revisions: Sequence[str]) -> None:
    """Scale revisions to nothing and wait until their pods are gone; none is no call."""
    if not revisions:
        return
    retire = p.RetireWorkloadsInput(workspace=workspace, revisions=list(revisions))
    await execute(
        contracts.retire_workloads,
        retire,
        summary=f"old revision(s) {', '.join(revisions)} away",
        deadline_seconds=retire.deadline_seconds,
    )
