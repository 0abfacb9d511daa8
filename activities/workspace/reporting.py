"""Reporting: the one writer of a Workspace's status and Events, and only of what differs."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, Final

from activities.clients.kubernetes import EVENTS, HTTP_CONFLICT, WORKSPACES, ApiError
from activities.context import ActivityContext
from activities.errors import implements
from activities.workspace.reading import find_workspace_object
from api import contracts, names
from api import payloads as p
from api.errors import trim
from planner.status import render_status

_HTTP_NOT_FOUND: Final = 404


class Reporting:
    """Writes what people read with kubectl."""

    def __init__(self, ctx: ActivityContext) -> None:
        """Take what all activities share."""
        self._ctx = ctx

    @implements(contracts.report_status)
    async def report_status(self, payload: p.ReportInput) -> p.ReportResult:
        """See the contract."""
        obj = await find_workspace_object(self._ctx, payload.workspace)
        if obj is None:
            return p.ReportResult()
        now = datetime.now(tz=UTC)
        current = obj.get("status") or {}
        status = render_status(payload, current, now)
        written = False
        if status is not None:
            # A merge patch keeps what it does not name; null removes it.
            removed = dict.fromkeys(key for key in current if key not in status)
            written = await self._patch(obj, {**removed, **status})
        for note in payload.events:
            written = await self._ensure_event(obj, note, now) or written
        return p.ReportResult(written=written)

    async def _patch(self, obj: dict[str, Any], status: dict[str, Any]) -> bool:
        metadata = obj["metadata"]
        try:
            await self._ctx.cluster.merge_patch(
                WORKSPACES,
                metadata["name"],
                # The uid guards against an object that was deleted and made anew meanwhile.
                {"metadata": {"uid": metadata["uid"]}, "status": status},
                metadata["namespace"],
                "status",
            )
        except ApiError as error:
            if error.status != _HTTP_NOT_FOUND:
                raise
            return False
        return True

    async def _ensure_event(self, obj: dict[str, Any], note: p.EventNote, now: datetime) -> bool:
        metadata = obj["metadata"]
        seed = f"{metadata['uid']}/{note.key or note.reason + note.message}"
        suffix = hashlib.sha256(seed.encode()).hexdigest()[:10]
        timestamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        event = {
            "metadata": {
                "name": f"{metadata['name']}.{suffix}",
                "namespace": metadata["namespace"],
                "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
            },
            "involvedObject": {
                "apiVersion": WORKSPACES.api_version,
                "kind": WORKSPACES.kind,
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "type": note.kind.value,
            "reason": note.reason,
            "message": trim(note.message),
            "source": {"component": names.MANAGED_BY},
            "reportingComponent": names.MANAGED_BY,
            "reportingInstance": names.MANAGED_BY,
            "firstTimestamp": timestamp,
            "lastTimestamp": timestamp,
            "count": 1,
        }
        try:
            await self._ctx.cluster.create(EVENTS, event, metadata["namespace"])
        except ApiError as error:
            # Written by an earlier attempt; or the namespace is going, which takes no Events.
            if error.status in (HTTP_CONFLICT, 403, _HTTP_NOT_FOUND):
                return False
            raise
        return True
