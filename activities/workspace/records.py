"""Changing what is written on a recorded revision; what it records never changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from activities.clients.kubernetes import CONTROLLER_REVISIONS
from activities.context import ActivityContext


async def rewrite_record(
    ctx: ActivityContext,
    record: Mapping[str, Any],
    annotations: Mapping[str, str | None],
    *,
    number: int | None = None,
) -> None:
    """Set annotations of a ControllerRevision (None removes one), and its number if one is given.

    Nothing is written when all is so already. The whole object is sent, as it was sent when it was
    made: the API server compares `data` byte by byte, and refuses any patch of the object because
    a patch makes it write the JSON anew, without the blanks.

    Raises:
        ApiError: 409 when somebody else wrote it first.
    """
    metadata = dict(record["metadata"])
    present = dict(metadata.get("annotations") or {})
    wanted = {**present, **annotations}
    kept = {key: value for key, value in wanted.items() if value is not None}
    revision = int(record.get("revision") or 0) if number is None else number
    if kept == present and revision == record.get("revision"):
        return
    metadata["annotations"] = kept
    body = {**record, "metadata": metadata, "revision": revision}
    await ctx.cluster.replace(CONTROLLER_REVISIONS, body, metadata["namespace"])
