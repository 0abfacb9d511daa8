"""Passing an operator's `retry` on to the workflows of the claims that a Workspace waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from temporalio import workflow
from temporalio.exceptions import FailureError

from api import names
from api import payloads as p
from workflows import limits


async def retry(claims: Sequence[p.ClaimSpec]) -> None:
    """Tell each claim's workflow to try again now, and give it time to say so.

    A claim that is not served by a workflow of ours, or not yet, is no error: Karpenter tries again
    by itself.
    """
    told = 0
    for claim in claims:
        # Superseded work leaves a signal on its way alone. Cancelling it would fail the workflow
        # task ("Invalid transition in state machine", temporalio 1.35), and where that goes well
        # the SDK takes the cancellation of our task back.
        told += await asyncio.shield(asyncio.create_task(_tell(claim)))
    if told:
        await workflow.sleep(limits.CLAIM_RETRY_PAUSE, summary="the claims begin anew")


async def _tell(claim: p.ClaimSpec) -> bool:
    """Return whether a workflow heard it."""
    handle = workflow.get_external_workflow_handle(names.node_claim_workflow_id(claim.name))
    try:
        await handle.signal("retry", p.OperatorOrder(reason="retry of the Workspace"))
    except FailureError as error:
        workflow.logger.info("no workflow serves claim %s: %s", claim.name, error)
        return False
    return True
