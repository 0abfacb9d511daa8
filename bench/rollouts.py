"""What edits cost: good ones in place and by surge, and broken ones that are undone.

Nodes are kwok's, pods are played, and the model is a stub, so the seconds are the platform's own.
The last section reads what a running onebox has to tell of its own rollouts.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from temporalio.client import Client

from activities.clients.kubernetes import (
    WORKSPACES,
    ApiError,
    KubernetesClient,
    UnusableConfiguration,
)
from api.errors import ClusterUnavailable
from api.payloads import OperationOutcome
from bench import machine
from bench.counts import Histories, count_histories, fetch_histories, since, writes_of
from bench.page import Section, Table, verdict
from onebox import places
from tests.chaos.lives import Life, Living, workflow_id
from tests.chaos.recorder import seconds_unanswered
from tests.chaos.world import World
from tests.harness.waiting import eventually

STRATEGIES: Final = ("InPlace", "Surge")
GOOD_EDIT: Final = "longer"
BROKEN_EDITS: Final = {
    "absent": "an image that does not exist",
    "crash": "settings that the server ends with",
    "unlisted": "an adapter that the server does not list",
}
MAX_DETECTION_SECONDS: Final = 15.0
"""From the edit to the revision's being given up (issue 6)."""

SETTLE_SECONDS: Final = 2.0
"""The look that an operation's own changes cause belongs to its cost."""

ENDED: Final = {OperationOutcome.SUCCEEDED, OperationOutcome.RESTORED, OperationOutcome.FAILED}


@dataclass(frozen=True)
class Cost:
    """What one edit came to."""

    strategy: str
    edit: str
    detected_seconds: float | None
    """Until the revision was given up; None where it was good."""
    ended_seconds: float
    """Until the edit was carried out, or the earlier revision was said to serve again."""
    unanswered_seconds: float
    """While the Service led to no ready pod."""
    activities_count: int
    events_count: int
    writes_count: int


async def measure() -> list[Section]:
    """Make the edits one after the other, and count."""
    load = machine.load()
    async with World.running() as world:
        costs = [
            await _edit(world, strategy, edit)
            for strategy in STRATEGIES
            for edit in (GOOD_EDIT, *BROKEN_EDITS)
        ]
        await world.platform.assert_no_task_failed()
    return [_section(costs, load), await _real()]


async def _edit(world: World, strategy: str, edit: str) -> Cost:
    platform = world.platform
    life = Life(f"{edit}-{strategy.lower()}", strategy, ["create short"])
    living = Living(world, seed=0)
    await living.live(life)
    await platform.until_phase(life.name, "Ready")
    await asyncio.sleep(SETTLE_SECONDS)
    before, writes_before = await _history(platform.client, life), await writes_of(platform)
    operations_count = len(_operations(await platform.find(life.name)))
    started = time.monotonic()
    await living.act(life, f"edit {edit}")
    detected = None
    if edit in BROKEN_EDITS:
        await _until(world, life, operations_count, {OperationOutcome.GIVEN_UP})
        detected = time.monotonic() - started
    await _until(world, life, operations_count, ENDED)
    ended = time.monotonic() - started
    await asyncio.sleep(SETTLE_SECONDS)
    after = await _history(platform.client, life)
    writes = since(await writes_of(platform), writes_before)
    unanswered = seconds_unanswered(world.recorder.of(life.uids[0]))
    await platform.delete(life.name)
    await platform.until_gone(life.name)
    return Cost(
        strategy=strategy,
        edit=edit,
        detected_seconds=detected,
        ended_seconds=ended,
        unanswered_seconds=unanswered,
        activities_count=after.activities_count - before.activities_count,
        events_count=after.events_count - before.events_count,
        writes_count=writes.total(),
    )


async def _until(
    world: World, life: Life, operations_count: int, outcomes: set[OperationOutcome]
) -> None:
    """Wait until an operation that began after the edit has ended so."""

    async def has_ended() -> bool:
        told = _operations(await world.platform.find(life.name))
        # The newest is first.
        new = told[: len(told) - operations_count]
        return any(one["outcome"] in outcomes for one in new)

    await eventually(has_ended, what=f"{life.name}: {', '.join(outcomes)}", seconds=120)


