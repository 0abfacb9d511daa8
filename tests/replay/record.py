"""Records histories anew: `python -m tests.replay.record [case ...]`.

Run it when workflow code changed on purpose and every open history may be forgotten, or to add the
history of a new release beside the old ones (give it a new case name). A change that must be safe
for open workflows is made with `workflow.patched` and leaves the recorded histories as they are.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from temporalio.worker import Worker

from api import names
from api.errors import DeadlineExceeded, InsufficientCapacity, QuotaExceeded, RuntimeFailed
from api.payloads import LifecyclePhase, Offer, OperatorOrder
from tests.replay.rollout_stories import ROLLOUT_STORIES
from tests.workflow.conftest import (
    WorkspaceEntity,
    register_search_attributes,
    start_real_server,
    workers,
)
from tests.workflow.entity import Entity, until_asleep
from tests.workflow.fake_claim import FakeClaim
from tests.workflow.fake_world import FakeWorld
from tests.workflow.test_node_claim import ClaimEntity
from tests.workflow.test_orders import ClaimStandIn
from worker.exits import leave
from workflows.registry import workflow_runner

HISTORIES: Final = Path(__file__).parent / "histories"

Story = Callable[[WorkspaceEntity, FakeWorld], Awaitable[None]]
ClaimStory = Callable[[ClaimEntity, FakeClaim], Awaitable[None]]


async def cold_start(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)


async def edit_supersedes(entity: WorkspaceEntity, world: FakeWorld) -> None:
    world.close_gate("await_workload")
    await entity.tell()
    await world.until(lambda: world.running["await_workload"] == 1)
    world.edit("b")
    await entity.tell()
    world.open_gate("await_workload")
    await world.until(lambda: world.mine.service == "rev-b")
    await world.until_phase(LifecyclePhase.READY)


async def failure_and_retry(entity: WorkspaceEntity, world: FakeWorld) -> None:
    world.fail("await_workload", RuntimeFailed("crash loop"))
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    await entity.signal("retry", OperatorOrder(reason="mended"))
    await world.until_phase(LifecyclePhase.READY)
    await entity.signal("retry")
    await world.until(lambda: any(note.reason == "OrderRefused" for note in world.events.values()))


async def pause_and_resume(entity: WorkspaceEntity, world: FakeWorld) -> None:
    world.close_gate("await_nodes")
    await entity.tell()
    await world.until(lambda: world.running["await_nodes"] == 1)
    await entity.signal("pause", OperatorOrder(reason="audit"))
    world.open_gate("await_nodes")
    await world.until_phase(LifecyclePhase.PAUSED)
    await entity.signal("resume")
    await world.until_phase(LifecyclePhase.READY)


async def deleted_while_creating(entity: WorkspaceEntity, world: FakeWorld) -> None:
    world.close_gate("pull_images")
    await entity.tell()
    await world.until(lambda: world.running["pull_images"] == 1)
    world.delete()
    await entity.tell()
    world.open_gate("pull_images")
    await entity.ended()


async def capacity_and_retry(entity: WorkspaceEntity, world: FakeWorld) -> None:
    """One claim has a workflow that hears the order, the other has none."""
    world.claims_wanted = 2
    world.fail("await_nodes", InsufficientCapacity("all machines are taken"))
    async with Worker(
        entity.client,
        task_queue="claims",
        workflows=[ClaimStandIn],
        workflow_runner=workflow_runner(),
    ):
        await entity.client.start_workflow(
            ClaimStandIn.run,
            id=names.node_claim_workflow_id("claim-uid-1-0"),
            task_queue="claims",
        )
        await entity.tell()
        await world.until_phase(LifecyclePhase.WAITING)
        await entity.signal("retry", OperatorOrder(reason="a machine is free"))
        await world.until_phase(LifecyclePhase.READY)


async def woken_from_sleep(entity: WorkspaceEntity, world: FakeWorld) -> None:
    """A hint and an order come while the workflow sleeps on a timer."""
    world.fail("await_workload", RuntimeFailed("crash loop"))
    await entity.tell()
    await until_asleep(entity)
    await entity.signal("retry", OperatorOrder(reason="mended"))
    await world.until_phase(LifecyclePhase.READY)
    await until_asleep(entity)
    world.edit("b")
    await entity.tell()
    await world.until(lambda: world.mine.service == "rev-b")
    await until_asleep(entity)


async def scaled_down(entity: WorkspaceEntity, world: FakeWorld) -> None:
    world.claims_wanted = 2
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    world.claims_wanted = 1
    world.edit("smaller")
    await entity.tell()
    await world.until(lambda: world.count("release_surplus_claims") == 1)
    await world.until_phase(LifecyclePhase.READY)


async def continued_as_new(entity: WorkspaceEntity, world: FakeWorld) -> None:
    entity.passes_per_run = 1
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    await entity.tell_owned()
    await world.until(lambda: world.count("plan_workspace") == 2)


def offer(world: FakeWorld, *offers: tuple[str, str]) -> None:
    """Let the Workspace be served by any of these, in this order."""
    world.may_fall_back = True
    world.offers = [Offer(instance_type=one, capacity_type=paid) for one, paid in offers]


async def quota_then_second_type(entity: WorkspaceEntity, world: FakeWorld) -> None:
    offer(world, ("large", "on-demand"), ("small", "on-demand"))
    world.refused = {"large": QuotaExceeded("0 of 24 vCPUs left")}
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)


async def spot_then_on_demand(entity: WorkspaceEntity, world: FakeWorld) -> None:
    offer(world, ("large", "spot"), ("large", "on-demand"))
    world.refused = {"large/spot": InsufficientCapacity("no spot machine is free")}
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)


async def exhausted_and_retry(entity: WorkspaceEntity, world: FakeWorld) -> None:
    offer(world, ("large", "on-demand"), ("small", "on-demand"))
    world.refused = {
        "large": QuotaExceeded("0 of 24 vCPUs left"),
        "small": InsufficientCapacity("no machine is free"),
    }
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    await until_asleep(entity)
    await entity.tell_owned()
    await world.until(lambda: world.count("plan_workspace") == 4)
    await until_asleep(entity)
    world.refused = {}
    await entity.signal("retry", OperatorOrder(reason="the quota was raised"))
    await world.until_phase(LifecyclePhase.READY)


async def machine_never_joined(entity: WorkspaceEntity, world: FakeWorld) -> None:
    """`workspace-machine-waited-for` is this story as it went before such a machine fell back."""
    offer(world, ("large", "on-demand"), ("small", "on-demand"))
    world.refused = {"large": DeadlineExceeded("the node never joined")}
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)


async def part_of_a_set_given_back(entity: WorkspaceEntity, world: FakeWorld) -> None:
    offer(world, ("large", "on-demand"), ("small", "on-demand"))
    world.claims_wanted, world.ready_before_refusal = 3, 2
    world.refused = {"large": InsufficientCapacity("2 of 3 machines are free")}
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)


async def edited_after_falling_back(entity: WorkspaceEntity, world: FakeWorld) -> None:
    """What failed is forgotten, so it is planned twice; and the run before remembers it."""
    entity.passes_per_run = 1
    offer(world, ("large", "on-demand"), ("small", "on-demand"))
    world.refused = {"large": QuotaExceeded("0 of 24 vCPUs left")}
    world.fail("pull_images", RuntimeFailed("the registry is down"))
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    world.refused = {}
    world.edit("b")
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)


STORIES: Final[dict[str, Story]] = {
    "workspace-cold-start": cold_start,
    "workspace-edit-supersedes": edit_supersedes,
    "workspace-failure-and-retry": failure_and_retry,
    "workspace-pause-and-resume": pause_and_resume,
    "workspace-deleted-while-creating": deleted_while_creating,
    "workspace-continued-as-new": continued_as_new,
    "workspace-capacity-and-retry": capacity_and_retry,
    "workspace-scaled-down": scaled_down,
    "workspace-woken-from-sleep": woken_from_sleep,
    "workspace-quota-then-second-type": quota_then_second_type,
    "workspace-spot-then-on-demand": spot_then_on_demand,
    "workspace-exhausted-and-retry": exhausted_and_retry,
    "workspace-machine-never-joined": machine_never_joined,
    "workspace-part-of-a-set-given-back": part_of_a_set_given_back,
    "workspace-edited-after-falling-back": edited_after_falling_back,
    **ROLLOUT_STORIES,
}


async def from_launch_to_end(entity: ClaimEntity, claim: FakeClaim) -> None:
    await entity.tell()
    await claim.until(lambda: bool(claim.reports))
    claim.is_deleting = True
    await entity.tell()
    await entity.ended()


async def refused_and_retried(entity: ClaimEntity, claim: FakeClaim) -> None:
    claim.fail("launch_node", InsufficientCapacity("all machines are taken"))
    await entity.tell()
    await claim.until(lambda: bool(claim.reports))
    await entity.signal("retry", OperatorOrder(reason="a machine is free"))
    await claim.until(lambda: claim.reports[-1].initialized)


CLAIM_STORIES: Final[dict[str, ClaimStory]] = {
    "claim-from-launch-to-end": from_launch_to_end,
    "claim-refused-and-retried": refused_and_retried,
}


async def record_workspace(case: str) -> None:
    """Play one story of a Workspace and keep the histories of all its runs."""
    world = FakeWorld(name="llm")
    async with AsyncExitStack() as stack:
        environment = await stack.enter_async_context(await start_real_server())
        await register_search_attributes(environment)
        entity = WorkspaceEntity(environment, world)
        await stack.enter_async_context(workers(environment, world))
        await STORIES[case](entity, world)
        await keep(case, entity)


async def record_claim(case: str) -> None:
    """Play one story of a claim."""
    claim = FakeClaim("ws0123456789")
    async with AsyncExitStack() as stack:
        environment = await stack.enter_async_context(await start_real_server())
        await register_search_attributes(environment)
        entity = ClaimEntity(environment, claim)
        await stack.enter_async_context(workers(environment, claim))
        await CLAIM_STORIES[case](entity, claim)
        await keep(case, entity)


async def keep(case: str, entity: Entity) -> None:
    """Write the histories of an entity, one file a run."""
    for old in HISTORIES.glob(f"{case}.*.json"):
        old.unlink()
    for number, history in enumerate(await entity.histories(), start=1):
        (HISTORIES / f"{case}.{number}.json").write_text(history.to_json() + "\n")
    print(f"{case}: recorded")  # noqa: T201 - a command-line program


async def main(cases: list[str]) -> None:
    """Record the named cases, or all."""
    for case in cases or [*STORIES, *CLAIM_STORIES]:
        await (record_claim(case) if case in CLAIM_STORIES else record_workspace(case))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
    leave(0)
