"""One run: some lives under one schedule of faults, and the judgement."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from google.protobuf.json_format import MessageToJson
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.service import RPCError

from tests.chaos import faults, lives
from tests.chaos.invariants import Truth, histories_are_sound, unbroken
from tests.chaos.world import World

LIVES: Final = 10
SETTLE_SECONDS: Final = 180.0
"""180 s for everything to become as it must be. A killed quick activity is noticed after 20 to 30
s, a failed attempt is repeated after 30 to 60 s, and both may come together more than once."""

STEADY_LOOKS: Final = 3
"""Looks in a row, 0.5 s apart, that must find nothing wrong: it was no moment on the way."""

LOOK_SECONDS: Final = 0.5
LIVE_SECONDS: Final = 240.0


@dataclass
class Outcome:
    """What a run came to."""

    seed: int
    schedule: list[faults.Fault]
    lives: list[lives.Life]
    wrongs: list[str] = field(default_factory=list)
    seconds: float = 0.0
    folder: Path | None = None
    """Where the histories and logs of a failed run are."""
    struck: str = ""

    @property
    def is_clean(self) -> bool:
        return not self.wrongs

    def line(self) -> str:
        """Return the run in one line."""
        kinds = Counter(fault.kind for fault in self.schedule)
        told = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
        verdict = "clean" if self.is_clean else "BROKEN"
        acts = sum(len(life.script) for life in self.lives)
        return (
            f"seed {self.seed}: {verdict}, {len(self.lives)} Workspaces, {acts} acts, {told}; "
            f"{self.struck}; {self.seconds:.1f} s"
        )

    def story(self) -> str:
        """Return all that is needed to understand a failed run."""
        parts = [self.line(), "faults:", *(f"  {fault}" for fault in self.schedule)]
        parts += ["lives:", *(f"  {life}" for life in self.lives)]
        parts += ["wrong:", *(f"  {wrong}" for wrong in self.wrongs)]
        if self.folder is not None:
            parts.append(f"histories and logs: {self.folder}")
        parts.append(f"again: make chaos SEED={self.seed} RUNS=1")
        return "\n".join(parts)


def draw(seed: int, lives_count: int) -> Outcome:
    """Draw what a run will do; nothing has come of it yet."""
    dice = random.Random(seed)
    schedule = faults.draw(dice.getrandbits(32))
    names = [f"c{seed % 100_000}-{index}" for index in range(lives_count)]
    return Outcome(seed, schedule, [lives.draw(name, dice.getrandbits(32)) for name in names])


async def run_once(world: World, seed: int, *, folder: Path, lives_count: int = LIVES) -> Outcome:
    """Carry a run out and judge it; at its end nothing of it is left in the cluster."""
    outcome = draw(seed, lives_count)
    world.reseed(seed)
    before = (world.proxy.refused_count, world.proxy.lost_count, world.proxy.cut_count)
    started_at, started = datetime.now(tz=UTC), time.monotonic()
    try:
        await _live(world, outcome)
        await _settle(world, outcome)
        await _die(world, outcome)
    except (AssertionError, TimeoutError, RuntimeError) as error:
        outcome.wrongs.append(f"{type(error).__name__}: {error}")
    for life in outcome.lives:
        for uid in life.uids:
            outcome.wrongs += unbroken(life, world.recorder.of(uid))
    histories = await _histories(world, started_at)
    outcome.wrongs += histories_are_sound(histories)
    after = (world.proxy.refused_count, world.proxy.lost_count, world.proxy.cut_count)
    refused, lost, cut = (now - then for now, then in zip(after, before, strict=True))
    outcome.struck = f"{refused} requests refused, {lost} answers lost, {cut} watches cut"
    outcome.seconds = time.monotonic() - started
    if not outcome.is_clean:
        outcome.folder = folder / str(seed)
        await _keep(world, outcome, histories)
    return outcome


async def _live(world: World, outcome: Outcome) -> None:
    living = lives.Living(world, outcome.seed)
    async with asyncio.timeout(LIVE_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(faults.Weather(world).pass_over(outcome.schedule))
        for life in outcome.lives:
            group.create_task(living.live(life))
    for name in world.platform.workers:
        await world.platform.until_worker_ready(name)


async def _settle(world: World, outcome: Outcome) -> None:
    """Wait until everything is as it must be; what is not by then is wrong."""
    truth, living = Truth(world), lives.Living(world, outcome.seed)
    deleted = [life for life in outcome.lives if life.deletes_at_end]
    alive = [life for life in outcome.lives if not life.deletes_at_end]
    for life in deleted:
        await world.platform.delete(life.name)

    async def wrongs() -> list[str]:
        for life in alive:
            await living.approve(life)
        found = [wrong for life in alive for wrong in await truth.wrongs_of(life)]
        gone = [uid for life in deleted for uid in life.uids]
        gone += [uid for life in alive for uid in life.uids[:-1]]
        return found + await truth.left_of(gone)

    outcome.wrongs += await _until_none(wrongs)
    world.platform.assert_nothing_bought_twice()


async def _die(world: World, outcome: Outcome) -> None:
    """Delete what lives, and prove that nothing is left."""
    truth = Truth(world)
    for life in outcome.lives:
        await world.platform.delete(life.name)

    async def left() -> list[str]:
        gone = [uid for life in outcome.lives for uid in life.uids]
        return await truth.left_of(gone) + await truth.machines_left()

    outcome.wrongs += await _until_none(left)


async def _until_none(wrongs: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """Return what is wrong at the end of the time; nothing, when nothing was for a while."""
    deadline, steady = time.monotonic() + SETTLE_SECONDS, 0
    while True:
        found = await wrongs()
        steady = 0 if found else steady + 1
        if steady >= STEADY_LOOKS:
            return []
        if found and time.monotonic() > deadline:
            return found
        await asyncio.sleep(LOOK_SECONDS)


async def _histories(world: World, since: datetime) -> dict[str, list[HistoryEvent]]:
    """Return the histories of every workflow that began in the run."""
    client, found = world.platform.client, dict[str, list[HistoryEvent]]()
    query = f"StartTime >= '{since.isoformat()}'"
    async for execution in client.list_workflows(query):
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
        try:
            history = await handle.fetch_history()
        except RPCError:
            continue
        found[f"{execution.id}/{execution.run_id}"] = list(history.events)
    return found


async def _keep(world: World, outcome: Outcome, histories: dict[str, list[HistoryEvent]]) -> None:
    """Write down everything that explains a failed run."""
    folder = outcome.folder
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "story.txt").write_text(outcome.story() + "\n")
    for key, events in histories.items():
        name = key.replace("/", "_")
        (folder / f"{name}.json").write_text(MessageToJson(History(events=events)))
    for name, process in world.platform.workers.items():
        (folder / f"{name}.log").write_text(process.log_tail(5000))
    sights = sorted(world.recorder.sights, key=lambda sight: sight.version)
    (folder / "sights.txt").write_text("\n".join(map(str, sights)) + "\n")
    (folder / "world.txt").write_text(await world.platform.describe(lines=50))
