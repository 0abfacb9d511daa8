"""Planning and adoption: what must be done, and the marks that come before the first resource."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from activities.clients.kubernetes import (
    CONTROLLER_REVISIONS,
    HTTP_CONFLICT,
    WORKSPACES,
    ApiError,
)
from activities.context import ActivityContext
from activities.errors import implements
from activities.workspace.models import find_model
from activities.workspace.reading import list_revisions, observe_world, revision_of
from activities.workspace.references import read_config
from activities.workspace.sightings import Sightings
from api import contracts, names
from api import payloads as p
from api.errors import BY_REASON, Conflict, HubUnavailable, InvalidWorkspace, UnknownPreset
from api.workspace import Workspace
from planner.losses import gone_claims, recent_claims
from planner.plan import plan
from planner.render import render_controller_revision
from planner.revision import revision_hash


class Planning:
    """Reads the Workspace and its world; writes the finalizer and the revision."""

    def __init__(self, ctx: ActivityContext) -> None:
        """Take what all activities share."""
        self._ctx = ctx
        self._sightings = Sightings()

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
        records = await list_revisions(self._ctx, workspace.ref())
        model = await find_model(self._ctx, workspace, records)
        seen = await observe_world(self._ctx, workspace, model, records)
        now = datetime.now(tz=UTC)
        recent = recent_claims(seen.claims, payload.recent_claims, now)
        world = self._sightings.remember(
            replace(
                seen,
                workspace_uid=workspace.uid,
                now=now,
                gone_claims=gone_claims(seen.claims, recent),
            )
        )
        decision = plan(
            workspace,
            world,
            model.preset,
            self._ctx.settings.platform,
            self._ctx.catalogue,
            failed_offers=payload.failed_offers,
        )
        if model.problem is not None:
            decision = _without_model(decision, model.problem)
        return decision.model_copy(update={"recent_claims": recent})

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
        records = await list_revisions(self._ctx, workspace.ref())
        model = await find_model(self._ctx, workspace, records)
        if model.problem is not None:
            # It could be looked up for the plan a moment ago: this passes, or the next plan tells.
            raise BY_REASON.get(model.problem.reason, HubUnavailable)(model.problem.message)
        # A ConfigMap is part of a revision and has no generation of the Workspace's to tell.
        config_text, _ = await read_config(self._ctx, workspace)
        now = revision_hash(workspace, model.preset, config_text, self._ctx.settings.platform)
        if now != payload.revision:
            return p.AdoptResult(superseded=True)
        await self._add_finalizer(obj)
        known = next((one for one in records if revision_of(one) == payload.revision), None)
        if known is not None:
            return p.AdoptResult(revision_number=int(known["revision"]))
        number = 1 + max((int(one["revision"]) for one in records), default=0)
        body = render_controller_revision(
            workspace,
            payload.revision,
            number,
            config_text=config_text,
            hub_preset=model.to_record,
        )
        await self._record(workspace, payload.revision, body)
        return p.AdoptResult(revision_number=number)

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

    async def _record(self, workspace: Workspace, revision: str, body: dict[str, Any]) -> None:
        name, namespace = body["metadata"]["name"], workspace.namespace
        try:
            await self._ctx.cluster.create(CONTROLLER_REVISIONS, body, namespace)
        except ApiError as error:
            if error.status != HTTP_CONFLICT:
                raise
            # Of the same name and not ours: left by an object that had this name before. The
            # garbage collector takes it; until then the activity tries again.
            await self._ctx.cluster.delete(CONTROLLER_REVISIONS, name, namespace)
            raise Conflict(
                f"ControllerRevision {name} of an earlier Workspace is in the way"
            ) from error
        # Every step of the operation renders from it next, most likely in this process.
        self._ctx.revisions.put((workspace.uid, revision), body["data"])


def _without_model(decision: p.WorkspacePlan, problem: p.Problem) -> p.WorkspacePlan:
    """Return the plan for a Workspace whose model could not be looked up.

    It is a plan and no error: it says which object it is about, the reason says whether time or the
    user mends it, and what runs goes on running.
    """
    told = decision.problem
    is_told_more = told is not None and told.reason != UnknownPreset.reason()
    if decision.deleting or is_told_more:
        return decision
    return p.WorkspacePlan(
        found=True,
        uid=decision.uid,
        generation=decision.generation,
        active_revision=decision.active_revision,
        problem=problem,
    )


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
