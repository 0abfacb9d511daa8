"""Every activity, by the task queue that serves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from activities.context import ActivityContext
from activities.node_claim.claim import Claims
from activities.node_claim.machine import Machines
from activities.sweep.observer import SweepObserver
from activities.sweep.sweeping import Sweeping
from activities.workspace.adoption import Adoption
from activities.workspace.endpoint import Endpoint
from activities.workspace.images import Images
from activities.workspace.nodes import Nodes
from activities.workspace.planning import Planning
from activities.workspace.reporting import Reporting
from activities.workspace.restoring import Restoring
from activities.workspace.revisions import Revisions
from activities.workspace.teardown import Teardown
from activities.workspace.traffic import Traffic
from activities.workspace.workload import Workload

Activity = Callable[..., Any]


def quick_activities(
    ctx: ActivityContext, sweep_observer: SweepObserver | None = None
) -> list[Activity]:
    """Return what `api.names.TASK_QUEUE` serves; `sweep_observer` is told the sweep's numbers."""
    nodes = Nodes(ctx)
    claims, teardown = Claims(ctx), Teardown(ctx)
    sweeping = Sweeping(ctx, sweep_observer)
    return [
        Planning(ctx).plan_workspace,
        Adoption(ctx).adopt_workspace,
        nodes.ensure_node_claims,
        nodes.release_surplus_claims,
        Workload(ctx).ensure_workload,
        Traffic(ctx).ensure_traffic,
        Revisions(ctx).mark_revision,
        Restoring(ctx).restore_spec,
        Reporting(ctx).report_status,
        teardown.prove_deleted,
        teardown.release_workspace,
        claims.observe_node_claim,
        claims.report_node_claim,
        claims.release_node_claim,
        sweeping.find_strays,
        sweeping.repair_stray,
    ]


def wait_activities(ctx: ActivityContext) -> list[Activity]:
    """Return what `api.names.WAIT_TASK_QUEUE` serves."""
    workload, teardown, machines = Workload(ctx), Teardown(ctx), Machines(ctx)
    return [
        Nodes(ctx).await_nodes,
        Images(ctx).pull_images,
        workload.await_workload,
        workload.retire_workloads,
        Endpoint(ctx).verify_endpoint,
        teardown.delete_workloads,
        teardown.delete_node_claims,
        machines.launch_node,
        machines.await_node_initialized,
        machines.terminate_node,
    ]
