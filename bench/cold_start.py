"""One Workspace from nothing to Ready, with a node that is brought up for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from bench import machine
from bench.counts import (
    ONLY_WE_WRITE,
    Histories,
    fetch_histories,
    of_kind,
    server_writes_of,
    since,
    writes_of,
)
from bench.page import Cell, Section, Table, verdict
from tests.harness.platform import Platform, workspace

NAME: Final = "bench"
MAX_WRITES: Final = 12
MAX_ACTIVITIES: Final = 15
MAX_EVENTS: Final = 150
"""The budget of a cold start (design, section 8)."""

SETTLE_SECONDS: Final = 3.0
"""Hints that its own changes caused make the workflow look once more after it is Ready; that look
belongs to the cost."""


async def measure() -> Section:
    """Start one Workspace and count."""
    load = machine.load()
    async with Platform.running() as platform:
        writes_before = await writes_of(platform)
        server_before = await server_writes_of(platform.cluster)
        await platform.apply(workspace(NAME))
        found = await platform.until_phase(NAME, "Ready")
        await asyncio.sleep(SETTLE_SECONDS)
        writes = since(await writes_of(platform), writes_before)
        server_writes = since(await server_writes_of(platform.cluster), server_before)
        histories = await fetch_histories(platform.client, "")
        await platform.assert_no_task_failed()
    own, claim = of_kind(histories, "workspace"), of_kind(histories, "nodeclaim")
    return Section(
        title="One cold start",
        text=(
            "A Workspace of one GPU for which a node is brought up. The node and its pods are "
            "kwok's, the machine has 0.5 s to boot and the model is a stub: the seconds are the "
            "platform's own. The budget of writes is for both workflows together, those of "
            f"activities and events are for the Workspace's. Load before: {load}."
        ),
        tables=(
            budget_table(own, claim, writes),
            Table(("write", "times"), sorted(writes.items())),
            activities_table(own, claim),
            steps_table(found["status"]),
        ),
        notes=(_agreement(writes, server_writes),),
    )


def budget_table(own: Histories, claim: Histories, writes: Counter[str] | None) -> Table:
    """Return the counts beside their budgets; writes of a worker that others share are unknown."""
    rows: list[tuple[Cell, ...]] = []
    if writes is not None:
        total = writes.total()
        rows.append(
            ("writes to the API server", *_split(writes), total, *_judged(total, MAX_WRITES))
        )
    for what, ours, its, budget in (
        ("activities", own.activities_count, claim.activities_count, MAX_ACTIVITIES),
        ("history events", own.events_count, claim.events_count, MAX_EVENTS),
    ):
        rows.append((what, ours, its, ours + its, *_judged(ours, budget)))
    return Table(("count", "Workspace", "NodeClaim", "both", "budget", ""), rows)


def activities_table(own: Histories, claim: Histories) -> Table:
    """Return the activities by type, in both workflows."""
    return Table(
        ("activity", "times"),
        [
            *own.activities.items(),
            *((f"{name} (claim)", n) for name, n in claim.activities.items()),
        ],
    )


def steps_table(status: Mapping[str, Any]) -> Table:
    """Return the seconds of each step from `.status`."""
    rows: list[tuple[Cell, Cell]] = [
        (step["step"], float(step["seconds"])) for step in status["timeline"]
    ]
    rows += [("whole operation", float(one["seconds"])) for one in status["history"][-1:]]
    return Table(("step", "seconds"), rows)


def _split(writes: Counter[str]) -> tuple[int, int]:
    # The claim's workflow writes its status and finalizer; the claim itself is the Workspace's.
    claim = sum(count for what, count in writes.items() if what == "patch nodeclaims")
    return writes.total() - claim, claim


def _judged(count: int, budget: int) -> tuple[str, str]:
    return f"≤ {budget}", verdict(count, budget)


def _agreement(writes: Counter[str], server_writes: Counter[str]) -> str:
    # Applying the Workspace is the user's write, not the platform's.
    server_writes = since(server_writes, Counter({"apply workspaces": 1}))
    ours = Counter({what: n for what, n in writes.items() if what.split()[1] in ONLY_WE_WRITE})
    listed = ", ".join(f"{count} {what}" for what, count in sorted(server_writes.items()))
    kinds = ", ".join(ONLY_WE_WRITE)
    if ours == server_writes:
        return (
            f"The API server's own books agree where only the platform writes ({kinds}): {listed}."
        )
    return (
        f"The API server's own books DISAGREE where only the platform writes ({kinds}): {listed}."
    )
