"""A shared informer: one list and one watch per kind, however many wait for a change.

    list ──► store ──► watch from the list's version ──► store, subscribers
      ▲                       │
      └── 410, silence, error ┘   (a watch that only ends goes on from the last version)

A thousand waiting activities cost one watch: they read the store and are woken by changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from activities.clients.kubernetes import ApiError, Kind, KubernetesClient
from api.errors import PlatformError

_logger = logging.getLogger(__name__)

WATCH_SECONDS: Final = 120
"""2 min per watch, then it is asked for again from where it ended. A quiet kind may say nothing for
all of that time, so this also bounds how long a dead connection goes unnoticed."""

FIRST_BACKOFF_SECONDS: Final = 0.2
MAX_BACKOFF_SECONDS: Final = 5.0
"""Between attempts while the API server is away: 0.2 s doubling to 5 s (a guess: a restart of
an API server takes seconds, and each worker process asks once per kind)."""

_HTTP_GONE: Final = 410

ANY: Final = "*"
"""Stands for every value of the index label; no label value can be a bare asterisk."""


@dataclass(frozen=True)
class Change:
    """One change of the store; `previous` is what was known before."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    obj: dict[str, Any]
    previous: dict[str, Any] | None = None


Subscriber = Callable[[Change], None]
_Key = tuple[str, str]


