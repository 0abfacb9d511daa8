"""Rollback by order: the spec becomes what it was when a revision was recorded.

The cluster stays the source of truth: after this write a rollback is an edit like any other, and
whoever compares the cluster with a repository sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from activities.clients.kubernetes import CONFIG_MAPS, CONTROLLER_REVISIONS, WORKSPACES
from activities.context import ActivityContext
from activities.errors import implements
from activities.workspace.owning import ensure_exists
from activities.workspace.reading import REVISION_FIELDS, as_recorded, find_workspace_object
from activities.workspace.references import read_config
from api import contracts, names
from api import payloads as p
from api.errors import InvalidWorkspace, MissingReference
from api.workspace import Workspace
from planner.render.config_map import render_restored_config


class Restoring:
    """Writes recorded specs back."""

    def __init__(self, ctx: ActivityContext) -> None:
        """Take what all activities share."""
        self._ctx = ctx

    @implements(contracts.restore_spec)
    async def restore_spec(self, payload: p.RestoreSpecInput) -> p.RestoreSpecResult:
        """See the contract."""
        obj = await find_workspace_object(self._ctx, payload.workspace)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return p.RestoreSpecResult(superseded=True)
        data = await self._recorded(payload)
        wanted = restored(obj, data)
        generation = int(obj["metadata"]["generation"])
        is_about_this = payload.generation in {0, generation}
        config_text: str | None = data.get("config")
        if config_text is not None and not await self._is_config(wanted, config_text):
            name = names.restored_config_name(payload.workspace.name, payload.revision)
            wanted["inference"] = {**wanted["inference"], "config": name}
            if is_about_this:
                workspace = Workspace.from_object(wanted)
                await self._ensure_config(workspace, payload.revision, config_text)
        if wanted == _in_short(obj):
            # An earlier attempt whose answer was lost may have written it.
            return p.RestoreSpecResult(generation=generation)
        if not is_about_this:
            return p.RestoreSpecResult(generation=generation, superseded=True)
        # Whole, so that fields vanish that the revision lacks. The resource version in it guards
        # what others write at the same time; then the activity tries again.
        namespace = payload.workspace.namespace
        written = await self._ctx.cluster.replace(WORKSPACES, wanted, namespace)
        return p.RestoreSpecResult(generation=int(written["metadata"]["generation"]), changed=True)

    async def _recorded(self, payload: p.RestoreSpecInput) -> Mapping[str, Any]:
        ref = payload.workspace
        name = names.workload_name(ref.name, payload.revision)
        record = await self._ctx.cluster.find(CONTROLLER_REVISIONS, name, ref.namespace)
        labels = record["metadata"].get("labels") or {} if record is not None else {}
        if record is None or labels.get(names.LABEL_WORKSPACE_UID) != ref.uid:
            raise MissingReference(
                f"no revision {payload.revision} of {ref.namespace}/{ref.name} is recorded; choose "
                f"one of kubectl get controllerrevisions -n {ref.namespace} -l "
                f"{names.LABEL_WORKSPACE}={ref.name}"
            )
        data: Mapping[str, Any] = record["data"]
        return data

    async def _is_config(self, wanted: Mapping[str, Any], config_text: str) -> bool:
        """Whether the ConfigMap that the recorded spec names holds today what it held then."""
        return (await read_config(self._ctx, Workspace.from_object(wanted)))[0] == config_text

    async def _ensure_config(self, workspace: Workspace, revision: str, config_text: str) -> None:
        body = render_restored_config(workspace, revision, config_text)
        name = body["metadata"]["name"]
        if await ensure_exists(self._ctx, CONFIG_MAPS, body):
            return
        existing = await self._ctx.cluster.get(CONFIG_MAPS, name, workspace.namespace)
        if existing.get("data") != body["data"]:
            # Somebody made it anew with other settings; the name promises these.
            uid = existing["metadata"]["uid"]
            await self._ctx.cluster.delete(CONFIG_MAPS, name, workspace.namespace, uid=uid)
            await self._ctx.cluster.create(CONFIG_MAPS, body, workspace.namespace)


def restored(obj: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object as it is to be written: as recorded, without what is left out anyway."""
    whole = as_recorded(obj, data)
    metadata = {key: value for key, value in whole["metadata"].items() if key != "annotations"}
    if annotations := whole["metadata"]["annotations"]:
        metadata["annotations"] = annotations
    kept = {key: value for key, value in whole.items() if key not in REVISION_FIELDS}
    return {**kept, **_minimal(whole), "metadata": metadata}


def _in_short(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object as it is, its spec without defaults; one that can't be read stays whole."""
    try:
        return {**obj, **_minimal(obj)}
    except InvalidWorkspace:
        return obj


def _minimal(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec without fields that are as they would be if left out.

    A record writes defaults out; people did not, and they read what is written back.
    """
    return Workspace.from_object(obj).model_dump(
        mode="json", by_alias=True, exclude_defaults=True, include=set(REVISION_FIELDS)
    )
