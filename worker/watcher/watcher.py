"""The watcher: while it leads, every meaningful change becomes a hint."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, Final

from activities.clients.informer import Change, Informer
from activities.clients.kubernetes import CONFIG_MAPS, WORKSPACES, Kind
from planner.hints import Hint, config_map_hints, owned_hints, workspace_hints
from worker.metrics import Metrics
from worker.watcher.election import Elector
from worker.watcher.hint_queue import Parcel
from worker.watcher.sender import Sender

_logger = logging.getLogger(__name__)

RESYNC_SECONDS: Final = 300.0
"""5 min for one round over all objects, spread evenly: a workflow that is gone although its object
exists (Temporal's database was lost, an operator terminated it) is back within that time. It costs
one call per object and wakes nobody; workflows have a resync of their own."""

RESYNC_JITTER: Final = 0.2
"""± 20 %, so that rounds of several installations drift apart."""


class Watcher:
    """Joins informers, planner, queue and leader election; holds no judgement."""

    def __init__(
        self,
        informers: Sequence[Informer],
        elector: Elector,
        sender: Sender,
        metrics: Metrics,
        *,
        resync_seconds: float = RESYNC_SECONDS,
    ) -> None:
        """Describe it; `run` begins. The informers are started and stopped by their owner."""
        self._informers = informers
        self._elector = elector
        self._sender = sender
        self._metrics = metrics
        self._resync_seconds = resync_seconds

    async def run(self) -> None:
        """Compete for the lead, and lead, until cancelled."""
        await self._elector.run(self._lead)

    async def _lead(self) -> None:
        self._metrics.is_leader.set(1)
        try:
            with ExitStack() as subscriptions:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._sender.run())
                    tasks.create_task(self._resync())
                    for informer in self._informers:
                        # Tells every known object first: whatever changed while another process
                        # led, or nobody did, is looked at once.
                        subscriptions.callback(informer.subscribe(self._follow(informer.kind)))
        finally:
            self._metrics.is_leader.set(0)

    def _follow(self, kind: Kind) -> Callable[[Change], None]:
        def on_change(change: Change) -> None:
            try:
                for hint in self._hints(kind, change.type, change.obj, change.previous):
                    self._sender.put(Parcel(hint))
            except Exception:
                # An odd object must not end the watch of all others; the resync looks again.
                metadata = change.obj.get("metadata", {})
                _logger.exception(
                    "no hint for %s %s/%s",
                    kind.kind,
                    metadata.get("namespace", ""),
                    metadata.get("name", ""),
                )

        return on_change

    async def _resync(self) -> None:
        """See to it, round after round, that each object's workflow exists."""
        while True:
            parcels = list(self._owners())
            random.shuffle(parcels)
            jitter = random.uniform(1 - RESYNC_JITTER, 1 + RESYNC_JITTER)  # noqa: S311
            pause_seconds = self._resync_seconds * jitter / (len(parcels) + 1)
            await asyncio.sleep(pause_seconds)
            for parcel in parcels:
                self._sender.put(parcel)
                await asyncio.sleep(pause_seconds)

    def _owners(self) -> Iterable[Parcel]:
        for informer in self._informers:
            for obj in informer.list():
                for hint in self._hints(informer.kind, "ADDED", obj, None):
                    if hint.can_start:
                        yield Parcel(hint, wakes=False)

    def _hints(
        self, kind: Kind, event: str, obj: dict[str, Any], previous: dict[str, Any] | None
    ) -> tuple[Hint, ...]:
        if kind == WORKSPACES:
            return workspace_hints(event, obj, previous)
        if kind == CONFIG_MAPS:
            return config_map_hints(event, obj, self._workspaces(obj["metadata"]["namespace"]))
        return owned_hints(kind.kind, event, obj, previous)

    def _workspaces(self, namespace: str) -> list[dict[str, Any]]:
        return [
            workspace
            for informer in self._informers
            if informer.kind == WORKSPACES
            for workspace in informer.list(namespace)
        ]
