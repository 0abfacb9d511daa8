"""Step `workload`: the revision's pods are ready, and no revision is in their way."""

from __future__ import annotations

from api import contracts
from api import payloads as p
from api.workflow_inputs import WorkspaceState
from workflows.calls import execute
from workflows.outcomes import Done, PhaseOutcome
from workflows.phases import retire
from workflows.phases.context import PhaseContext
from workflows.rollout import in_the_way


async def run(ctx: PhaseContext, plan: p.WorkspacePlan, state: WorkspaceState) -> PhaseOutcome:  # noqa: ARG001 - the shape of every step
    """Stop what uses the GPUs that this revision needs; then start it and wait for its pods."""
    await retire.stop(ctx.workspace, in_the_way(plan))
    workload = await execute(
        contracts.ensure_workload,
        p.EnsureWorkloadInput(
            workspace=ctx.workspace, revision=plan.revision, node_names=ctx.node_names
        ),
        summary=f"workload of revision {plan.revision}",
    )
    replicas = workload.replicas or plan.replicas
    ready = await execute(
        contracts.await_workload,
        p.AwaitWorkloadInput(
            workspace=ctx.workspace,
            revision=plan.revision,
            replicas=replicas,
            deadline_seconds=plan.deadlines.workload_seconds,
        ),
        summary=f"{replicas} pod(s) of {workload.workload_name} ready",
        deadline_seconds=plan.deadlines.workload_seconds,
    )
    ctx.pod_names = ready.pod_names
    return Done()
