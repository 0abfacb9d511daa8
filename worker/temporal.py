"""The connection to Temporal and the two task-queue workers of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConnectConfig
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import (
    PollerBehaviorAutoscaling,
    Worker,
    WorkerDeploymentConfig,
    WorkflowRunner,
)

from api import names
from worker.activity_log import ActivityLog
from worker.settings import TemporalSettings
from worker.start_checks import StartRefused

CONNECT_SECONDS: Final = 10.0
"""10 s until a wrong address is called wrong; a right one answers in milliseconds."""

GRACE: Final = timedelta(seconds=15)
"""15 s for activities to end or to hand over, out of the 20 s that a stop may take; the remaining
5 s are for the last reports to Temporal. Long waits hand over at once when they see the stop."""

STICKY_TIMEOUT: Final = timedelta(seconds=2)
"""2 s: how long Temporal waits for the worker that has a workflow in memory before it asks any
other; the default of 10 s is what a crash would cost every open workflow (facts, Temporal 3)."""

HEARTBEAT_THROTTLE: Final = timedelta(seconds=2)
"""2 s: a cancelled activity learns of it with its next heartbeat, and the SDK holds heartbeats back
for up to 80 % of their timeout otherwise (facts, Temporal 2.7)."""

MAX_CONCURRENT_WORKFLOW_TASKS: Final = 40
"""40: beyond that many sandboxes at a time the SDK's deadlock detector (2 s) fires on two cores."""

MAX_CONCURRENT_QUICK_ACTIVITIES: Final = 200
"""200: each is one or two requests to the API server, whose connection pool holds as many."""

POLLERS: Final = PollerBehaviorAutoscaling(minimum=2, maximum=40, initial=4)
"""Scaled by the server's own hints: p95 of 1.8 s instead of 5.2 s under overload (facts, 4.2)."""


async def connect(settings: TemporalSettings, runtime: Runtime) -> Client:
    """Return a client whose server answered and whose namespace exists.

    Raises:
        StartRefused: naming the address and the variable that sets it.
    """
    connect_config: ClientConnectConfig = {"target_host": settings.address, **settings.connect}
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            client = await Client.connect(
                **connect_config,
                data_converter=pydantic_data_converter,
                runtime=runtime,
            )
            await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace=client.namespace)
            )
    except TimeoutError as error:
        raise StartRefused(
            f"Temporal does not answer at {settings.address} within {CONNECT_SECONDS:.0f} s; "
            "set TEMPORAL_ADDRESS to its host:port"
        ) from error
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise StartRefused(
                f"Temporal at {settings.address} has no namespace {settings.namespace!r}; set "
                "TEMPORAL_NAMESPACE, or run: temporal operator namespace create --namespace "
                f"{settings.namespace}"
            ) from error
        if error.status in {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED}:
            raise StartRefused(
                f"Temporal at {settings.address} refuses us ({error.message}); check "
                "TEMPORAL_API_KEY or the TEMPORAL_TLS_* certificates"
            ) from error
        raise StartRefused(_unreachable(settings, error)) from error
    except (RuntimeError, ValueError) as error:
        raise StartRefused(_unreachable(settings, error)) from error
    return client


def _unreachable(settings: TemporalSettings, error: Exception) -> str:
    return (
        f"Temporal can't be reached at {settings.address} ({error}); set TEMPORAL_ADDRESS to its "
        "host:port and check that it runs"
    )


def make_worker(
    client: Client,
    settings: TemporalSettings,
    *,
    identity: str,
    workflows: Sequence[type],
    workflow_runner: WorkflowRunner,
    activities: Sequence[Callable[..., Any]],
) -> Worker:
    """Return the worker of the queue of workflows and quick activities."""
    return Worker(
        client,
        task_queue=names.TASK_QUEUE,
        identity=identity,
        workflows=workflows,
        workflow_runner=workflow_runner,
        activities=activities,
        max_cached_workflows=settings.max_cached_workflows,
        max_concurrent_workflow_tasks=MAX_CONCURRENT_WORKFLOW_TASKS,
        max_concurrent_activities=MAX_CONCURRENT_QUICK_ACTIVITIES,
        workflow_task_poller_behavior=POLLERS,
        activity_task_poller_behavior=POLLERS,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        graceful_shutdown_timeout=GRACE,
        interceptors=[ActivityLog()],
        deployment_config=_deployment(settings),
    )


def make_wait_worker(
    client: Client,
    settings: TemporalSettings,
    *,
    identity: str,
    activities: Sequence[Callable[..., Any]],
) -> Worker:
    """Return the worker of the queue of waits: many slots, each of which mostly sleeps."""
    return Worker(
        client,
        task_queue=names.WAIT_TASK_QUEUE,
        identity=identity,
        activities=activities,
        max_concurrent_activities=settings.max_wait_activities,
        activity_task_poller_behavior=POLLERS,
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        graceful_shutdown_timeout=GRACE,
        interceptors=[ActivityLog()],
        deployment_config=_deployment(settings),
    )


def _deployment(settings: TemporalSettings) -> WorkerDeploymentConfig | None:
    if not settings.is_versioned:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.deployment_name, settings.build_id),
        use_worker_versioning=True,
        # Here and not in the workflow's definition, which an unversioned worker would refuse.
        # Auto-upgrade: a Workspace's workflow runs for as long as the Workspace exists, so pinned
        # to a build it would keep that build alive for ever. Replay tests guard the move.
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )
