"""Temporal or the API server goes away in the middle of an operation, and comes back."""

from __future__ import annotations

import asyncio

import pytest

from api import names
from tests.harness.platform import NAMESPACE, Platform, workspace

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

WORKSPACE = names.workspace_workflow_id(NAMESPACE, "phi")


@pytest.mark.parametrize("step", ["adopt_workspace", "await_nodes", "await_workload"])
async def test_temporal_restarts_during(platform: Platform, step: str) -> None:
    await platform.apply(workspace("phi"))
    await platform.until_activity(WORKSPACE, step)
    await platform.temporal.restart()
    await platform.until_phase("phi", "Ready")
    await platform.assert_one_of_each("phi")


@pytest.mark.parametrize(
    "step", ["adopt_workspace", "await_nodes", "pull_images", "await_workload"]
)
async def test_the_api_server_restarts_during(platform: Platform, step: str) -> None:
    await platform.apply(workspace("phi"))
    await platform.until_activity(WORKSPACE, step)
    await platform.cluster.restart_apiserver()
    await platform.until_phase("phi", "Ready")
    await platform.assert_one_of_each("phi")


async def test_the_api_server_restarts_during_a_deletion(platform: Platform) -> None:
    await platform.apply(workspace("phi"))
    await platform.until_phase("phi", "Ready")
    await platform.delete("phi")
    await platform.until_activity(WORKSPACE, "delete_workloads")
    await platform.cluster.restart_apiserver()
    await platform.until_gone("phi")
    await platform.assert_nothing_left()


async def test_a_workspace_made_while_temporal_is_away_is_carried_out_afterwards(
    platform: Platform,
) -> None:
    platform.temporal.kill()
    await platform.apply(workspace("phi"))
    # Long enough for the watcher to try, to fail and to back off.
    await asyncio.sleep(2)
    await platform.temporal.start()
    await platform.until_phase("phi", "Ready")
    await platform.assert_one_of_each("phi")


async def test_a_deletion_ordered_while_the_worker_is_away_is_carried_out_afterwards(
    platform: Platform,
) -> None:
    await platform.apply(workspace("phi"))
    await platform.until_phase("phi", "Ready")
    platform.kill_worker()
    await platform.delete("phi")
    platform.start_worker()
    await platform.until_gone("phi")
    await platform.assert_nothing_left()


async def test_temporal_loses_everything_and_the_object_can_still_be_deleted(
    platform: Platform,
) -> None:
    """The histories are gone; names and labels in the cluster are enough to clean up by."""
    await platform.apply(workspace("phi"))
    await platform.until_phase("phi", "Ready")
    platform.kill_worker()
    handle = platform.client.get_workflow_handle(WORKSPACE)
    await handle.terminate("lost")
    await platform.delete("phi")
    platform.start_worker()
    await platform.until_gone("phi")
    await platform.assert_nothing_left()
