"""Step `nodes`: claims exist, their nodes are ready and show their GPUs."""

from __future__ import annotations

from api import contracts
from api import payloads as p
from api.workflow_inputs import WorkspaceState
from workflows.calls import execute
from workflows.outcomes import Done, PhaseOutcome
from workflows.phases.context import PhaseContext


async def run(ctx: PhaseContext, plan: p.WorkspacePlan, state: WorkspaceState) -> PhaseOutcome:  # noqa: ARG001 - the shape of every step
    """Ask for the claims, then wait for all nodes."""
    if plan.claims:
        await execute(
            contracts.ensure_node_claims,
            p.EnsureNodeClaimsInput(
                workspace=ctx.workspace, revision=plan.revision, claims=plan.claims
            ),
            summary=f"{len(plan.claims)} claim(s) of {plan.instance_type}",
        )
    await find(ctx, plan)
    return Done()


async def find(ctx: PhaseContext, plan: p.WorkspacePlan) -> None:
    """Learn which nodes the plan means; returns at once when they are ready."""
    count = len(plan.claims) + len(plan.existing_nodes)
    result = await execute(
        contracts.await_nodes,
        p.AwaitNodesInput(
            workspace=ctx.workspace,
            revision=plan.revision,
            claim_names=[claim.name for claim in plan.claims],
            existing_nodes=plan.existing_nodes,
            deadline_seconds=plan.deadlines.nodes_seconds,
        ),
        summary=f"{count} node(s) ready",
        deadline_seconds=plan.deadlines.nodes_seconds,
    )
    ctx.node_names = result.node_names


def are_known(plan: p.WorkspacePlan, node_names: list[str]) -> bool:
    """Whether remembered names can still be the nodes of this plan."""
    count = len(plan.claims) + len(plan.existing_nodes)
    return len(node_names) == count and set(plan.existing_nodes) <= set(node_names)
