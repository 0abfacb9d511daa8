"""Orders as operators send them: by the plain `temporal` program, to one and to many."""

from __future__ import annotations

import asyncio

import pytest

from api.payloads import LifecyclePhase
from tests.workflow.conftest import PROGRAMS, WorkspaceEntity
from tests.workflow.fake_world import UNTIL_SECONDS, FakeWorld
from tests.workflow.test_approve import waiting
from tests.workflow.test_force_delete import stuck
from tests.workflow.test_rollback import rolled_back
from tests.workflow.test_rollout import edited, ready


async def temporal(entity: WorkspaceEntity, *arguments: str) -> None:
    """Run `temporal workflow signal` against the server of the test."""
    address = entity.client.service_client.config.target_host
    program = await asyncio.create_subprocess_exec(
        str(PROGRAMS / "temporal"), "workflow", "signal", "--address", address, *arguments
    )
    assert await asyncio.wait_for(program.wait(), UNTIL_SECONDS) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--input", '"too slow"'],
        ["--input", '{"reason": "too slow"}'],
        ["--input", '{"revision": "rev-a"}'],
    ],
)
async def test_rollback(entity: WorkspaceEntity, world: FakeWorld, arguments: list[str]) -> None:
    await ready(entity, world)
    await edited(entity, world, "b")
    await temporal(entity, "-w", entity.id, "--name", "rollback", *arguments)
    await world.until(lambda: world.mine.service == "rev-a")


async def test_approve(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await waiting(entity, world)
    await temporal(entity, "-w", entity.id, "--name", "approve")
    await world.until(lambda: world.mine.service == "rev-b")


async def test_force_delete(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await stuck(entity, world)
    world.lets_go = True
    await temporal(entity, "-w", entity.id, "--name", "force_delete", "--input", '"cloud gone"')
    await entity.ended()


async def test_a_batch_reaches_what_a_query_finds(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await rolled_back(entity, world)
    world.broken.clear()
    query = "KaitoPhase = 'RolledBack' AND KaitoReason = 'RuntimeFailed'"
    async with asyncio.timeout(UNTIL_SECONDS):
        while await count(entity, query) == 0:
            continue  # The store behind queries lags; asking it is what takes time here.
    await temporal(
        entity, "--query", query, "--name", "retry", "--input", '{"reason": "mended"}', "--yes"
    )
    await world.until_phase(LifecyclePhase.READY)
    assert world.mine.service == "rev-b"


async def count(entity: WorkspaceEntity, query: str) -> int:
    return (await entity.client.count_workflows(query)).count
