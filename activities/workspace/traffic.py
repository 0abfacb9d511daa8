"""The step `traffic`: the Service selects the revision, in one write."""

from __future__ import annotations

from typing import Any

from activities.clients.kubernetes import HTTP_CONFLICT, SERVICES, ApiError
from activities.context import ActivityContext
from activities.errors import implements
from activities.workspace.reading import read_revision
from api import contracts, names
from api import payloads as p
from api.errors import Conflict, InvalidWorkspace
from planner.render import render_service


class Traffic:
    """Owns the Service of a Workspace."""

    def __init__(self, ctx: ActivityContext) -> None:
        """Take what all activities share."""
        self._ctx = ctx

    @implements(contracts.ensure_traffic)
    async def ensure_traffic(self, payload: p.RevisionInput) -> p.EnsureTrafficResult:
        """See the contract."""
        workspace = await read_revision(self._ctx, payload)
        body = render_service(workspace, payload.revision)
        name, namespace = body["metadata"]["name"], workspace.namespace
        existing = await self._ctx.cluster.find(SERVICES, name, namespace)
        if existing is None:
            try:
                await self._ctx.cluster.create(SERVICES, body, namespace)
            except ApiError as error:
                if error.status != HTTP_CONFLICT:
                    raise
                raise Conflict(f"Service {name} appeared meanwhile") from error
            return p.EnsureTrafficResult(service_name=name, moved=True)
        _require_ours(existing, workspace.uid)
        previous = (existing["spec"].get("selector") or {}).get(names.LABEL_REVISION, "")
        if previous == payload.revision:
            return p.EnsureTrafficResult(service_name=name, previous_revision=previous)
        await self._ctx.cluster.merge_patch(
            SERVICES,
            name,
            {
                "metadata": {
                    "resourceVersion": existing["metadata"]["resourceVersion"],
                    "labels": body["metadata"]["labels"],
                },
                "spec": {"selector": body["spec"]["selector"]},
            },
            namespace,
        )
        return p.EnsureTrafficResult(service_name=name, previous_revision=previous, moved=True)


def _require_ours(service: dict[str, Any], uid: str) -> None:
    labels = service["metadata"].get("labels") or {}
    owner = labels.get(names.LABEL_WORKSPACE_UID)
    if owner == uid:
        return
    name = service["metadata"]["name"]
    if owner is not None and labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY:
        raise Conflict(f"Service {name} of an earlier Workspace is still being removed")
    raise InvalidWorkspace(
        f"Service {name} exists and is not the platform's, so the model can't be served under "
        "that name; remove the Service or give the Workspace another name",
        field="metadata.name",
    )
