"""What goes wrong during a run, and when: drawn from the run's seed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from activities.clients.kubernetes import NODES, ApiError
from tests.chaos.world import World
from tests.harness.storm_proxy import Storm

FAULTS_SECONDS: Final = 12.0
"""Faults begin within this time; most of what lives do happens in it."""

MIN_FAULTS: Final = 4
MAX_FAULTS: Final = 9
KILL: Final = "kill the worker"
RESTART: Final = "restart Temporal"
KINDS: Final = {
    KILL: 2,
    RESTART: 1,
    "storm of refusals": 3,
    "storm of lost answers": 2,
    "cut watches": 3,
    "late watches": 2,
    "clock jump": 2,
}
STORMS: Final = ((409, 429, 500), (409,), (429,), (500, 503), (429, 503))
MOST_KILLS: Final = 2


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong."""

    at_seconds: float
    kind: str
    for_seconds: float = 0.0
    share: float = 0.0
    statuses: tuple[int, ...] = ()
    jump_seconds: float = 0.0
    in_order: bool = False

    def __str__(self) -> str:
        told = f"{self.at_seconds:.1f} s: {self.kind}"
        if self.statuses:
            told += f" {'/'.join(map(str, self.statuses))}"
        if self.share:
            told += f", {self.share:.0%}"
        if self.for_seconds:
            told += f" for {self.for_seconds:.1f} s"
        if self.jump_seconds:
            told += f" by {self.jump_seconds:+.0f} s"
        return told


def draw(seed: int) -> list[Fault]:
    """Draw a schedule, in order of time."""
    dice = random.Random(seed)
    found: list[Fault] = []
    for _ in range(dice.randint(MIN_FAULTS, MAX_FAULTS)):
        kind = dice.choices(list(KINDS), list(KINDS.values()))[0]
        if kind == KILL and sum(one.kind == KILL for one in found) >= MOST_KILLS:
            continue
        if kind == RESTART and any(one.kind == RESTART for one in found):
            continue
        found.append(_fault(kind, dice))
    return sorted(found, key=lambda fault: fault.at_seconds)


def _fault(kind: str, dice: random.Random) -> Fault:
    at_seconds = dice.uniform(0.2, FAULTS_SECONDS)
    if "storm" in kind:
        return Fault(
            at_seconds,
            kind,
            for_seconds=dice.uniform(1, 5),
            share=dice.choice([0.2, 0.4, 0.7, 1.0]),
            statuses=dice.choice(STORMS) if kind == "storm of refusals" else (),
        )
    if kind == "late watches":
        return Fault(at_seconds, kind, for_seconds=dice.uniform(1, 6))
    if kind == "clock jump":
        return Fault(at_seconds, kind, jump_seconds=dice.choice([-86400, -3600, -90, 90, 3600]))
    return Fault(at_seconds, kind, in_order=dice.random() < 0.5)


class Weather:
    """Carries a schedule out, and brings fair weather back."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._worker_lock = asyncio.Lock()
        self._storms: list[Storm] = []

    async def pass_over(self, schedule: list[Fault]) -> None:
        """Return when all of it is over and every server runs."""
        try:
            async with asyncio.TaskGroup() as group:
                for fault in schedule:
                    group.create_task(self._strike(fault))
        finally:
            self._world.proxy.storm = Storm()
            self._world.proxy.release_watches()
            self._world.actor.clock_offset = timedelta()

    async def _strike(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_seconds)
        platform, proxy = self._world.platform, self._world.proxy
        match fault.kind:
            case "kill the worker":
                async with self._worker_lock:
                    platform.kill_worker()
                    platform.start_worker()
            case "restart Temporal":
                await platform.temporal.restart()
            case "cut watches":
                proxy.cut_watches(in_order=fault.in_order)
            case "clock jump":
                await self._set_clocks(timedelta(seconds=fault.jump_seconds))
            case "storm of refusals":
                await self._storm(Storm(fault.share, fault.statuses), fault.for_seconds)
            case "storm of lost answers":
                await self._storm(Storm(lost_share=fault.share), fault.for_seconds)
            case "late watches":
                proxy.hold_watches()
                await asyncio.sleep(fault.for_seconds)
                proxy.release_watches()
            case _:
                raise ValueError(f"{fault.kind} is no fault")

    async def _storm(self, storm: Storm, seconds: float) -> None:
        # Where two overlap, the later one is the weather until it ends.
        self._storms.append(storm)
        self._world.proxy.storm = storm
        await asyncio.sleep(seconds)
        self._storms.remove(storm)
        self._world.proxy.storm = self._storms[-1] if self._storms else Storm()

    async def _set_clocks(self, offset: timedelta) -> None:
        """Set the nodes' clocks; their kubelets write their conditions with it at once."""
        actor, kube = self._world.actor, self._world.platform.kube
        actor.clock_offset = offset
        for node in await kube.list(NODES):
            conditions: list[dict[str, Any]] = node.get("status", {}).get("conditions") or []
            changed = [
                {**one, "lastHeartbeatTime": actor.now(), "lastTransitionTime": actor.now()}
                for one in conditions
            ]
            # The node may go meanwhile: then there is no clock to set.
            with contextlib.suppress(ApiError):
                await kube.merge_patch(
                    NODES,
                    node["metadata"]["name"],
                    {"status": {"conditions": changed}},
                    "",
                    "status",
                )