def _operations(obj: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    return list(((obj or {}).get("status") or {}).get("history") or [])


async def _history(client: Client, life: Life) -> Histories:
    found = await fetch_histories(client, f"WorkflowId = '{workflow_id(life)}'")
    return count_histories(found.values())


def _section(costs: list[Cost], load: str) -> Section:
    return Section(
        title="Rollouts",
        text=(
            "One edit of a Workspace that serves, by strategy. A broken one is undone: `detected` "
            "is the time until its revision was given up, `done` the time until the earlier one "
            "was said to serve again. `nobody answered` is how long the Service led to no ready "
            "pod. Nodes are kwok's, a pod takes about 0.3 s to get ready or to fail, and the model "
            f"is a stub: the seconds are the platform's own. Load before: {load}."
        ),
        tables=(
            Table(
                (
                    "strategy",
                    "edit",
                    "detected, s",
                    "",
                    "done, s",
                    "nobody answered, s",
                    "activities",
                    "history events",
                    "writes to the API server",
                ),
                [
                    (
                        cost.strategy,
                        BROKEN_EDITS.get(cost.edit, "other settings"),
                        "" if cost.detected_seconds is None else cost.detected_seconds,
                        ""
                        if cost.detected_seconds is None
                        else verdict(cost.detected_seconds, MAX_DETECTION_SECONDS),
                        cost.ended_seconds,
                        cost.unanswered_seconds,
                        cost.activities_count,
                        cost.events_count,
                        cost.writes_count,
                    )
                    for cost in costs
                ],
            ),
        ),
        notes=(_ratios(costs),),
    )


def _ratios(costs: list[Cost]) -> str:
    """Return what hardly depends on the machine: how much more one way costs than the other."""
    by_way = {(cost.strategy, cost.edit): cost for cost in costs}
    in_place, surge = (by_way[strategy, GOOD_EDIT] for strategy in STRATEGIES)
    undone = Counter[str]()
    for cost in costs:
        if cost.edit in BROKEN_EDITS:
            undone[cost.strategy] += cost.activities_count
    count = len(BROKEN_EDITS)
    return (
        f"By surge a good edit costs {surge.activities_count / in_place.activities_count:.2f} "
        f"times the activities, and {surge.events_count / in_place.events_count:.2f} times the "
        "history events, of one in place. To undo a broken one takes "
        + " and ".join(
            f"{undone[cost.strategy] / count / cost.activities_count:.2f} times the activities of "
            f"a good one ({cost.strategy})"
            for cost in (in_place, surge)
        )
        + "."
    )


# --- The real thing -------------------------------------------------------------------------------

REAL_TITLE: Final = "Rollouts with a real model"


async def _real() -> Section:
    """Tell what the operations of a running onebox took; nothing of it is edited."""
    try:
        found = await _real_operations()
    except (ApiError, ClusterUnavailable, UnusableConfiguration) as error:
        return _absent(f"onebox does not answer ({type(error).__name__})")
    if not found:
        return _absent("onebox does not run, or nobody edited a Workspace of it")
    return Section(
        title=REAL_TITLE,
        text=(
            "Every operation that the Workspaces of the running onebox remember, oldest first: "
            f"real kubelet, containerd and vLLM on CPU. Load now: {machine.load()}."
        ),
        tables=(Table(("Workspace", "revision", "outcome", "seconds", "reason", "told"), found),),
    )


async def _real_operations() -> list[tuple[str | float, ...]]:
    if not places.kubeconfig().exists():
        return []
    async with KubernetesClient.connect(str(places.kubeconfig())) as kube:
        return [
            (
                f"{obj['metadata']['namespace']}/{obj['metadata']['name']}",
                one["revision"],
                one["outcome"],
                float(one["seconds"]),
                one.get("reason", ""),
                one.get("message", "").replace("|", "/"),
            )
            for obj in await kube.list(WORKSPACES)
            for one in reversed(_operations(obj))
            if len(_operations(obj)) > 1
        ]


def _absent(why: str) -> Section:
    return Section(
        title=REAL_TITLE,
        text=(
            f"Not measured this time: {why}. For this section run `make up`, edit its Workspace, "
            "then run `make bench`."
        ),
    )
