"""Strays are found past every cache, looked at once more, and only then repaired or deleted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.worker import Worker

from activities.clients.kubernetes import EVENTS, NODE_CLAIMS, WORKSPACES
from activities.clients.onebox_agent import OneboxAgentClient
from activities.context import ActivityContext
from activities.provisioners import OneboxProvisioner
from activities.registry import quick_activities
from activities.sweep import scene, sweeping
from api import names
from api import payloads as p
from api.workflow_inputs import WorkspaceWorkflowInput
from planner import strays
from tests.harness.node_cloud import NodeCloud
from tests.harness.waiting import eventually
from tests.integration.sweep.conftest import World, by_name, machine_stray
from worker import schedule
from workflows.registry import WORKFLOWS, workflow_runner

REPAIRED, PASSED, KEPT, FAILED = (
    p.RepairOutcome.REPAIRED,
    p.RepairOutcome.PASSED,
    p.RepairOutcome.KEPT,
    p.RepairOutcome.FAILED,
)


@pytest.fixture(autouse=True)
def _nothing_is_young(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strays, "YOUNG", timedelta(0))


# --- Claims -----------------------------------------------------------------------------------


async def test_a_claim_whose_workspace_is_gone_is_deleted_after_its_grace_period(
    world: World,
) -> None:
    gone, living = await world.make_workspace("gone"), await world.make_workspace("living")
    stray, kept = await world.make_claim(gone), await world.make_claim(living)
    await world.drop_workspace(gone)

    first = by_name((await world.sweeper.look()).strays)
    assert first[stray].kind is p.StrayKind.CLAIM_WITHOUT_OWNER
    assert first[stray].action is p.StrayAction.WAIT
    later = await world.sweeper.look_later()
    assert later[stray].action is p.StrayAction.DELETE
    assert kept not in later or later[kept].kind is p.StrayKind.CLAIM_WITHOUT_WORKFLOW

    result = await world.sweeper.repair(later[stray])
    assert result.outcome is REPAIRED, result.message
    assert not await world.claim_exists(stray)
    assert await world.claim_exists(kept)
    told = [
        one["message"]
        for one in await world.kube.list(EVENTS, "default")
        if one["involvedObject"]["name"] == stray
    ]
    assert len(told) == 1
    assert gone.uid in told[0]
    assert world.observed.repairs == [(p.StrayKind.CLAIM_WITHOUT_OWNER, REPAIRED)]


async def test_a_claim_whose_workspace_was_made_anew_is_a_stray_of_the_old_one(
    world: World,
) -> None:
    old = await world.make_workspace()
    claim = await world.make_claim(old)
    await world.drop_workspace(old)
    new = await world.make_workspace()
    its_claim = await world.make_claim(new)
    later = await world.sweeper.look_later()
    assert later[claim].kind is p.StrayKind.CLAIM_WITHOUT_OWNER
    assert (await world.sweeper.repair(later[claim])).outcome is REPAIRED
    assert await world.claim_exists(its_claim)


async def test_the_last_look_spares_what_the_lists_took_for_a_stray(world: World) -> None:
    living = await world.make_workspace()
    claim = await world.make_claim(living)
    found = await world.kube.get(NODE_CLAIMS, claim)
    mistaken = p.Stray(
        kind=p.StrayKind.CLAIM_WITHOUT_OWNER,
        action=p.StrayAction.DELETE,
        name=claim,
        uid=found["metadata"]["uid"],
        owner=living,
    )
    result = await world.sweeper.repair(mistaken)
    assert (result.outcome, result.message) == (KEPT, "its Workspace exists")
    assert await world.claim_exists(claim)


# --- Machines ---------------------------------------------------------------------------------


async def test_a_machine_without_a_claim_is_given_back_after_its_grace_period(
    world: World, cloud: NodeCloud
) -> None:
    gone, living = await world.make_workspace("gone"), await world.make_workspace("living")
    stray = await world.make_machine(gone)
    kept = await world.make_machine(living, await world.make_claim(living))
    await world.drop_workspace(gone)

    (first,) = [one for one in (await world.sweeper.look()).strays if one.name == stray]
    assert first.action is p.StrayAction.WAIT
    early = await world.sweeper.repair(first)
    assert early.outcome is KEPT
    later = await world.sweeper.look_later()
    result = await world.sweeper.repair(later[stray])
    assert result.outcome is REPAIRED, result.message
    assert cloud.ledger == [f"create {stray}", f"create {kept}", f"delete {stray}"]
    assert (await world.sweeper.repair(machine_stray(kept))).outcome is KEPT
    # Repeated by another worker, as the first one crashed before it could tell.
    assert (await world.sweeper.repair(later[stray])).outcome is PASSED
    assert cloud.ledger.count(f"delete {stray}") == 1


async def test_a_machine_of_a_workspace_that_exists_is_told_and_stays(
    world: World, cloud: NodeCloud
) -> None:
    owner = await world.make_workspace()
    machine = await world.make_machine(owner)
    later = await world.sweeper.look_later()
    assert later[machine].action is p.StrayAction.WAKE
    assert later[machine].owner == owner
    assert (await world.sweeper.repair(later[machine])).outcome is KEPT
    assert cloud.ledger == [f"create {machine}"]
    assert ("StrayMachine", "chat") in await world.events()


async def test_machines_of_others_are_not_even_seen(world: World, cloud: NodeCloud) -> None:
    other = p.WorkspaceRef(namespace="elsewhere", name="chat", uid="of-another-installation")
    machine = await world.make_machine(other)
    assert machine not in await world.sweeper.look_later()
    assert cloud.ledger == [f"create {machine}"]


# --- What can't be seen ---------------------------------------------------------------------------


async def test_a_cluster_that_does_not_answer_deletes_nothing(
    world: World, blind_ctx: ActivityContext, cloud: NodeCloud
) -> None:
    """`az aks stop`: the machines are there, the API server is not."""
    gone = await world.make_workspace()
    machine, claim = await world.make_machine(gone), await world.make_claim(gone)
    await world.drop_workspace(gone)
    decided = await world.sweeper.look_later()
    assert {decided[machine].action, decided[claim].action} == {p.StrayAction.DELETE}

    blind = world.seen_by(blind_ctx)
    seen = await blind.look(list(decided.values()))
    assert [one for one in seen.strays if one.action is p.StrayAction.DELETE] == []
    assert any("Workspaces" in one for one in seen.blind_spots)
    assert any("NodeClaims" in one for one in seen.blind_spots)
    # Decided a moment before the cluster went away.
    for name in (machine, claim):
        assert (await blind.repair(decided[name])).outcome is FAILED
    assert cloud.ledger == [f"create {machine}"]
    assert await world.claim_exists(claim)
    assert world.observed.looks[-1][1] == seen.blind_spots


async def test_a_provider_that_does_not_answer_is_said(world: World) -> None:
    nowhere = OneboxProvisioner(OneboxAgentClient("http://127.0.0.1:1"))
    try:
        seen = await world.seen_by(replace(world.ctx, provisioner=nowhere)).look()
    finally:
        await nowhere.close()
    assert [one.split(":")[0] for one in seen.blind_spots] == ["machines"]


async def test_a_kind_that_the_api_server_does_not_know_is_no_empty_list(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CRDs that were removed, or that a server just started does not serve yet."""
    unknown = replace(WORKSPACES, plural="wrkspcs")
    gone = p.WorkspaceRef(namespace=world.namespace, name="gone", uid="gone")
    claim, machine = await world.make_claim(gone), await world.make_machine(gone)
    decided = await world.sweeper.look_later()
    assert decided[claim].action is p.StrayAction.DELETE
    for module in (scene, sweeping):
        monkeypatch.setattr(module, "WORKSPACES", unknown)
    assert (await world.sweeper.repair(decided[claim])).outcome is FAILED
    assert await world.claim_exists(claim)
    later = await world.sweeper.look_later()
    assert machine not in later
    assert claim not in later or later[claim].kind is p.StrayKind.CLAIM_WITHOUT_WORKFLOW


# --- Workflows ------------------------------------------------------------------------------------


async def status_of(temporal: Client, workflow_id: str) -> WorkflowExecutionStatus | None:
    return (await temporal.get_workflow_handle(workflow_id).describe()).status


async def test_a_workspace_without_workflow_gets_one(world: World) -> None:
    owner = await world.make_workspace()
    (stray,) = [one for one in (await world.sweeper.look()).strays if one.uid == owner.uid]
    assert stray.kind is p.StrayKind.WORKSPACE_WITHOUT_WORKFLOW
    assert (await world.sweeper.repair(stray)).outcome is REPAIRED
    workflow_id = names.workspace_workflow_id(world.namespace, "chat")
    assert await status_of(world.temporal, workflow_id) is WorkflowExecutionStatus.RUNNING
    assert ("WorkflowRestarted", "chat") in await world.events()

    async def is_in_place() -> bool:
        found = (await world.sweeper.look()).strays
        return all(one.uid != owner.uid for one in found)

    await eventually(is_in_place, what="the workflow being visible")


async def test_a_claim_without_workflow_gets_one(world: World) -> None:
    owner = await world.make_workspace()
    claim = await world.make_claim(owner)
    found = by_name((await world.sweeper.look()).strays)
    assert found[claim].kind is p.StrayKind.CLAIM_WITHOUT_WORKFLOW
    assert (await world.sweeper.repair(found[claim])).outcome is REPAIRED
    workflow_id = names.node_claim_workflow_id(claim)
    assert await status_of(world.temporal, workflow_id) is WorkflowExecutionStatus.RUNNING


