"""Real workflows of claims with real activities: hints, as the watcher sends them, and workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from activities.context import ActivityContext
from activities.node_claim.claim import Claims
from activities.node_claim.machine import Machines
from api import names
from api import payloads as p
from api.workflow_inputs import NodeClaimWorkflowInput
from workflows.registry import WORKFLOWS, workflow_runner

MAX_WAITS = 1000
"""As many waits at a time as a worker's default (`worker/settings.py`)."""


async def tell(
    temporal: Client, name: str, uid: str, *, is_deleting: bool = False
) -> WorkflowHandle[Any, Any]:
    """Send a claim's hint; the first one starts its workflow."""
    return await temporal.start_workflow(
        names.NODE_CLAIM_WORKFLOW,
        NodeClaimWorkflowInput(claim=p.NodeClaimRef(name=name)),
        id=names.node_claim_workflow_id(name),
        task_queue=names.TASK_QUEUE,
        start_signal="desired_changed",
        start_signal_args=[
            p.DesiredChanged(uid=uid, generation=1 + is_deleting, deleting=is_deleting)
        ],
    )


@asynccontextmanager
async def workers(temporal: Client, ctx: ActivityContext) -> AsyncIterator[None]:
    """Serve both queues."""
    machines, claims = Machines(ctx), Claims(ctx)
    activities: list[Callable[..., Any]] = [
        machines.launch_node,
        machines.await_node_initialized,
        machines.terminate_node,
        claims.observe_node_claim,
        claims.report_node_claim,
        claims.release_node_claim,
    ]
    async with AsyncExitStack() as stack:
        for queue, workflows in ((names.TASK_QUEUE, WORKFLOWS), (names.WAIT_TASK_QUEUE, ())):
            worker = Worker(
                temporal,
                task_queue=queue,
                workflows=workflows,
                workflow_runner=workflow_runner(),
                activities=activities,
                max_concurrent_activities=MAX_WAITS,
            )
            await stack.enter_async_context(worker)
        yield
