"""Many Workspaces at once on nodes that exist already."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from statistics import quantiles
from typing import Any, Final

from activities.clients.informer import Change, Informer
from activities.clients.kubernetes import NODES, WORKSPACES
from api import images
from bench import machine
from bench.counts import Histories, fetch_histories, of_kind, since, writes_of
from bench.machine import Usage, WholeMachine, usage_of
from bench.page import Cell, Section, Table, verdict
from tests.harness.platform import NAMESPACE, Platform, workspace
from tests.harness.waiting import eventually

NODE: Final = "big"
FLEET_LABELS: Final = {"apps": "fleet"}
ROOM: Final = {
    "cpu": "10000",
    "memory": "100Ti",
    "ephemeral-storage": "100Ti",
    "pods": "20000",
    "nvidia.com/gpu": "20000",
}
AIM_SECONDS: Final = 30.0
"""200 Workspaces Ready on two cores (issue 3)."""

PATIENCE_SECONDS: Final = 180.0
SETTLE_SECONDS: Final = 5.0
"""The look that a Workspace's own changes cause comes after it is Ready and belongs to its cost."""

CREATORS_COUNT: Final = 20
"""Clients that create at once, as a pipeline of many manifests would."""


class NotAllReady(RuntimeError):
    """The fleet did not become Ready; the message says what one of the others waits for."""


async def measure(count: int) -> Section:
    """Create `count` Workspaces at once and wait for all of them."""
    load = machine.load()
    async with Platform.running() as platform:
        await _add_node(platform)
        watched = _Watched(platform)
        await watched.start()
        writes_before, usage_before = await writes_of(platform), _usages(platform)
        machine_before, started = machine.whole_machine(), time.monotonic()
        created_seconds = await _create(platform, count)
        await watched.until_all_ready(count)
        ready_seconds = time.monotonic() - started
        all_cores = machine.whole_machine().since(machine_before)
        usages = {
            name: usage.since(usage_before[name]) for name, usage in _usages(platform).items()
        }
        await watched.stop()
        await asyncio.sleep(SETTLE_SECONDS)
        writes = since(await writes_of(platform), writes_before)
        own = of_kind(await fetch_histories(platform.client, ""), "workspace")
        await platform.assert_no_task_failed()
    return Section(
        title=f"{count} Workspaces at once",
        text=(
            "On one existing (kwok) node that has the images already; the model is a stub; one "
            "worker with default settings; API server, etcd, controllers, Temporal and this "
            f"program on the same cores. Load before: {load}, after: {machine.load()}."
        ),
        tables=(
            _each_table(count, own, writes, sorted(watched.seconds.values())),
            _all_table(count, created_seconds, ready_seconds),
            _processes_table(usages, all_cores),
        ),
        notes=(
            "Activities of each: " + _by_type(own.activities, count) + ".",
            "Events of each: " + _by_type(own.events, count) + ".",
            _what_limits(all_cores),
        ),
    )


def _each_table(count: int, own: Histories, writes: Counter[str], seconds: list[float]) -> Table:
    cuts = quantiles(seconds, n=100) if len(seconds) > 1 else seconds * 99
    rows: list[tuple[Cell, Cell]] = [
        ("writes to the API server", writes.total() / count),
        ("activities", own.activities_count / count),
        ("history events", own.events_count / count),
        ("seconds from its creation to WorkspaceSucceeded, p50", cuts[49]),
        ("the same, p95", cuts[94]),
    ]
    return Table(("per Workspace", ""), rows)


def _all_table(count: int, created_seconds: float, ready_seconds: float) -> Table:
    aim = f" (aim: {AIM_SECONDS:.0f} s, {verdict(ready_seconds, AIM_SECONDS)})"
    return Table(
        ("all together", ""),
        [
            ("created", f"{count / created_seconds:.0f} per second"),
            ("all Ready after", f"{ready_seconds:.1f} s{aim if count == 200 else ''}"),  # noqa: PLR2004
            ("Ready per second", f"{count / ready_seconds:.1f}"),
        ],
    )


