"""Everything that the API server tells of Workspaces, Services and pods, in the order of etcd."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from activities.clients.informer import Change, Informer
from activities.clients.kubernetes import PODS, SERVICES, WORKSPACES, KubernetesClient
from api import names

KINDS: Final = (WORKSPACES, SERVICES, PODS)


@dataclass(frozen=True)
class Sight:
    """One change, with what the judges need of it."""

    version: int
    """etcd's revision, which orders changes of all kinds."""
    kind: str
    name: str
    uid: str
    """Of the Workspace that it belongs to."""
    is_gone: bool
    revision: str = ""
    """That a pod is of, or that a Service selects."""
    is_ready: bool = False
    """A pod that gets requests, if a Service selects it."""
    is_deleting: bool = False
    strategy: str = ""
    seen_at: float = 0.0
    """When we heard of it, by the monotonic clock."""


@dataclass
class Recorder:
    """Watches past all storms, and forgets on demand."""

    kube: KubernetesClient
    sights: list[Sight] = field(default_factory=list)
    _informers: list[Informer] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        for kind in KINDS:
            informer = Informer(self.kube, kind)
            informer.subscribe(self._note)
            informer.start()
            await informer.wait_synced(30)
            self._informers.append(informer)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for informer in self._informers:
            await informer.stop()

    def of(self, uid: str) -> Iterator[Sight]:
        """Yield what happened to one Workspace, in order."""
        yield from sorted((one for one in self.sights if one.uid == uid), key=lambda s: s.version)

    def forget(self) -> None:
        """Begin anew."""
        self.sights.clear()

    def _note(self, change: Change) -> None:
        if sight := _sight(change.obj, is_gone=change.type == "DELETED"):
            self.sights.append(sight)


def answers(sights: Iterable[Sight]) -> Iterator[tuple[Sight, str, bool]]:
    """Yield each change, what the Service selects after it, and whether a pod of that is ready.

    From the first moment at which the Service leads to a ready pod, up to the deletion.
    """
    selected, ready, served = "", set[tuple[str, str]](), False
    for sight in sights:
        match sight.kind:
            case "Workspace" if sight.is_deleting or sight.is_gone:
                return
            case "Service":
                selected = "" if sight.is_gone else sight.revision
            case "Pod":
                ready.discard((sight.name, sight.revision))
                if sight.is_ready:
                    ready.add((sight.name, sight.revision))
        leads = any(revision == selected for _, revision in ready)
        served |= leads
        if served:
            yield sight, selected, leads


def seconds_unanswered(sights: Iterable[Sight]) -> float:
    """Return for how long the Service led to no ready pod, in all."""
    total, since = 0.0, None
    for sight, _, leads in answers(sights):
        if leads and since is not None:
            total, since = total + sight.seen_at - since, None
        elif not leads and since is None:
            since = sight.seen_at
    return total


def _sight(obj: dict[str, Any], *, is_gone: bool) -> Sight | None:
    metadata, kind = obj["metadata"], obj["kind"]
    labels = metadata.get("labels") or {}
    common: dict[str, Any] = {
        "version": int(metadata["resourceVersion"]),
        "kind": kind,
        "name": metadata["name"],
        "is_gone": is_gone,
        "is_deleting": bool(metadata.get("deletionTimestamp")),
        "seen_at": time.monotonic(),
    }
    if kind == WORKSPACES.kind:
        strategy = ((obj.get("rollout") or {}).get("strategy")) or "InPlace"
        return Sight(uid=metadata["uid"], strategy=strategy, **common)
    uid = labels.get(names.LABEL_WORKSPACE_UID, "")
    if not uid:
        return None
    if kind == SERVICES.kind:
        selector = obj["spec"].get("selector") or {}
        if names.LABEL_REVISION not in selector:
            return None
        return Sight(uid=uid, revision=selector[names.LABEL_REVISION], **common)
    if labels.get(names.LABEL_ROLE) != names.ROLE_INFERENCE:
        return None
    conditions = (obj.get("status") or {}).get("conditions") or []
    is_ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    is_ready = is_ready and not common["is_deleting"] and not is_gone
    return Sight(uid=uid, revision=labels[names.LABEL_REVISION], is_ready=is_ready, **common)
