"""The short form of `make chaos`, and what makes a seed worth printing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import faults
from tests.chaos.run import draw, run_once
from tests.chaos.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SEED = 77
"""Its schedule has every kind of fault in it, which a test below holds to."""

SHORT_LIVES = 6


async def test_workspaces_live_through_faults(tmp_path: Path) -> None:
    async with World.running() as world:
        outcome = await run_once(world, SEED, folder=tmp_path, lives_count=SHORT_LIVES)
    assert outcome.is_clean, outcome.story()


def test_a_seed_draws_the_same_run_again() -> None:
    first, again, other = draw(SEED, SHORT_LIVES), draw(SEED, SHORT_LIVES), draw(SEED + 1, 1)
    assert first.schedule == again.schedule
    assert first.lives == again.lives
    assert first.schedule != other.schedule
    assert {fault.kind for fault in first.schedule} == set(faults.KINDS)


def test_every_kind_of_fault_and_act_is_drawn() -> None:
    runs = [draw(seed, 10) for seed in range(60)]
    assert {fault.kind for run in runs for fault in run.schedule} == set(faults.KINDS)
    verbs = {line.split()[0] for run in runs for life in run.lives for line in life.script}
    assert {"create", "edit", "settings", "rollback", "signal", "noise", "reborn"} <= verbs
