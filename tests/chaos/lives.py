"""Random lives of Workspaces: created, edited well and badly, rolled back, ordered about, deleted.

A life is drawn from its seed before it begins, so that the same seed lives the same life again; how
the world's clocks fall against it is not in anybody's hand.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from temporalio.service import RPCError, RPCStatusCode

from activities.clients.kubernetes import WORKSPACES, ApiError
from api import names
from api.payloads import DesiredChanged, RollbackOrder
from tests.chaos.variants import BROKEN, BY_NAME, GOOD, Variant, body, put_settings
from tests.chaos.world import World
from tests.harness.platform import NAMESPACE

AT_REST: Final = frozenset({"Ready", "RolledBack", "Failed", "Waiting", "AwaitingApproval"})
CALM_SECONDS: Final = 8.0
"""Longest that a life waits for its Workspace to come to rest before it goes on."""

SIGNAL_TRIES: Final = 60
SIGNAL_PAUSE_SECONDS: Final = 0.5

MAX_TURNS: Final = 3
WEIGHTS: Final = {
    "good": 5,
    "broken": 4,
    "settings": 2,
    "rollback": 3,
    "pause": 1,
    "retry": 1,
    "noise": 2,
    "reborn": 1,
}
SETTINGS: Final = ("max-model-len: 300", "max-model-len: 400", "seed: 666", "max-model-len: 500")


@dataclass
class Life:
    """One Workspace's script, and what became of it."""

    name: str
    strategy: str
    script: list[str]
    uids: list[str] = field(default_factory=list)
    """Of every object that had the name."""
    deletes_at_end: bool = False
    needs_approval: bool = False
    """Its edits wait for the order `approve`, which comes at the end of the run."""

    def __str__(self) -> str:
        policy = f"{self.strategy}, by approval" if self.needs_approval else self.strategy
        return f"{self.name} ({policy}): {', '.join(self.script)}"


def draw(name: str, seed: int) -> Life:
    """Draw a life."""
    dice = random.Random(seed)
    script = [f"create {_variant(dice, broken_share=0.1).name}", _pause(dice, calm_share=0.7)]
    for _ in range(dice.randint(1, MAX_TURNS)):
        what = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        match what:
            case "good":
                script.append(f"edit {dice.choice(GOOD).name}")
            case "broken":
                # The one that hangs costs its whole deadline, so it is rare.
                script.append(f"edit {dice.choices(BROKEN, (4, 4, 4, 1))[0].name}")
            case "settings":
                script += ["edit own", _pause(dice), f"settings {dice.choice(SETTINGS)}"]
            case "pause":
                script += ["signal pause", "signal pause", f"sleep {dice.uniform(0, 1.5):.1f}"]
                script += ["signal resume"]
            case _:
                script.append(what)
        script.append(_pause(dice))
    strategy = dice.choice(["InPlace", "Surge"])
    return Life(
        name,
        strategy,
        script,
        deletes_at_end=dice.random() < 0.4,
        needs_approval=dice.random() < 0.15,
    )


def _variant(dice: random.Random, *, broken_share: float) -> Variant:
    # Not the one that hangs: there is nothing to go back to, and it is retried for ever.
    return dice.choice(BROKEN[:3]) if dice.random() < broken_share else dice.choice(GOOD)


def _pause(dice: random.Random, *, calm_share: float = 0.5) -> str:
    return "calm" if dice.random() < calm_share else f"sleep {dice.uniform(0, 2):.1f}"


