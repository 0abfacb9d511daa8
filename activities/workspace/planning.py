"""Planning: what must be done, judged from everything that is known of a Workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from activities.clients.kubernetes import WORKSPACES
from activities.context import ActivityContext
from activities.errors import implements
from activities.workspace.models import find_model
from activities.workspace.reading import (
    RecordedRevision,
    in_its_world,
    list_revisions,
    observe_world,
    revision_in,
    revision_of,
)
from activities.workspace.sightings import Sightings
from api import contracts, names
from api import payloads as p
from api.errors import InvalidWorkspace, UnknownPreset
from api.preset import Preset
from api.workspace import Workspace
from planner.edit_effect import Wish
from planner.losses import gone_claims, recent_claims
from planner.plan import Recorded, plan
from planner.revision import revision_hash
from planner.world import World


@dataclass(frozen=True)
class _Case:
    """What is planned, and in which world."""

    workspace: Workspace
    world: World
    preset: Preset | None
    recorded: Recorded | None = None
    """Set where it is not the spec as it stands."""


class Planning:
    """Reads the Workspace and its world."""

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
        case = _Case(workspace, seen, model.preset)
        if payload.given_up and payload.restore:
            case = await self._stead(payload, obj, records, case)
        now = datetime.now(tz=UTC)
        recent = recent_claims(seen.claims, payload.recent_claims, now)
        world = self._sightings.remember(
            replace(
                case.world,
                workspace_uid=workspace.uid,
                now=now,
                gone_claims=gone_claims(seen.claims, recent),
            )
        )
        decision = plan(
            case.workspace,
            world,
            case.preset,
            self._ctx.settings.platform,
            self._ctx.catalogue,
            failed_offers=payload.failed_offers,
            serving=self._serving(obj, records, world),
            recorded=case.recorded,
        )
        if model.problem is not None:
            decision = _without_model(decision, model.problem)
        return decision.model_copy(update={"recent_claims": recent})

    async def _stead(
        self,
        payload: p.PlanInput,
        obj: dict[str, Any],
        records: Sequence[Mapping[str, Any]],
        case: _Case,
    ) -> _Case:
        """Return what is planned while the spec asks for a revision that was given up.

        Any other spec is planned itself, and so is this one when the good revision is gone.
        """
        live = self._revision_of(case)
        if live != payload.given_up or case.workspace.is_deleting:
            return case
        recorded = self._recorded(obj, records, payload.restore)
        if recorded is None:
            return case
        world = await in_its_world(self._ctx, case.world, recorded)
        return _Case(
            recorded.workspace,
            world,
            recorded.preset,
            Recorded(payload.restore, spec_revision=live),
        )

    def _revision_of(self, case: _Case) -> str:
        platform = self._ctx.settings.platform
        try:
            return str(revision_hash(case.workspace, case.preset, case.world.config_text, platform))
        except InvalidWorkspace:
            return ""  # The plan tells what is wrong.

    def _recorded(
        self, obj: dict[str, Any], records: Sequence[Mapping[str, Any]], revision: str
    ) -> RecordedRevision | None:
        """Return a recorded revision; None when it is gone, or was written by another version."""
        data = next((one["data"] for one in records if revision_of(one) == revision), None)
        if data is None:
            return None
        try:
            return revision_in(self._ctx, obj, data)
        except InvalidWorkspace:
            return None

    def _serving(
        self, obj: dict[str, Any], records: Sequence[Mapping[str, Any]], world: World
    ) -> Wish | None:
        """Return what the revision that has the traffic was made from, where that is recorded."""
        active_revision = world.service.active_revision if world.service is not None else ""
        recorded = self._recorded(obj, records, active_revision)
        return Wish(recorded.workspace, recorded.config_text) if recorded is not None else None


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
