"""Planning and adoption: what must be done, and the marks that come before the first resource."""

from __future__ import annotations

from typing import Any

from activities.clients.kubernetes import (
    CONTROLLER_REVISIONS,
    HTTP_CONFLICT,
    WORKSPACES,
    ApiError,
)
from activities.context import ActivityContext
from activities.errors import implements
from activities.workspace.reading import (
    list_revisions,
    observe_world,
    preset_of,
    read_config,
    spec_of,
)
from api import contracts, names
from api import payloads as p
from api.errors import Conflict, InvalidWorkspace
from api.workspace import Workspace
from planner.plan import plan
from planner.render import render_controller_revision
from planner.revision import revision_hash


class Planning:
    """Reads the Workspace and its world; writes the finalizer and the revision."""

    def __init__(self, ctx: ActivityContext) -> None:
        """Take what all activities share."""
        self._ctx = ctx

    @implements(contracts.plan_workspace)
    async def plan_workspace(self, payload: p.PlanInput) -> p.WorkspacePlan:
        """See the contract."""
        ref = payload.workspace
        # By name only: an object of another uid under this name is what the workflow must learn of.
        obj = await self._ctx.cluster.find(WORKSPACES, ref.name, ref.namespace)
        if obj is None:
            return p.WorkspacePlan()
        try:
            workspace = Workspace.from_object(obj)
        except InvalidWorkspace as error:
            return _unreadable(obj, error)
        world = await observe_world(self._ctx, workspace)
        preset = preset_of(self._ctx, workspace)
        return plan(workspace, world, preset, self._ctx.settings.platform, self._ctx.catalogue)

    @implements(contracts.adopt_workspace)
    async def adopt_workspace(self, payload: p.AdoptInput) -> p.AdoptResult:
        """See the contract."""
        ref = payload.workspace
        obj = await self._ctx.cluster.find(WORKSPACES, ref.name, ref.namespace)
        if obj is None:
            return p.AdoptResult(superseded=True)
        metadata = obj["metadata"]
        if (
            metadata["uid"] != ref.uid
            or metadata["generation"] != payload.generation
            or metadata.get("deletionTimestamp")
        ):
            return p.AdoptResult(superseded=True)
        workspace = Workspace.from_object(obj)
        if await self._revision_now(workspace) != payload.revision:
            return p.AdoptResult(superseded=True)
        await self._add_finalizer(obj)
        number = await self._record_revision(workspace, payload.revision)
        return p.AdoptResult(revision_number=number)

    async def _revision_now(self, workspace: Workspace) -> str:
        # A ConfigMap is part of a revision and has no generation of the Workspace's to tell.
        config_text, _ = await read_config(self._ctx, workspace)
        preset = preset_of(self._ctx, workspace)
        return revision_hash(workspace, preset, config_text, self._ctx.settings.platform)

    async def _add_finalizer(self, obj: dict[str, Any]) -> None:
        metadata = obj["metadata"]
        finalizers = metadata.get("finalizers") or []
        if names.FINALIZER_WORKSPACE in finalizers:
            return
        # The resource version guards finalizers that somebody else adds at the same time.
        await self._ctx.cluster.merge_patch(
            WORKSPACES,
            metadata["name"],
            {
                "metadata": {
                    "resourceVersion": metadata["resourceVersion"],
                    "finalizers": [*finalizers, names.FINALIZER_WORKSPACE],
                }
            },
            metadata["namespace"],
        )

    async def _record_revision(self, workspace: Workspace, revision: str) -> int:
        ref = p.WorkspaceRef(namespace=workspace.namespace, name=workspace.name, uid=workspace.uid)
        recorded = await list_revisions(self._ctx, ref)
        name = names.workload_name(ref.name, revision)
        for item in recorded:
            if item["metadata"]["name"] == name:
                return int(item["revision"])
        number = 1 + max((int(item["revision"]) for item in recorded), default=0)
        body = render_controller_revision(workspace, revision, number)
        try:
            await self._ctx.cluster.create(CONTROLLER_REVISIONS, body, ref.namespace)
        except ApiError as error:
            if error.status != HTTP_CONFLICT:
                raise
            # Of the same name and not ours: left by an object that had this name before. The
            # garbage collector takes it; until then the activity tries again.
            await self._ctx.cluster.delete(CONTROLLER_REVISIONS, name, ref.namespace)
            raise Conflict(
                f"ControllerRevision {name} of an earlier Workspace is in the way"
            ) from error
        # Every step of the operation renders from it next, most likely in this process.
        self._ctx.revisions.put((workspace.uid, revision), spec_of(body))
        return number


def _unreadable(obj: dict[str, Any], error: InvalidWorkspace) -> p.WorkspacePlan:
    metadata = obj["metadata"]
    is_deleting = bool(metadata.get("deletionTimestamp"))
    return p.WorkspacePlan(
        found=True,
        uid=metadata["uid"],
        generation=metadata["generation"],
        deleting=is_deleting,
        released=is_deleting
        and names.FINALIZER_WORKSPACE not in (metadata.get("finalizers") or []),
        problem=None if is_deleting else p.Problem(reason=error.reason(), message=str(error)),
    )