class Living:
    """Carries lives out in a world."""

    def __init__(self, world: World, seed: int) -> None:
        self._platform = world.platform
        self._dice = random.Random(seed)

    async def live(self, life: Life) -> None:
        """Carry out the script; what the platform makes of it is not judged here."""
        for line in life.script:
            await self.act(life, line)

    async def act(self, life: Life, line: str) -> None:
        """Carry out one line of a script."""
        acts: dict[str, Callable[[Life, str], Awaitable[None]]] = {
            "create": self._create,
            "edit": self._edit,
            "settings": self._settings,
            "rollback": self._rollback,
            "signal": lambda life, which: self.signal(life, which, "chaos"),
            "retry": lambda life, _: self.signal(life, "retry", "chaos"),
            "noise": self._noise,
            "reborn": self._reborn,
            "sleep": lambda _, seconds: asyncio.sleep(float(seconds)),
            "calm": self._calm,
        }
        verb, _, rest = line.partition(" ")
        await acts[verb](life, rest)

    async def _settings(self, life: Life, setting: str) -> None:
        await put_settings(self._platform.kube, own_settings(life), _text(setting))

    async def approve(self, life: Life) -> None:
        """Approve what waits, as often as something does."""
        if life.needs_approval and await self._platform.phase(life.name) == "AwaitingApproval":
            await self.signal(life, "approve", "chaos")

    async def _rollback(self, life: Life, _rest: str) -> None:
        for _ in range(self._dice.choice([1, 1, 2])):
            await self.signal(life, "rollback", RollbackOrder(reason="chaos"))

    async def _reborn(self, life: Life, _: str) -> None:
        await self._platform.delete(life.name)
        await self._platform.until_gone(life.name)
        await self._create(life, self._dice.choice(GOOD).name)

    async def _create(self, life: Life, variant: str) -> None:
        await put_settings(self._platform.kube, own_settings(life), _text(SETTINGS[0]))
        spec = body(life.name, BY_NAME[variant], life.strategy)
        spec["rollout"]["requireApproval"] = life.needs_approval
        made = await self._platform.kube.create(WORKSPACES, spec, NAMESPACE)
        life.uids.append(made["metadata"]["uid"])

    async def _edit(self, life: Life, what: str) -> None:
        """Write the spec as `kubectl edit` does: read it, and replace what was read."""
        if what == "own":
            inference = BY_NAME["plain"].inference() | {"config": own_settings(life)}
        else:
            inference = BY_NAME[what].inference()
        while True:
            found = await self._platform.find(life.name)
            if found is None:
                return
            try:
                await self._platform.kube.replace(
                    WORKSPACES, {**found, "inference": inference}, NAMESPACE
                )
            except ApiError as error:
                if error.status != 409:
                    raise
            else:
                return

    async def _noise(self, life: Life, _: str) -> None:
        """Send hints twice, late, and of an object that is long gone."""
        uid = life.uids[-1]
        hints = [DesiredChanged(uid=uid, generation=n, cause="noise") for n in (1, 3, 2, 1, 0)]
        hints += [DesiredChanged(uid="of-an-older-object", deleting=True)]
        self._dice.shuffle(hints)
        for hint in hints:
            await self.signal(life, "desired_changed", hint)
        for order in self._dice.sample(["resume", "approve", "force_delete"], 2):
            await self.signal(life, order)

    async def signal(self, life: Life, signal: str, *arguments: Any) -> None:
        """Signal the workflow, however long Temporal is away; no workflow is no error."""
        for _ in range(SIGNAL_TRIES):
            try:
                await self._platform.signal(life.name, signal, *arguments)
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    return
                await asyncio.sleep(SIGNAL_PAUSE_SECONDS)
            else:
                return
        raise TimeoutError(f"Temporal took no signal for {SIGNAL_TRIES * SIGNAL_PAUSE_SECONDS} s")

    async def _calm(self, life: Life, _: str) -> None:
        """Wait until the Workspace is at rest, but not for ever."""
        for _look in range(round(CALM_SECONDS / 0.2)):
            if _is_at_rest(await self._platform.find(life.name)):
                return
            await asyncio.sleep(0.2)


def own_settings(life: Life) -> str:
    """Return the ConfigMap whose content the life edits."""
    return f"{life.name}-own"


def workflow_id(life: Life) -> str:
    """Return the workflow of a life's Workspace."""
    return names.workspace_workflow_id(NAMESPACE, life.name)


def _text(setting: str) -> str:
    return f"vllm:\n  {setting}\n"


def _is_at_rest(obj: Mapping[str, Any] | None) -> bool:
    if obj is None:
        return True
    status = obj.get("status") or {}
    is_current = status.get("observedGeneration") == obj["metadata"]["generation"]
    return is_current and status.get("phase") in AT_REST
