"""Hints that come twice or late, edits and deletions in the middle, names that are used again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from activities.clients.kubernetes import NODE_CLAIMS, STATEFUL_SETS, WORKSPACES
from api import names
from api.payloads import DesiredChanged
from tests.harness.platform import NAMESPACE, Platform, workspace
from tests.harness.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

WORKSPACE = names.workspace_workflow_id(NAMESPACE, "phi")


async def test_duplicate_and_late_hints_change_nothing(platform: Platform) -> None:
    body = await platform.apply(workspace("phi"))
    uid = body["metadata"]["uid"]
    await platform.until_activity(WORKSPACE, "await_nodes")
    for generation in (1, 1, 0, 1, 0):
        hint = DesiredChanged(uid=uid, generation=generation, cause="again")
        await platform.signal("phi", "desired_changed", hint)
    await platform.signal("phi", "desired_changed", DesiredChanged(uid="of-an-older-object"))
    await platform.until_phase("phi", "Ready")
    scheduled = await platform.scheduled(WORKSPACE)
    assert scheduled.count("ensure_workload") == 1
    await platform.signal("phi", "desired_changed", DesiredChanged(uid=uid, generation=1))
    await eventually(
        lambda: platform.scheduled(WORKSPACE),
        accept=lambda found: len(found) > len(scheduled),
        what="another look",
    )
    await platform.until_phase("phi", "Ready")
    await platform.assert_one_of_each("phi")


async def test_two_workers_share_the_work_and_do_nothing_twice(platform: Platform) -> None:
    platform.start_worker("worker-2")
    await platform.until_worker_ready("worker-2")
    workspaces = [f"w{index}" for index in range(6)]
    for name in workspaces:
        await platform.apply(workspace(name))
    await asyncio.sleep(2)
    platform.kill_worker("worker-2")
    for name in workspaces:
        await platform.until_phase(name, "Ready")
        await platform.assert_one_of_each(name)
    assert len(platform.cloud.ledger) == len(workspaces)


@pytest.mark.parametrize(
    "step", ["await_nodes", "pull_images", "await_workload", "verify_endpoint"]
)
async def test_a_workspace_deleted_while_it_is_created_leaves_nothing_at(
    platform: Platform, step: str
) -> None:
    platform.model.is_healthy = step != "verify_endpoint"
    await platform.apply(workspace("phi"))
    await platform.until_activity(WORKSPACE, step)
    await platform.delete("phi")
    await platform.until_gone("phi")
    await platform.assert_nothing_left()


async def test_a_workspace_deleted_at_once_leaves_nothing(platform: Platform) -> None:
    await platform.apply(workspace("phi"))
    await platform.delete("phi")
    await platform.until_gone("phi")
    await eventually(lambda: _left(platform), accept=lambda left: not left, what="nothing left")


async def test_a_name_that_is_used_again_belongs_to_the_new_object(platform: Platform) -> None:
    first = await platform.apply(workspace("phi"))
    await platform.until_activity(WORKSPACE, "await_nodes")
    await platform.delete("phi")
    await platform.until_gone("phi")
    second = await platform.apply(workspace("phi"))
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    await platform.until_phase("phi", "Ready")
    await platform.assert_one_of_each("phi")
    (claim,) = await platform.owned(NODE_CLAIMS, "phi")
    assert claim["metadata"]["labels"][names.LABEL_WORKSPACE_UID] == second["metadata"]["uid"]


async def test_an_object_that_was_torn_away_is_cleaned_up_before_its_successor_lives(
    platform: Platform,
) -> None:
    """Somebody removed the finalizer by hand and made a new object of the same name."""
    first = await platform.apply(workspace("phi"))
    await platform.until_phase("phi", "Ready")
    await platform.kube.merge_patch(
        WORKSPACES, "phi", {"metadata": {"finalizers": None}}, NAMESPACE
    )
    await platform.delete("phi")
    await platform.until_gone("phi")
    second = await platform.apply(workspace("phi"))
    found = await platform.until_phase("phi", "Ready")
    assert found["metadata"]["uid"] == second["metadata"]["uid"]
    await eventually(
        lambda: _uids(platform),
        accept=lambda uids: uids == {second["metadata"]["uid"]},
        what=f"an end of what {first['metadata']['uid']} owned",
    )
    await platform.assert_one_of_each("phi")


async def test_an_edit_in_the_middle_supersedes_what_was_begun(platform: Platform) -> None:
    await platform.apply(workspace("phi"))
    await platform.until_activity(WORKSPACE, "await_workload")
    edited = workspace("phi")
    edited["metadata"]["annotations"] = {"note": "no order"}
    edited["resource"]["count"] = 2
    body = await platform.apply(edited)
    await platform.until_phase("phi", "Ready", generation=body["metadata"]["generation"])
    await platform.assert_one_of_each("phi", count=2)


async def _uids(platform: Platform) -> set[str]:
    owned: list[dict[str, Any]] = []
    for kind in (NODE_CLAIMS, STATEFUL_SETS):
        owned += await platform.owned(kind)
    return {obj["metadata"]["labels"][names.LABEL_WORKSPACE_UID] for obj in owned}


async def _left(platform: Platform) -> list[str]:
    claims = await platform.owned(NODE_CLAIMS)
    return [obj["metadata"]["name"] for obj in claims] + sorted(platform.cloud.machines)
