"""Step `endpoint`: the model server itself answers, before any traffic reaches it."""

from __future__ import annotations

from api import contracts
from api import payloads as p
from api.workflow_inputs import WorkspaceState
from workflows.calls import execute
from workflows.outcomes import Done, PhaseOutcome
from workflows.phases.context import PhaseContext


async def run(ctx: PhaseContext, plan: p.WorkspacePlan, state: WorkspaceState) -> PhaseOutcome:  # noqa: ARG001 - the shape of every step
    """Ask the server for its health, its model and one answer."""
    await execute(
        contracts.verify_endpoint,
        p.VerifyEndpointInput(
            workspace=ctx.workspace,
            revision=plan.revision,
            served_model_name=plan.served_model_name,
            pod_names=ctx.pod_names,
            deadline_seconds=plan.deadlines.endpoint_seconds,
        ),
        summary=f"{plan.served_model_name} answers",
        deadline_seconds=plan.deadlines.endpoint_seconds,
    )
    return Done()
