"""The step `traffic`: the Service selects the revision, in one write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from activities.clients.kubernetes import HTTP_CONFLICT, SERVICES, ApiError
from activities.context import ActivityContext
from activities.errors import implements
from activities.workspace.owning import require_ours
from activities.workspace.reading import read_revision, sizing_of_workload
from api import contracts, names
from api import payloads as p
from api.errors import Conflict
from planner.render import render_service


class Traffic:
    """Owns the Service of a Workspace."""

    def __init__(self, ctx: ActivityContext) -> None:
        """Take what all activities share."""
        self._ctx = ctx

    @implements(contracts.ensure_traffic)
    async def ensure_traffic(self, payload: p.RevisionInput) -> p.EnsureTrafficResult:
        """See the contract."""
        revision = await read_revision(self._ctx, payload)
        workspace = revision.workspace
        workload = names.workload_name(workspace.name, payload.revision)
        sizing = await sizing_of_workload(self._ctx, revision, workload)
        body = render_service(workspace, payload.revision, sizing)
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
        require_ours(SERVICES, existing, workspace.uid)
        previous = (existing["spec"].get("selector") or {}).get(names.LABEL_REVISION, "")
        changed = _differences(existing["spec"], body["spec"])
        if changed:
            await self._ctx.cluster.merge_patch(
                SERVICES,
                name,
                {
                    "metadata": {
                        "resourceVersion": existing["metadata"]["resourceVersion"],
                        "labels": body["metadata"]["labels"],
                    },
                    "spec": changed,
                },
                namespace,
            )
        return p.EnsureTrafficResult(
            service_name=name,
            previous_revision=previous,
            moved=previous != payload.revision,
        )


def _differences(existing: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch that makes the Service's spec what is wanted; empty when it is."""
    changed: dict[str, Any] = {}
    if existing.get("type", "ClusterIP") != wanted["type"]:
        changed["type"] = wanted["type"]
    selector = existing.get("selector") or {}
    if selector != wanted["selector"]:
        # A merge patch keeps keys that it does not name; null removes them.
        gone = dict.fromkeys(key for key in selector if key not in wanted["selector"])
        changed["selector"] = {**gone, **wanted["selector"]}
    if [_port(one) for one in existing.get("ports") or []] != [
        _port(one) for one in wanted["ports"]
    ]:
        changed["ports"] = wanted["ports"]
    return changed


def _port(port: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what of a port is ours to say; a cloud's load balancer adds the port of the node."""
    return (
        port.get("name"),
        port.get("port"),
        port.get("targetPort"),
        port.get("protocol", "TCP"),
    )
