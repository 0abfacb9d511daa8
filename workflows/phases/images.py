"""Step `images`: everything that the pods will run is on the nodes before anything stops."""

from __future__ import annotations

from api import contracts
from api import payloads as p
from api.workflow_inputs import WorkspaceState
from workflows.calls import execute
from workflows.outcomes import Done, PhaseOutcome
from workflows.phases.context import PhaseContext


async def run(ctx: PhaseContext, plan: p.WorkspacePlan, state: WorkspaceState) -> PhaseOutcome:  # noqa: ARG001 - the shape of every step
    """Pull the revision's images."""
    await execute(
        contracts.pull_images,
        p.PullImagesInput(
            workspace=ctx.workspace,
            revision=plan.revision,
            node_names=ctx.node_names,
            deadline_seconds=plan.deadlines.images_seconds,
        ),
        summary=f"images of {plan.revision} on {len(ctx.node_names)} node(s)",
        deadline_seconds=plan.deadlines.images_seconds,
    )
    return Done()
