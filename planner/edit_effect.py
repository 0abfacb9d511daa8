"""What an edit of a Workspace causes: nothing or a new revision, other nodes, time without answers.

Judged by what the platform itself goes by: two specs of one revision run the same pods, whatever
else differs between them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from api import names
from api.errors import trim
from api.payloads import WorkspacePlan
from api.workspace import RolloutStrategy, Workspace
from planner.amounts import counted

MAX_SHOWN_CHARACTERS: Final = 60
"""Longest value that a change shows; a pod template would bury the rest."""

CONFIG_TEXT: Final = "content of inference.config"

WITHOUT_RESTART: Final[Mapping[str, str]] = {
    "resource.preferredNodes": "counts when nodes are chosen next",
    "resource.fallbackInstanceTypes": "counts for the next node that is made",
    "resource.capacityType": "counts for the next node that is made",
    "rollout": "counts from the next edit on",
    f"metadata.annotations.{names.ANNOTATION_ENABLE_LOAD_BALANCER}": "the Service follows at once",
    f"metadata.annotations.{names.ANNOTATION_NODE_IMAGE_FAMILY}": (
        "counts for the next node that is made"
    ),
    f"metadata.annotations.{names.ANNOTATION_NODE_CLASS_NAME}": (
        "counts for the next node that is made"
    ),
}
"""Beginnings of fields that are no part of a revision, and when the platform looks at them."""


class EffectKind(StrEnum):
    """What happens to the pods that run."""

    START = "start"
    """None run yet."""
    NOTHING = "nothing"
    """They go on."""
    IN_PLACE = "in-place"
    """They stop, and new ones start on the nodes that are then wanted."""
    SURGE = "surge"
    """New ones start beside them and take over."""
    REFUSED = "refused"
    """They go on: the edit can't be carried out."""


@dataclass(frozen=True)
class Desired:
    """What a Workspace asks for at one time."""

    workspace: Workspace
    plan: WorkspacePlan
    config_text: str | None = None


@dataclass(frozen=True)
class Change:
    """One field that differs."""

    field: str
    before: str
    """As JSON, cut short; empty when the field was not there."""
    after: str
    note: str = ""
    """When the platform looks at it, for fields that restart nothing."""


@dataclass(frozen=True)
class EditEffect:
    """What becomes of a Workspace when it is changed from one wish to another."""

    kind: EffectKind
    summary: str
    """In a sentence."""
    changes: tuple[Change, ...] = ()
    nodes_added: int = 0
    """Nodes that are not used now and then are; new ones and existing ones."""
    nodes_released: int = 0
    downtime_seconds_at_most: int = 0
    """While nobody answers; the deadlines of the steps that bring the new pods up."""


def edit_effect(before: Desired | None, after: Desired, *, surges: bool) -> EditEffect:
    """Return what the platform does when `after` is applied.

    Args:
        before: What is wanted now; None when there is no such Workspace.
        after: What would be wanted.
        surges: Whether this version of the platform carries out `rollout.strategy: Surge`.
    """
    added, released = _node_counts(before, after)
    changes = tuple(_changes(before, after)) if before is not None else ()
    running = _running_revision(before, after)
    if after.plan.problem is not None:
        summary = "it can't be carried out as written"
        more = "; what runs goes on running" if running else ""
        return EditEffect(EffectKind.REFUSED, summary + more, changes)
    if not running:
        return EditEffect(EffectKind.START, _start_summary(added), changes, added, released)
    if running == after.plan.revision:
        return EditEffect(EffectKind.NOTHING, _same_summary(added), changes, added, released)
    rollout = after.workspace.rollout
    if surges and rollout is not None and rollout.strategy is RolloutStrategy.SURGE:
        count = after.plan.node_count
        summary = (
            f"new pods start beside the old ones, on {counted(count, 'node')} more, and take over"
        )
        return EditEffect(EffectKind.SURGE, summary, changes, count, count)
    deadlines = after.plan.deadlines
    return EditEffect(
        EffectKind.IN_PLACE,
        "once nodes and images are there, the old pods stop and new ones start",
        changes,
        added,
        released,
        deadlines.workload_seconds + deadlines.endpoint_seconds,
    )


def _running_revision(before: Desired | None, after: Desired) -> str:
    if before is not None:
        status = before.workspace.status
        if status.active_revision and status.active_revision == status.revision:
            # By its name here: where the settings of the installation are not those of whoever
            # asks, the names of all revisions differ and what they stand for does not.
            return before.plan.revision
    if after.plan.active_revision:
        return after.plan.active_revision
    # Without a cluster nobody knows what gets the traffic; what was wanted stands for it.
    is_observed = bool(after.workspace.uid)
    return "" if before is None or is_observed else before.plan.revision


def _node_counts(before: Desired | None, after: Desired) -> tuple[int, int]:
    had, wanted = _node_names(before), _node_names(after)
    return len(wanted - had), len(had - wanted)


def _node_names(desired: Desired | None) -> set[str]:
    if desired is None:
        return set()
    plan = desired.plan
    return {claim.name for claim in plan.claims} | set(plan.existing_nodes)


def _start_summary(added: int) -> str:
    return f"it starts on {counted(added, 'node')}" if added else "it starts"


def _same_summary(added: int) -> str:
    return "the pods stay as they are" + (f"; {counted(added, 'node')} more" if added else "")


# --- Changes --------------------------------------------------------------------------------------


def _changes(before: Desired, after: Desired) -> Iterator[Change]:
    old, new = dict(_leaves(before)), dict(_leaves(after))
    for field in [*old, *(one for one in new if one not in old)]:
        if old.get(field) != new.get(field):
            yield Change(field, _shown(old.get(field)), _shown(new.get(field)), _note(field))


def _leaves(desired: Desired) -> Iterator[tuple[str, Any]]:
    """Yield every field that holds a value, with its path."""
    workspace = desired.workspace
    spec = workspace.model_dump(
        mode="json",
        by_alias=True,
        exclude_none=True,
        include={"resource", "inference", "tuning", "rollout"},
    )
    yield from _flatten("", spec)
    metadata = {"labels": workspace.metadata.labels, "annotations": workspace.annotations}
    yield from _flatten("metadata", metadata)
    if desired.config_text is not None:
        yield CONFIG_TEXT, desired.config_text


def _flatten(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flatten(f"{path}.{key}" if path else str(key), inner)
    elif isinstance(value, list) and any(isinstance(one, Mapping | list) for one in value):
        for index, inner in enumerate(value):
            yield from _flatten(f"{path}[{index}]", inner)
    elif value not in ({}, [], ""):
        yield path, value


def _shown(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return trim(" ".join(text.split()), MAX_SHOWN_CHARACTERS)


def _note(field: str) -> str:
    return next(
        (
            note
            for beginning, note in WITHOUT_RESTART.items()
            if field == beginning or field.startswith((f"{beginning}.", f"{beginning}["))
        ),
        "",
    )
