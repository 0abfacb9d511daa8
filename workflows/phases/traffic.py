"""Step `traffic`: the Service selects this revision."""

from __future__ import annotations

from api import contracts
from api import payloads as p
from api.workflow_inputs import WorkspaceState
from workflows.calls import execute
from workflows.outcomes import Done, PhaseOutcome
from workflows.phases.context import PhaseContext


async def run(ctx: PhaseContext, plan: p.WorkspacePlan, state: WorkspaceState) -> PhaseOutcome:  # noqa: ARG001 - the shape of every step
    """Move traffic in one write."""
    await execute(
        contracts.ensure_traffic,
        p.RevisionInput(workspace=ctx.workspace, revision=plan.revision),
        summary=f"traffic to revision {plan.revision}",
    )
    return Done()
