"""Which model a Workspace means: an entry of the catalogue, or one of Hugging Face at a commit.

A branch of a model's repository moves, and pods must not roll because it did. So a commit is looked
up once, recorded in the ControllerRevision, and taken from there for as long as the spec asks for
the same model. A hub that is down therefore troubles nobody who runs already.

    catalogue, with a commit or weights of ours    as it is
    catalogue, without a commit                    the recorded commit, else the hub's
    org/name[@revision]                            the recorded preset, else the hub's
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from activities.clients.hugging_face import HubError
from activities.context import ActivityContext
from activities.errors import translate_hub_error
from activities.workspace.references import read_token
from api import payloads as p
from api.errors import PlatformError, trim
from api.hub import HubModel
from api.preset import Preset, WeightsKind
from api.workspace import Workspace
from planner.hub_model import (
    DEFAULT_REVISION,
    looks_like_id,
    preset_of_hub,
    same_request,
    split_id,
)
from planner.render.serving import private_image

FIELD: Final = "inference.preset.name"


@dataclass(frozen=True)
class FoundModel:
    """What is known of the model that a Workspace names."""

    preset: Preset | None = None
    """None when it names none, an unknown one, or one that could not be looked up."""
    problem: p.Problem | None = None
    """Why it could not be looked up."""
    missing: tuple[str, ...] = ()
    """Objects that the look-up needs and that do not exist."""


async def find_model(
    ctx: ActivityContext, workspace: Workspace, records: Sequence[Mapping[str, Any]]
) -> FoundModel:
    """Return the model of a Workspace.

    Args:
        ctx: What all activities share.
        workspace: As it is in the cluster now.
        records: Its ControllerRevisions.
    """
    name = workspace.preset_name
    entry = ctx.catalogue.get(name)
    record = _newest_record(ctx, name, records)
    if entry is not None and not _needs_commit(workspace, entry):
        is_begun = record is not None or workspace.is_deleting
        return FoundModel(entry, missing=() if is_begun else await _missing(ctx, workspace, entry))
    if entry is None and not looks_like_id(name):
        return FoundModel()
    known = preset_in(record) if record is not None else None
    if entry is not None and record is not None:
        return _with_commit(entry, known.model.revision if known is not None else "")
    if known is not None:
        return FoundModel(known)
    if workspace.is_deleting:
        # Nobody needs to know any more, and nothing may keep an object from going.
        return FoundModel(entry)
    return await _look_up(ctx, workspace, entry)


def preset_in(record: Mapping[str, Any]) -> Preset | None:
    """Return the preset that a ControllerRevision records, if it does and we can read it."""
    data = record.get("data") or {}
    # Earlier versions recorded only what they had looked up, and under another name.
    recorded = data.get("preset") or data.get("hubPreset")
    if recorded is None:
        return None
    try:
        return Preset.model_validate(recorded)
    except ValidationError:
        return None  # A newer version of the platform wrote it.


def _needs_commit(workspace: Workspace, entry: Preset) -> bool:
    return _is_downloaded(workspace, entry) and not entry.model.revision


def _is_downloaded(workspace: Workspace, entry: Preset) -> bool:
    return entry.weights.kind is WeightsKind.HUGGING_FACE and not private_image(workspace)


async def _missing(ctx: ActivityContext, workspace: Workspace, entry: Preset) -> tuple[str, ...]:
    """Return what a gated entry lacks to be downloaded, before its nodes are bought."""
    if not entry.model.gated or not _is_downloaded(workspace, entry):
        return ()
    return (await read_token(ctx, workspace))[1]


def _with_commit(entry: Preset, commit: str) -> FoundModel:
    """Return today's entry at a recorded commit; without one, it was begun without and stays so."""
    if not commit:
        return FoundModel(entry)
    model = entry.model.model_copy(update={"revision": commit})
    return FoundModel(entry.model_copy(update={"model": model}))


def _newest_record(
    ctx: ActivityContext, name: str, records: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """Return the newest revision that asked for the same model at the same revision."""
    entry = ctx.catalogue.get(name)
    asked = [
        record
        for record in records
        if (
            ctx.catalogue.get(_name_in(record)) is entry
            if entry is not None
            else same_request(_name_in(record), name)
        )
    ]
    return max(asked, key=lambda record: int(record.get("revision") or 0), default=None)


def _name_in(record: Mapping[str, Any]) -> str:
    data = record.get("data") or {}
    for feature in ("inference", "tuning"):
        name = ((data.get(feature) or {}).get("preset") or {}).get("name")
        if isinstance(name, str):
            return name
    return ""


async def _look_up(ctx: ActivityContext, workspace: Workspace, entry: Preset | None) -> FoundModel:
    token, missing = await read_token(ctx, workspace)
    if missing:
        return FoundModel(entry, missing=missing)
    try:
        found = await _ask_hub(ctx, workspace, entry, token)
        if entry is not None:
            return _with_commit(entry, found.commit)
        return FoundModel(preset_of_hub(found))
    except HubError as error:
        if entry is not None and ctx.hub.is_offline:
            # The catalogue knows enough to serve it; only its exact commit stays open.
            return FoundModel(entry)
        return FoundModel(entry, problem=_problem(translate_hub_error(error)))
    except PlatformError as error:
        return FoundModel(entry, problem=_problem(error))


async def _ask_hub(
    ctx: ActivityContext, workspace: Workspace, entry: Preset | None, token: str
) -> HubModel:
    if entry is not None:
        return await ctx.hub.model(entry.model.hugging_face_id, DEFAULT_REVISION, token)
    return await ctx.hub.model(*split_id(workspace.preset_name), token)


def _problem(error: PlatformError) -> p.Problem:
    return p.Problem(reason=error.reason(), message=trim(f"{FIELD}: {error}"))
