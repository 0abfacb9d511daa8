"""Edits while something is out of order: what serves goes on serving, or comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos.invariants import Truth, unbroken
from tests.chaos.lives import Life, Living, workflow_id
from tests.chaos.world import World
from tests.harness.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

STEPS = ("pull_images", "await_workload", "mark_revision")


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with World.running() as running:
        yield running
        await running.platform.assert_no_task_failed()


async def _live(world: World, name: str, strategy: str, *script: str) -> Life:
    life = Life(name, strategy, list(script))
    await Living(world, seed=1).live(life)
    return life


async def _until_true(world: World, life: Life) -> None:
    await eventually(
        lambda: Truth(world).wrongs_of(life),
        accept=lambda wrongs: not wrongs,
        what="all as it must be",
        seconds=120,
    )


async def test_under_surge_what_serves_is_left_alone_though_the_watch_of_services_is_late(
    world: World,
) -> None:
    world.proxy.hold_watches("services")
    life = await _live(world, "phi", "Surge", "create short")
    await world.platform.until_phase("phi", "Ready")
    await Living(world, seed=1).act(life, "edit longer")
    await _until_true(world, life)
    assert unbroken(life, world.recorder.of(life.uids[0])) == []


async def test_a_broken_edit_is_undone_whatever_step_the_worker_dies_at(world: World) -> None:
    """Each step has a Workspace of its own; the others are hit wherever they are then."""
    platform, living, one_at_a_time = world.platform, Living(world, seed=1), asyncio.Lock()

    async def live_through(step: str, strategy: str) -> Life:
        name = f"{step.replace('_', '-')}-{strategy.lower()}"
        life = await _live(world, name, strategy, "create short")
        await platform.until_phase(name, "Ready")
        before = (await platform.scheduled(workflow_id(life))).count(step)
        await living.act(life, "edit crash")
        await eventually(
            lambda: platform.scheduled(workflow_id(life)),
            accept=lambda scheduled: scheduled.count(step) > before,
            what=f"another {step} of {name}",
            seconds=120,
        )
        async with one_at_a_time:
            platform.kill_worker()
            platform.start_worker()
            await platform.until_worker_ready()
        await _until_true(world, life)
        return life

    async with asyncio.TaskGroup() as group:
        lives = [
            group.create_task(live_through(step, strategy))
            for step in STEPS
            for strategy in ("InPlace", "Surge")
        ]
    for task in lives:
        life = task.result()
        assert unbroken(life, world.recorder.of(life.uids[0])) == []
