"""What a sweep asks of Temporal: which workflows of ours are open, and to start or wake one.

The client is the worker's own, which Temporal's SDK hands to each activity.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from api import names
from planner.hints import Hint

SIGNAL: Final = "desired_changed"

RPC_TIMEOUT: Final = timedelta(seconds=10)
"""10 s a call, with the SDK's own retries; a page of 1,000 workflows takes about 0.1 s."""

OPEN_WORKFLOWS: Final = (
    f"WorkflowType IN ('{names.WORKSPACE_WORKFLOW}', '{names.NODE_CLAIM_WORKFLOW}') "
    "AND ExecutionStatus = 'Running'"
)


async def list_open(client: Client) -> list[str]:
    """Return the ids of our open workflows, as visibility shows them: a moment late.

    Raises:
        RPCError: Temporal did not answer, or not to the end.
    """
    found = client.list_workflows(OPEN_WORKFLOWS, rpc_timeout=RPC_TIMEOUT)
    return [execution.id async for execution in found]


async def deliver(client: Client, hint: Hint) -> bool:
    """Wake the workflow, and start it where the hint may; False when nobody runs to be woken.

    Raises:
        RPCError: Temporal refused or did not answer.
    """
    if hint.can_start:
        subject = f"{hint.namespace}/{hint.name}" if hint.namespace else hint.name
        await client.start_workflow(
            hint.workflow,
            hint.start_input,
            id=hint.workflow_id,
            task_queue=names.TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"{hint.workflow.removesuffix('Workflow')} {subject}",
            start_signal=SIGNAL,
            start_signal_args=[hint.payload],
            rpc_timeout=RPC_TIMEOUT,
        )
        return True
    handle = client.get_workflow_handle(hint.workflow_id)
    try:
        await handle.signal(SIGNAL, hint.payload, rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True
