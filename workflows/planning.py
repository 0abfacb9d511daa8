"""Asking for a plan, until it is no older than what we know."""

from __future__ import annotations

from temporalio import workflow

from api import contracts
from api import payloads as p
from api.workflow_inputs import WorkspaceState
from workflows import limits
from workflows.calls import execute
from workflows.hints import is_older


async def plan_after(
    hint: p.DesiredChanged | None, workspace: p.WorkspaceRef, state: WorkspaceState
) -> p.WorkspacePlan:
    """Plan; again if the plan was made before the change that the hint is about.

    Raises:
        failures.ActivityFailed: No plan can be made now.
    """
    failed = state.failed_offers
    tried = f"; {len(failed)} offer(s) tried in vain" if failed else ""
    given_up = state.given_up.revision if state.given_up else ""
    for attempt in range(1, limits.STALE_PLAN_ATTEMPTS + 1):
        plan = await execute(
            contracts.plan_workspace,
            p.PlanInput(
                workspace=workspace,
                failed_offers=failed,
                recent_claims=state.recent_claims,
                given_up=given_up,
                restore=state.restore,
            ),
            summary=_cause(hint) + tried,
        )
        if not is_older(plan, hint) or attempt == limits.STALE_PLAN_ATTEMPTS:
            break
        await workflow.sleep(limits.STALE_PLAN_PAUSE, summary="the plan is older than the hint")
    return plan


def _cause(hint: p.DesiredChanged | None) -> str:
    if hint is None:
        return "a look"
    if hint.deleting:
        return "deleted"
    return f"generation {hint.generation}" + (f": {hint.cause}" if hint.cause else "")
