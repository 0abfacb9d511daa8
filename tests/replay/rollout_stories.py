"""Stories of edits, of ways back and of orders, to be recorded as histories."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from api.errors import MissingReference, RuntimeFailed
from api.payloads import ApproveOrder, LifecyclePhase, OperatorOrder, RollbackOrder, RolloutMode
from tests.workflow.conftest import WorkspaceEntity
from tests.workflow.entity import until_asleep
from tests.workflow.fake_world import FakeWorld
from tests.workflow.test_force_delete import stuck
from tests.workflow.test_rollback import CRASH, held_on_the_way_back, rolled_back
from tests.workflow.test_rollout import edited, ready


async def edit_in_place(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await ready(entity, world)
    await edited(entity, world)


async def edit_by_surge(entity: WorkspaceEntity, world: FakeWorld) -> None:
    world.mode = RolloutMode.SURGE
    await ready(entity, world)
    await edited(entity, world)


async def failed_edit_restored(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await rolled_back(entity, world)
    await entity.tell_owned()


async def failed_surge_restored(entity: WorkspaceEntity, world: FakeWorld) -> None:
    world.mode = RolloutMode.SURGE
    await rolled_back(entity, world, "verify_endpoint")


async def first_revision_failed_and_freed(entity: WorkspaceEntity, world: FakeWorld) -> None:
    world.frees_failed = True
    world.broken["verify_endpoint", "rev-a"] = MissingReference("no such model")
    await entity.tell()
    await world.until_phase(LifecyclePhase.FAILED)
    await world.until(lambda: world.mine.claims == set())
    world.broken.clear()
    await entity.signal("retry")
    await world.until_phase(LifecyclePhase.READY)


async def rolled_back_by_order(entity: WorkspaceEntity, world: FakeWorld) -> None:
    """One order is refused, one comes in the middle of an operation."""
    await ready(entity, world)
    await entity.signal("rollback", RollbackOrder(revision="rev-x"))
    await world.until(lambda: any(note.reason == "OrderRefused" for note in world.events.values()))
    world.close_gate("await_workload")
    world.edit("b")
    await entity.tell()
    await world.until(lambda: world.running["await_workload"] == 1)
    await entity.signal("rollback", RollbackOrder(reason="not today"))
    await world.until(lambda: world.count("restore_spec") == 1)
    await entity.tell()
    world.open_gate("await_workload")
    await world.until_phase(LifecyclePhase.READY)


async def approved(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await ready(entity, world)
    world.requires_approval = True
    world.edit("b")
    await entity.tell()
    await world.until_phase(LifecyclePhase.AWAITING_APPROVAL)
    await entity.signal("approve", ApproveOrder(reason="seen"))
    await world.until(lambda: world.mine.service == "rev-b")
    await world.until_phase(LifecyclePhase.READY)


async def paused_in_a_rollout(entity: WorkspaceEntity, world: FakeWorld) -> None:
    world.mode = RolloutMode.SURGE
    await ready(entity, world)
    world.close_gate("await_workload")
    world.edit("b")
    await entity.tell()
    await world.until(lambda: world.running["await_workload"] == 1)
    await entity.signal("pause", OperatorOrder(reason="watch it"))
    world.open_gate("await_workload")
    await world.until_phase(LifecyclePhase.PAUSED)
    await entity.signal("resume")
    await world.until_phase(LifecyclePhase.READY)


async def deleted_by_force(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await stuck(entity, world)
    world.lets_go = True
    await entity.signal("force_delete", OperatorOrder(reason="the cloud is gone"))
    await entity.ended()


async def retried_after_a_way_back(entity: WorkspaceEntity, world: FakeWorld) -> None:
    """What was given up is remembered from run to run."""
    entity.passes_per_run = 1
    await rolled_back(entity, world)
    world.broken.clear()
    await entity.signal("retry", OperatorOrder(reason="the image is there now"))
    await world.until_phase(LifecyclePhase.READY)
    await until_asleep(entity)


async def turned_round_on_the_way_back(entity: WorkspaceEntity, world: FakeWorld) -> None:
    """An order of `retry` calls the way back off."""
    entity.passes_per_run = 1
    await held_on_the_way_back(entity, world)
    world.broken.clear()
    await entity.signal("retry")
    await world.until(lambda: len(world.retired) == 3)
    world.open_gate("await_workload")
    await world.until_phase(LifecyclePhase.READY)
    await until_asleep(entity)


async def edited_on_the_way_back(entity: WorkspaceEntity, world: FakeWorld) -> None:
    entity.passes_per_run = 1
    await held_on_the_way_back(entity, world)
    world.edit("c")
    await entity.tell()
    await world.until(lambda: len(world.plan_inputs) == 4)
    world.open_gate("await_workload")
    await world.until_phase(LifecyclePhase.READY)
    await until_asleep(entity)


async def way_back_that_fails(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await ready(entity, world)
    world.broken["await_workload", "rev-b"] = CRASH
    world.broken["await_workload", "rev-a"] = RuntimeFailed("the node lost its disk")
    world.edit("b")
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)


ROLLOUT_STORIES: Final[dict[str, Callable[[WorkspaceEntity, FakeWorld], Awaitable[None]]]] = {
    "workspace-edit-in-place": edit_in_place,
    "workspace-edit-by-surge": edit_by_surge,
    "workspace-failed-edit-restored": failed_edit_restored,
    "workspace-failed-surge-restored": failed_surge_restored,
    "workspace-first-revision-freed": first_revision_failed_and_freed,
    "workspace-rollback-by-order": rolled_back_by_order,
    "workspace-approved": approved,
    "workspace-paused-in-a-rollout": paused_in_a_rollout,
    "workspace-deleted-by-force": deleted_by_force,
    "workspace-retried-after-rollback": retried_after_a_way_back,
    "workspace-restore-called-off": turned_round_on_the_way_back,
    "workspace-restore-superseded": edited_on_the_way_back,
    "workspace-restore-fails": way_back_that_fails,
}
