"""Passing an operator's `retry` on to the workflows of the claims that a Workspace waits for."""

from __future__ import annotations

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
        handle = workflow.get_external_workflow_handle(names.node_claim_workflow_id(claim.name))
        try:
            await handle.signal("retry", p.OperatorOrder(reason="retry of the Workspace"))
        except FailureError as error:
            workflow.logger.info("no workflow serves claim %s: %s", claim.name, error)
        else:
            told += 1
    if told:
        await workflow.sleep(limits.CLAIM_RETRY_PAUSE, summary="the claims begin anew")
