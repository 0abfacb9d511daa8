"""Many Workspaces at once on nodes that exist already."""

from __future__ import annotations

import asyncio
import time
from statistics import quantiles
from typing import Any, Final

from activities.clients.informer import Change, Informer
from activities.clients.kubernetes import NODES, WORKSPACES
from api import images
from bench.counts import histories_of, writes_of
from bench.machine import Usage, usage_of
from tests.harness.platform import NAMESPACE, Platform, workspace

NODE: Final = "big"
GPU_COUNT: Final = 20_000
FLEET_LABELS: Final = {"apps": "fleet"}
READY_SECONDS: Final = 600.0
CREATORS_COUNT: Final = 20
"""Clients that apply at once, as a pipeline of many manifests would."""


async def measure(count: int) -> list[str]:
    """Return the section's lines."""
    async with Platform.running() as platform:
        await _add_node(platform)
        watched = _Watched(platform)
        await watched.start()
        before = await writes_of(platform)
        usage_before = _usages(platform)
        started = time.monotonic()
        created_seconds = await _create(platform, count)
        await watched.until_all_ready(count)
        ready_seconds = time.monotonic() - started
        usages = {
            name: usage.since(usage_before[name]) for name, usage in _usages(platform).items()
        }
        await watched.stop()
        writes = await writes_of(platform) - before
        _, activities, events = await histories_of(platform, "workspace")
        await platform.assert_no_task_failed()
    each = sorted(watched.seconds.values())
    cuts = quantiles(each, n=100)
    return [
        f"## {count} Workspaces at once",
        "",
        "On one existing (kwok) node that has the images already; the model is a stub; one worker.",
        "",
        "| per Workspace | |",
        "|---|---|",
        f"| activities | {activities / count:.1f} |",
        f"| history events | {events / count:.1f} |",
        f"| writes to the API server | {sum(writes.values()) / count:.1f} |",
        f"| seconds from its creation to Ready, p50 / p95 | {cuts[49]:.1f} / {cuts[94]:.1f} |",
        "",
        "| all together | |",
        "|---|---|",
        f"| created | {count / created_seconds:.0f} per second |",
        f"| all Ready after | {ready_seconds:.1f} s |",
        *(
            f"| {name} | {usage.cpu_seconds:.1f} CPU seconds, {usage.peak_mebibytes:.0f} MiB peak |"
            for name, usage in usages.items()
        ),
    ]


async def _add_node(platform: Platform) -> None:
    await platform.cluster.create_kwok_node(
        NODE,
        gpu_count=GPU_COUNT,
        pod_count=GPU_COUNT,
        labels={**FLEET_LABELS, "node.kubernetes.io/instance-type": "onebox.small"},
    )
    present = {"names": [f"registry.invalid/{images.VLLM_CPU_IMAGE}"], "sizeBytes": 1}
    room = {"cpu": "10000", "memory": "100Ti"}
    status = {"images": [present], "capacity": room, "allocatable": room}
    await platform.kube.merge_patch(NODES, NODE, {"status": status}, "", "status")


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
        "kube-apiserver": platform.cluster.processes["kube-apiserver"],
        "etcd": platform.cluster.processes["etcd"],
    }
    return {name: usage_of(process.pid) for name, process in processes.items()}


class _Watched:
    """Sees by one watch when each Workspace appears and when it is Ready."""

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
        async with asyncio.timeout(READY_SECONDS):
            while len(self.seconds) < count:
                await self._informer.wait_changed(READY_SECONDS)

    def _look(self, change: Change) -> None:
        name, now = change.obj["metadata"]["name"], time.monotonic()
        first_seen = self._seen.setdefault(name, now)
        if _phase(change.obj) == "Ready":
            self.seconds.setdefault(name, now - first_seen)


def _phase(obj: dict[str, Any]) -> str:
    return str((obj.get("status") or {}).get("phase", ""))
