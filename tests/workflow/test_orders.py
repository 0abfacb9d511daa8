"""What operators send: pause, resume, retry, and orders that can't be followed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from api import names
from api.errors import InsufficientCapacity, MissingReference, RuntimeFailed
from api.payloads import ApproveOrder, EventKind, LifecyclePhase, OperatorOrder, RollbackOrder
from tests.workflow.conftest import WorkspaceEntity
from tests.workflow.entity import claims_told
from tests.workflow.fake_world import UNTIL_SECONDS, FakeWorkspace, FakeWorld
from workflows.registry import workflow_runner


@workflow.defn
class ClaimStandIn:
    """Stands in for the workflow of a claim and keeps what it was told."""

    def __init__(self) -> None:
        self._told = ""

    @workflow.signal
    def retry(self, order: OperatorOrder) -> None:
        self._told = order.reason

    @workflow.query
    def told(self) -> str:
        return self._told

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: bool(self._told))


def told_between(history: WorkflowHistory, begin: int, end: int) -> int:
    """Count the orders to claims between two events."""
    return len([number for number in claims_told(history) if begin < number < end])


def plan_after(history: WorkflowHistory, begin: int) -> int:
    """Return the id of the first call of the planner after an event."""
    return min(
        event.event_id
        for event in history.events
        if event.event_id > begin
        and event.activity_task_scheduled_event_attributes.activity_type.name == "plan_workspace"
    )


async def paused_after_nodes(entity: WorkspaceEntity, world: FakeWorld) -> None:
    world.close_gate("await_nodes")
    await entity.tell()
    await world.until(lambda: world.running["await_nodes"] == 1)
    await entity.signal("pause", OperatorOrder(reason="maintenance"))
    world.open_gate("await_nodes")
    await world.until_phase(LifecyclePhase.PAUSED)


async def test_a_pause_holds_after_the_step_that_runs(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await paused_after_nodes(entity, world)
    assert world.reports[-1].paused_reason == "maintenance"
    await environment.sleep(timedelta(hours=1))
    assert world.mine.nodes, "the running step was let finish"
    assert world.count("pull_images") == 0


async def test_a_resume_goes_on_with_the_next_step(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await paused_after_nodes(entity, world)
    await entity.signal("resume")
    report = await world.until_phase(LifecyclePhase.READY)
    assert world.count("ensure_node_claims") == 1
    assert report.paused_reason == ""
    assert [record.state for record in report.timeline] == ["done"] * 5


async def test_a_resume_with_nothing_left_to_do_says_ready_again(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    await entity.signal("pause")
    await world.until_phase(LifecyclePhase.PAUSED)
    await entity.signal("resume")
    await world.until_phase(LifecyclePhase.READY)


async def test_a_retry_reaches_the_workflows_of_the_claims(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    claim_workflow = names.node_claim_workflow_id("claim-uid-1-0")
    world.fail("await_nodes", InsufficientCapacity("all machines are taken"))
    async with Worker(
        environment.client,
        task_queue="claims",
        workflows=[ClaimStandIn],
        workflow_runner=workflow_runner(),
    ):
        await environment.client.start_workflow(
            ClaimStandIn.run, id=claim_workflow, task_queue="claims"
        )
        await entity.tell()
        await world.until_phase(LifecyclePhase.WAITING)
        claim = environment.client.get_workflow_handle(claim_workflow)
        assert await claim.query("told") == ""
        await entity.signal("retry")
        await environment.sleep(timedelta(seconds=5))
        await world.until_phase(LifecyclePhase.READY)
        assert await claim.query("told") == "retry of the Workspace"


async def test_an_edit_ends_the_telling_of_many_claims(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.claims_wanted = 40
    world.fail("await_nodes", InsufficientCapacity("all machines are taken"))
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    await entity.signal("retry")
    async with asyncio.timeout(UNTIL_SECONDS):
        while not claims_told((await entity.histories())[0]):
            continue  # Asking the server for the history is what takes time here.
    world.edit("b")
    await entity.tell()
    await world.until(lambda: world.mine.service == "rev-b")

    (history,) = await entity.histories()
    edit = max(
        event.event_id
        for event in history.events
        if event.workflow_execution_signaled_event_attributes.signal_name == "desired_changed"
    )
    told = claims_told(history)
    assert told[0] < edit < told[-1], "the edit came before or after the telling"
    assert told_between(history, edit, plan_after(history, edit)) <= 1
    assert world.count("ensure_traffic") == 1, "the outdated operation ran to its end"


async def test_edits_during_a_pause_are_carried_out_after_it(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    await entity.signal("pause")
    await world.until_phase(LifecyclePhase.PAUSED)
    plans_count = world.count("plan_workspace")
    world.edit("b")
    await entity.tell()
    await entity.tell_owned()
    await entity.query("status")
    assert world.count("plan_workspace") == plans_count
    await entity.signal("resume")
    await world.until(lambda: world.mine.service == "rev-b")


async def test_an_edit_during_a_paused_step_waits_too(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.close_gate("await_nodes")
    await entity.tell()
    await world.until(lambda: world.running["await_nodes"] == 1)
    await entity.signal("pause")
    world.edit("b")
    await entity.tell()
    world.open_gate("await_nodes")
    report = await world.until_phase(LifecyclePhase.PAUSED)
    assert report.generation == 2
    assert world.count("pull_images") == 0


async def test_a_paused_workspace_can_be_deleted(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await paused_after_nodes(entity, world)
    world.delete()
    await entity.tell()
    await entity.ended()
    assert world.workspace is None
    assert world.owned["uid-1"].leftovers() == []


async def test_a_deletion_that_no_hint_told_goes_through_while_paused(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await paused_after_nodes(entity, world)
    world.delete()
    await environment.sleep(timedelta(minutes=13))
    await entity.ended()
    assert world.owned["uid-1"].leftovers() == []


async def test_a_pause_ends_with_its_object(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await paused_after_nodes(entity, world)
    world.workspace = FakeWorkspace(uid="uid-2")
    await entity.tell()
    await world.until(lambda: world.owned["uid-2"].service == "rev-a")


@pytest.mark.parametrize(
    "argument", [(), (None,), ("quota raised",), (OperatorOrder(reason="quota raised"),)]
)
async def test_a_retry_tries_at_once_whatever_its_argument(
    entity: WorkspaceEntity, world: FakeWorld, argument: tuple[object, ...]
) -> None:
    world.fail("await_workload", RuntimeFailed("crash loop"))
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    await entity.signal("retry", *argument)
    report = await world.until_phase(LifecyclePhase.READY)
    assert report.problem is None


async def test_a_retry_lifts_a_block(entity: WorkspaceEntity, world: FakeWorld) -> None:
    world.fail("pull_images", MissingReference("no such image"))
    await entity.tell()
    await world.until_phase(LifecyclePhase.FAILED)
    await entity.signal("retry")
    report = await world.until_phase(LifecyclePhase.READY)
    assert [record.outcome for record in report.history] == ["Failed", "Succeeded"]


async def test_a_failure_after_a_retry_is_told_again(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.fail("pull_images", MissingReference("no such image"), times=2)
    await entity.tell()
    await world.until_phase(LifecyclePhase.FAILED)
    await entity.signal("retry")
    await world.until(lambda: len(world.events) == 2)
    assert {note.reason for note in world.events.values()} == {"MissingReference"}


@pytest.mark.parametrize(
    ("order", "argument", "reason"),
    [
        ("retry", (), "OrderRefused"),
        ("resume", (), "OrderRefused"),
        ("rollback", (), "OrderRefused"),
        ("rollback", (RollbackOrder(revision="rev-0"),), "OrderRefused"),
        ("rollback", ("rev-0",), "OrderRefused"),
        ("force_delete", (), "OrderRefused"),
        ("force_delete", (OperatorOrder(reason="stuck"),), "OrderRefused"),
        ("approve", (), "OrderRefused"),
        ("approve", (ApproveOrder(revision="rev-a"),), "OrderRefused"),
        ("approve", ("looks good",), "OrderRefused"),
    ],
)
async def test_an_order_that_cannot_be_followed_is_answered_and_changes_nothing(
    entity: WorkspaceEntity,
    world: FakeWorld,
    order: str,
    argument: tuple[object, ...],
    reason: str,
) -> None:
    await entity.tell()
    before = await world.until_phase(LifecyclePhase.READY)
    await entity.signal(order, *argument)
    await world.until(lambda: len(world.events) == 2)
    note = list(world.events.values())[-1]
    assert (note.kind, note.reason) == (EventKind.WARNING, reason)
    assert f"`{order}`" in note.message
    assert world.reports[-1].model_copy(update={"events": before.events}) == before
    assert note.message == (await entity.query("status"))["last_refusal"]


async def test_a_refusal_during_a_long_step_is_told_at_once(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.close_gate("await_nodes")
    await entity.tell()
    await world.until(lambda: world.running["await_nodes"] == 1)
    await entity.signal("rollback")
    await world.until(lambda: len(world.events) == 1)
    assert world.running["await_nodes"] == 1
    world.open_gate("await_nodes")
    await world.until_phase(LifecyclePhase.READY)
    assert world.count("await_nodes") == 1


async def test_a_pause_during_a_deletion_is_refused(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    world.close_gate("delete_workloads")
    world.delete()
    await entity.tell()
    await world.until(lambda: world.running["delete_workloads"] == 1)
    await entity.signal("pause")
    await world.until(lambda: "`pause`" in list(world.events.values())[-1].message)
    world.open_gate("delete_workloads")
    await entity.ended()


@pytest.mark.parametrize(
    "name", ["desired_changed", "retry", "pause", "rollback", "approve", "force_delete"]
)
@pytest.mark.parametrize("junk", [17, ["a"], {"generation": "many", "reason": []}])
async def test_junk_is_dropped(
    entity: WorkspaceEntity, world: FakeWorld, name: str, junk: object
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    await entity.signal(name, junk)
    await entity.signal("unknown_order", junk)
    assert (await entity.query("status"))["phase"] == "Ready"


async def test_queries_answer_before_and_after(entity: WorkspaceEntity, world: FakeWorld) -> None:
    world.close_gate("plan_workspace")
    await entity.tell()
    await world.until(lambda: world.running["plan_workspace"] == 1)
    assert await entity.query("plan") is None
    assert (await entity.query("status"))["phase"] == "Pending"
    world.open_gate("plan_workspace")
    await world.until_phase(LifecyclePhase.READY)
    assert (await entity.query("plan"))["revision"] == "rev-a"
    assert [one["outcome"] for one in await entity.query("history")] == ["Succeeded"]
    view = await entity.query("status")
    assert view["active_revision"] == "rev-a"
    assert view["node_names"] == ["node-of-claim-uid-1-0"]
