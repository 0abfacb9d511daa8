"""Adoption: the marks that come before the first resource of a revision.

The finalizer, so that nothing is left behind; and the ControllerRevision, from which every step
renders, whatever is edited meanwhile. A revision that is asked for again has its record already,
and becomes the newest one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from activities.clients.kubernetes import (
    CONTROLLER_REVISIONS,
    HTTP_CONFLICT,
    WORKSPACES,
    ApiError,
)
from activities.context import ActivityContext
from activities.errors import implements
from activities.workspace.models import FoundModel, find_model
from activities.workspace.reading import list_revisions, revision_of
from activities.workspace.records import rewrite_record
from activities.workspace.references import read_config
from api import contracts, names
from api import payloads as p
from api.errors import BY_REASON, Conflict, HubUnavailable
from api.preset import Preset
from api.version import VERSION
from api.workspace import Workspace
from planner.fields import mapping_at, objects_at, text_at
from planner.render import images_of, render_controller_revision
from planner.revision import revision_hash

DIGEST_CHARACTERS: Final = 12
"""Of a digest that people compare by eye, as git shows of a commit."""

_SPEC_FIELDS: Final = ("f:resource", "f:inference", "f:tuning")


class Adoption:
    """Writes the finalizer and the record of a revision."""

    def __init__(self, ctx: ActivityContext) -> None:
        """Take what all activities share."""
        self._ctx = ctx

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
            number = await self._make_newest(known, records, author_mark(obj))
            return p.AdoptResult(revision_number=number)
        number = 1 + _highest(records)
        marks = {**author_mark(obj), **version_marks(model.preset)}
        await self._record(workspace, payload.revision, number, model, config_text, marks)
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

    async def _make_newest(
        self,
        known: Mapping[str, Any],
        records: Sequence[Mapping[str, Any]],
        marks: Mapping[str, str],
    ) -> int:
        """Give a revision that is asked for again the highest number, and who asked for it."""
        number, highest = _number(known), _highest(records)
        if number == highest:
            return number
        await rewrite_record(self._ctx, known, marks, number=highest + 1)
        return highest + 1

    async def _record(  # noqa: PLR0917 - what a record is made of
        self,
        workspace: Workspace,
        revision: str,
        number: int,
        model: FoundModel,
        config_text: str | None,
        marks: Mapping[str, str],
    ) -> None:
        body = render_controller_revision(
            workspace,
            revision,
            number,
            config_text=config_text,
            preset=model.preset,
            images=await self._images(workspace, model.preset),
            annotations=marks,
        )
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

    async def _images(self, workspace: Workspace, preset: Preset | None) -> list[str]:
        """Return what the pods will run, by digest where the installation's registry tells."""
        images = images_of(workspace, preset, self._ctx.settings.platform)
        return list(await asyncio.gather(*map(self._ctx.image_registry.pin, images)))


def author_mark(obj: Mapping[str, Any]) -> dict[str, str]:
    """Return who wrote the spec last and when, as the API server noted; empty when it did not.

    Kubernetes keeps no names of people here, but those of programs: `kubectl-edit`, `argocd`.
    """
    written = [
        (text_at(entry, "time"), text_at(entry, "manager"))
        for entry in objects_at(obj, "metadata", "managedFields")
        if any(field in mapping_at(entry, "fieldsV1") for field in _SPEC_FIELDS)
    ]
    if not written:
        return {}
    time, manager = max(written)
    return {names.ANNOTATION_AUTHOR: f"{manager} at {time}"}


def version_marks(preset: Preset | None) -> dict[str, str]:
    """Return which platform made the record, and a digest of the model's entry at that time."""
    marks = {names.ANNOTATION_PLATFORM_VERSION: VERSION}
    if preset is not None:
        text = json.dumps(preset.model_dump(mode="json"), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        marks[names.ANNOTATION_CATALOGUE_VERSION] = digest[:DIGEST_CHARACTERS]
    return marks


def _number(record: Mapping[str, Any]) -> int:
    return int(record.get("revision") or 0)


def _highest(records: Sequence[Mapping[str, Any]]) -> int:
    return max((_number(one) for one in records), default=0)