def _processes_table(usages: dict[str, Usage], all_cores: WholeMachine) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, usage.cpu_seconds, round(usage.peak_mebibytes)) for name, usage in usages.items()
    ]
    ours = sum(usage.cpu_seconds for usage in usages.values())
    rows.append(("everything else on the machine", all_cores.busy_seconds - ours, ""))
    rows.append(("idle", all_cores.idle_seconds, ""))
    return Table(("process", "CPU seconds", "peak MiB"), rows)


def _by_type(counts: Counter[str], count: int) -> str:
    return ", ".join(f"{number / count:.2f} {what}" for what, number in sorted(counts.items()))


def _what_limits(all_cores: WholeMachine) -> str:
    share = 100 * all_cores.busy_seconds / all_cores.total_seconds
    return f"The cores were busy for {share:.0f} % of the time until all were Ready."


async def _add_node(platform: Platform) -> None:
    present = {"names": [f"registry.invalid/{images.VLLM_CPU_IMAGE}"], "sizeBytes": 1}
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": NODE,
            "labels": {
                **FLEET_LABELS,
                "kubernetes.io/hostname": NODE,
                "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": "onebox.small",
            },
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        # Complete from its creation: kwok writes back the room that it first saw.
        "status": {"capacity": ROOM, "allocatable": ROOM, "images": [present]},
    }
    await platform.kube.create(NODES, node)

    async def is_ready() -> bool:
        status = (await platform.kube.get(NODES, NODE))["status"]
        return any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in status.get("conditions", [])
        )

    await eventually(is_ready, what="the node being ready")


async def _create(platform: Platform, count: int) -> float:
    started = time.monotonic()
    waiting = iter(range(count))

    async def creator() -> None:
        for index in waiting:
            body = workspace(f"fleet-{index:04}")
            body["resource"]["labelSelector"]["matchLabels"] = FLEET_LABELS
            await platform.kube.create(WORKSPACES, body, NAMESPACE)

    await asyncio.gather(*(creator() for _ in range(CREATORS_COUNT)))
    return time.monotonic() - started


def _usages(platform: Platform) -> dict[str, Usage]:
    processes = {
        "worker": platform.workers["worker-1"],
        "temporal": platform.temporal.process,
        **platform.cluster.processes,
    }
    return {name: usage_of(process.pid) for name, process in processes.items()}


class _Watched:
    """Sees by one watch when each Workspace appears and when it has succeeded."""

    def __init__(self, platform: Platform) -> None:
        self.seconds: dict[str, float] = {}
        self._seen: dict[str, float] = {}
        self._informer = Informer(platform.kube, WORKSPACES)

    async def start(self) -> None:
        self._informer.start()
        await self._informer.wait_synced(30)
        self._informer.subscribe(self._look)

    async def stop(self) -> None:
        await self._informer.stop()

    async def until_all_ready(self, count: int) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(self.seconds) < count:
                    await self._informer.wait_changed(PATIENCE_SECONDS)
        except TimeoutError as error:
            raise NotAllReady(
                f"{len(self.seconds)} of {count} Workspaces are Ready after "
                f"{PATIENCE_SECONDS:.0f} s; {self._one_that_waits()}"
            ) from error

    def _one_that_waits(self) -> str:
        waiting = [
            obj for obj in self._informer.list() if obj["metadata"]["name"] not in self.seconds
        ]
        if not waiting:
            return "the others were never seen"
        condition = _succeeded(waiting[0])
        return f"{waiting[0]['metadata']['name']}: {condition.get('message', 'no status yet')}"

    def _look(self, change: Change) -> None:
        name, now = change.obj["metadata"]["name"], time.monotonic()
        first_seen = self._seen.setdefault(name, now)
        if _succeeded(change.obj).get("status") == "True" and name not in self.seconds:
            self.seconds[name] = now - first_seen
            if len(self.seconds) % 50 == 0:
                print(f"bench: {len(self.seconds)} Ready", file=sys.stderr, flush=True)


def _succeeded(obj: dict[str, Any]) -> dict[str, Any]:
    conditions = (obj.get("status") or {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == "WorkspaceSucceeded"), {})
