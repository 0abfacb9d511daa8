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

import yaml

from api import names
from api.errors import trim
from api.payloads import RolloutMode, WorkspacePlan
from api.workspace import RolloutStrategy, Workspace
from planner import config_file
from planner.amounts import counted
from planner.config_file import RefusedError

MAX_SHOWN_CHARACTERS: Final = 60
"""Longest value that a change shows; a pod template would bury the rest."""

CONFIG: Final = "config"
"""Where the fields of the ConfigMap begin: `config.vllm.max-model-len`."""

CONFIG_TEXT: Final = "content of inference.config"
"""All of the ConfigMap's text, where it can't be read field by field."""

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
class Wish:
    """What a Workspace asks for at one time."""

    workspace: Workspace
    config_text: str | None = None


@dataclass(frozen=True)
class Desired:
    """A wish and what comes of it."""

    workspace: Workspace
    plan: WorkspacePlan
    config_text: str | None = None

    @property
    def wish(self) -> Wish:
        """Return the wish alone."""
        return Wish(self.workspace, self.config_text)


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


def edit_effect(before: Desired | None, after: Desired) -> EditEffect:
    """Return what the platform does when `after` is applied.

    Args:
        before: What is wanted now; None when there is no such Workspace.
        after: What would be wanted.
    """
    added, released = _node_counts(before, after)
    changes = tuple(changes_between(before.wish, after.wish)) if before is not None else ()
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
    if rollout is not None and rollout.strategy is RolloutStrategy.SURGE:
        if after.plan.mode is not RolloutMode.SURGE:
            # Nobody saw what runs, so it is not known to leave room on its nodes.
            added = released = after.plan.node_count
        where = f", on {counted(added, 'node')} more," if added else ", on the same nodes,"
        summary = f"new pods start beside the old ones{where} and take over"
        return EditEffect(EffectKind.SURGE, summary, changes, added, released)
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


def changes_between(before: Wish, after: Wish) -> Iterator[Change]:
    """Yield every field that differs, those of the spec first."""
    yield from _differences(dict(_leaves(before)), dict(_leaves(after)))
    if before.config_text != after.config_text:
        # Where only comments or spaces differ, pods are made from another text all the same.
        texts = {CONFIG_TEXT: before.config_text}, {CONFIG_TEXT: after.config_text}
        told = list(_differences(_settings(before.config_text), _settings(after.config_text)))
        yield from told or _differences(*texts)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for field in [*old, *(one for one in new if one not in old)]:
        if old.get(field) != new.get(field):
            yield Change(field, _shown(old.get(field)), _shown(new.get(field)), _note(field))


def _leaves(desired: Wish) -> Iterator[tuple[str, Any]]:
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


def _settings(text: str | None) -> dict[str, Any]:
    """Return the values of a ConfigMap's text, or the text where they can't be told apart."""
    if text is None:
        return {}
    try:
        root = config_file.compose(text)
    except RefusedError:
        return {CONFIG_TEXT: text}
    return dict(_values(CONFIG, root)) if _is_tree(root) else {CONFIG_TEXT: text}


def _is_tree(root: yaml.Node | None) -> bool:
    """Return whether no part stands for another: such a document may be endless."""
    pending, seen = [root] if root is not None else [], set[int]()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            return False
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            pending += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            pending += node.value
    return True


def _values(path: str, node: yaml.Node | None) -> Iterator[tuple[str, Any]]:
    if isinstance(node, yaml.MappingNode):
        for key in dict.fromkeys(config_file.keys(node)):
            if key:
                yield from _values(f"{path}.{key}", config_file.find(node, key))
    elif isinstance(node, yaml.SequenceNode):
        yield path, yaml.serialize(node, Dumper=yaml.SafeDumper).strip()
    elif node is not None:
        yield path, node.value


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