class Informer:
    """The newest known state of all objects of a kind."""

    def __init__(
        self,
        cluster: KubernetesClient,
        kind: Kind,
        *,
        namespace: str = "",
        labels: Mapping[str, str] | None = None,
        index_label: str = "",
        metadata_only: bool = False,
    ) -> None:
        """Describe what to follow; `start` begins.

        Objects are also kept by the value of `index_label`, so that one Workspace's waiters look
        at, and are woken by, that Workspace's objects only. With `metadata_only` the server sends
        nothing else of them: enough to learn that one changed.
        """
        self.kind = kind
        self.index_label = index_label
        self.relists_count = 0
        self._cluster = cluster
        self._namespace = namespace
        self._labels = dict(labels or {})
        self._metadata_only = metadata_only
        self._store: dict[_Key, dict[str, Any]] = {}
        self._subscribers: list[Subscriber] = []
        self._synced = asyncio.Event()
        self._index: dict[str, dict[_Key, dict[str, Any]]] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self._task: asyncio.Task[None] | None = None
        self._last_contact_seconds = time.monotonic()

    # --- life -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow, in a task of its own."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"informer {self.kind.plural}")
            self._task.add_done_callback(self._say_how_it_ended)

    async def stop(self) -> None:
        """End the task; the store keeps what it knew."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def _say_how_it_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            # A bug: nobody follows this kind any more, and readiness turns false for its silence.
            _logger.critical("the %s stopped", task.get_name(), exc_info=task.exception())

    @property
    def is_synced(self) -> bool:
        """Whether a first list has arrived."""
        return self._synced.is_set()

    async def wait_synced(self, timeout_seconds: float) -> None:
        """Wait for the first list.

        Raises:
            TimeoutError: it did not arrive in time.
        """
        async with asyncio.timeout(timeout_seconds):
            await self._synced.wait()

    def seconds_since_contact(self) -> float:
        """Return how long ago the API server last answered a list or held a watch open."""
        return time.monotonic() - self._last_contact_seconds

    # --- reads ------------------------------------------------------------------------------

    def get(self, name: str, namespace: str = "") -> dict[str, Any] | None:
        """Return the newest known object of that name."""
        return self._store.get((namespace, name))

    def list(
        self, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Return known objects of a namespace (of all when empty) that carry `labels`."""
        candidates: Mapping[_Key, dict[str, Any]] = self._store
        if labels and self.index_label in labels:
            candidates = self._index.get(labels[self.index_label], {})
        return [
            obj
            for (place, _), obj in candidates.items()
            if (not namespace or place == namespace) and _carries(obj, labels)
        ]

    async def wait_changed(self, timeout_seconds: float, *, index_value: str = ANY) -> None:
        """Return at the next change, or after the timeout.

        With `index_value`, only changes of objects that carry that value of the index label count.
        """
        changed = self._changed.setdefault(index_value, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await changed.wait()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` for every known object as ADDED, then for each change.

        The subscriber must be quick and must not raise. Returns the way to unsubscribe.
        """
        self._subscribers.append(subscriber)
        for obj in list(self._store.values()):
            subscriber(Change("ADDED", obj))
        return lambda: self._subscribers.remove(subscriber)

    # --- list and watch ---------------------------------------------------------------------

    async def _run(self) -> None:
        backoff_seconds = FIRST_BACKOFF_SECONDS
        version = ""
        while True:
            try:
                if not version:
                    version = await self._relist()
                    backoff_seconds = FIRST_BACKOFF_SECONDS
                version = await self._watch(version)
            except ApiError as error:
                version = ""
                if error.status != _HTTP_GONE:
                    _logger.warning("watch of %s refused: %s", self.kind.plural, error)
                    backoff_seconds = await _sleep_and_grow(backoff_seconds)
            except PlatformError as error:
                # What happened while nobody listened is known only after a new list.
                version = ""
                _logger.info("%s", error)
                backoff_seconds = await _sleep_and_grow(backoff_seconds)

    async def _relist(self) -> str:
        items, version = await self._cluster.list_page(
            self.kind, self._namespace, self._labels, metadata_only=self._metadata_only
        )
        self._last_contact_seconds = time.monotonic()
        self.relists_count += 1
        listed = {_key(item): item for item in items}
        for key in [key for key in self._store if key not in listed]:
            self._remove(key, self._store[key])
        for key, item in listed.items():
            self._put(key, item)
        self._synced.set()
        return version

    async def _watch(self, version: str) -> str:
        events = self._cluster.watch(
            self.kind,
            version,
            self._namespace,
            labels=self._labels,
            metadata_only=self._metadata_only,
            timeout_seconds=WATCH_SECONDS,
        )
        async with contextlib.aclosing(events):
            async for kind_of_event, obj in events:
                self._last_contact_seconds = time.monotonic()
                version = obj["metadata"]["resourceVersion"]
                if kind_of_event in ("ADDED", "MODIFIED"):
                    self._put(_key(obj), obj)
                elif kind_of_event == "DELETED":
                    self._remove(_key(obj), obj)
        self._last_contact_seconds = time.monotonic()
        return version

    def _put(self, key: _Key, obj: dict[str, Any]) -> None:
        previous = self._store.get(key)
        if previous is not None and _version(previous) == _version(obj):
            return
        # Nobody reads who wrote which field, and it is a third of an object's size.
        obj["metadata"].pop("managedFields", None)
        if previous is not None and self._index_value(previous) != self._index_value(obj):
            self._index[self._index_value(previous)].pop(key, None)
        self._store[key] = obj
        self._index.setdefault(self._index_value(obj), {})[key] = obj
        self._tell(Change("ADDED" if previous is None else "MODIFIED", obj, previous))

    def _remove(self, key: _Key, obj: dict[str, Any]) -> None:
        previous = self._store.pop(key, None)
        if previous is not None:
            bucket = self._index.get(self._index_value(previous), {})
            bucket.pop(key, None)
            if not bucket:
                self._index.pop(self._index_value(previous), None)
        self._tell(Change("DELETED", obj, previous))

    def _tell(self, change: Change) -> None:
        for subscriber in list(self._subscribers):
            subscriber(change)
        # Waiters hold the old event, so setting it wakes exactly those who waited before this.
        for value in {ANY, self._index_value(change.obj)}:
            event = self._changed.pop(value, None)
            if event is not None:
                event.set()

    def _index_value(self, obj: Mapping[str, Any]) -> str:
        return str((obj["metadata"].get("labels") or {}).get(self.index_label, ""))


async def _sleep_and_grow(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return min(seconds * 2, MAX_BACKOFF_SECONDS)


def _key(obj: Mapping[str, Any]) -> _Key:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _version(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"].get("resourceVersion", ""))


def _carries(obj: Mapping[str, Any], labels: Mapping[str, str] | None) -> bool:
    if not labels:
        return True
    own = obj["metadata"].get("labels") or {}
    return all(own.get(key) == value for key, value in labels.items())
