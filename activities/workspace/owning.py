"""Making objects of a Workspace, and never taking over one that is somebody else's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from activities.clients.kubernetes import HTTP_CONFLICT, ApiError, Kind
from activities.context import ActivityContext
from api import names
from api.errors import Conflict, InvalidWorkspace


async def ensure_exists(ctx: ActivityContext, kind: Kind, body: Mapping[str, Any]) -> bool:
    """Create an object that carries its Workspace's uid; False when it is there already.

    Raises:
        Conflict: an earlier Workspace of this name left one, which is about to go.
        InvalidWorkspace: somebody else's object has the name.
    """
    metadata = body["metadata"]
    try:
        await ctx.cluster.create(kind, body, metadata["namespace"])
    except ApiError as error:
        if error.status != HTTP_CONFLICT:
            raise
        existing = await ctx.cluster.find(kind, metadata["name"], metadata["namespace"])
        if existing is None:
            raise Conflict(f"{kind.kind} {metadata['name']} went this very moment") from error
        require_ours(kind, existing, metadata["labels"][names.LABEL_WORKSPACE_UID])
        return False
    return True


def require_ours(kind: Kind, obj: Mapping[str, Any], uid: str) -> None:
    """See that an object was made for the Workspace with this uid.

    Raises:
        Conflict: it was made for an earlier Workspace of the name.
        InvalidWorkspace: it is not the platform's at all.
    """
    labels = obj["metadata"].get("labels") or {}
    owner = labels.get(names.LABEL_WORKSPACE_UID)
    if owner == uid:
        return
    name = obj["metadata"]["name"]
    if owner is not None and labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY:
        raise Conflict(f"{kind.kind} {name} of an earlier Workspace is still being removed")
    raise InvalidWorkspace(
        f"{kind.kind} {name} exists and is not the platform's, so the model can't be served under "
        f"that name; remove the {kind.kind} or give the Workspace another name",
        field="metadata.name",
    )