async def test_a_workflow_without_workspace_is_woken_to_clean_up(world: World) -> None:
    workflow_id = names.workspace_workflow_id(world.namespace, "ghost")
    ref = p.WorkspaceRef(namespace=world.namespace, name="ghost")
    handle = await world.temporal.start_workflow(
        names.WORKSPACE_WORKFLOW,
        WorkspaceWorkflowInput(workspace=ref),
        id=workflow_id,
        task_queue="nobody-serves-this",
    )

    async def look() -> list[p.Stray]:
        return [one for one in (await world.sweeper.look()).strays if one.name == "ghost"]

    (stray,) = await eventually(look, what="the workflow being visible")
    assert stray.kind is p.StrayKind.WORKFLOW_WITHOUT_WORKSPACE
    assert (await world.sweeper.repair(stray)).outcome is REPAIRED
    signals = [
        event.workflow_execution_signaled_event_attributes.signal_name
        for event in (await handle.fetch_history()).events
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]
    assert signals == ["desired_changed"]
    await handle.terminate("it ends between the look and the repair")
    assert (await world.sweeper.repair(stray)).outcome is PASSED


# --- The whole of it ------------------------------------------------------------------------------


async def test_the_schedule_sweeps_up_what_a_lost_claim_left_behind(
    world: World, cloud: NodeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strays, "GRACE", timedelta(0))
    gone = await world.make_workspace()
    machine = await world.make_machine(gone)
    await world.drop_workspace(gone)
    worker = Worker(
        world.temporal,
        task_queue=names.TASK_QUEUE,
        workflows=WORKFLOWS,
        workflow_runner=workflow_runner(),
        activities=quick_activities(world.ctx, world.observed),
    )
    async with worker:
        await schedule.ensure_schedule(world.temporal)
        handle = world.temporal.get_schedule_handle(schedule.SCHEDULE_ID)
        await handle.trigger()

        async def ledger() -> list[str]:
            return cloud.ledger

        await eventually(
            ledger, accept=lambda found: f"delete {machine}" in found, what="the machine's end"
        )
        await handle.delete()
    assert (p.StrayKind.MACHINE_WITHOUT_CLAIM, REPAIRED) in world.observed.repairs
