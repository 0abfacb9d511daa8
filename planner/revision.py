"""The name of a revision: a hash of everything that its pods are made from.

Two specs with one hash run the same pods, so an edit of anything else (preferred nodes, an order of
keys, a comment, how nodes are paid for) restarts nothing. Nodes are no part of it: a pod that moves
is the same revision, and so is one whose nodes turn out to have other GPUs than was thought.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from api.names import ANNOTATION_RUNTIME, REVISION_HASH_CHARACTERS, RevisionHash
from api.preset import Preset, WeightsKind
from api.workspace import Workspace
from planner.hardware import wanted_instance_type
from planner.render.images import images_of
from planner.render.revisions import rendering_annotations
from planner.render.serving import full_reference, runtime_of
from planner.render.template import template_of
from planner.world import PlatformSettings

FORMAT: Final = 3
"""Raised when what is hashed changes its meaning; every workload is then rolled once."""

OF_NODES_ONLY: Final = frozenset({"preferred_nodes", "fallback_instance_types", "capacity_type"})
"""Fields of `resource` that pods do not feel. An edit of them makes no new revision, so what counts
is what they are today."""


def revision_hash(
    workspace: Workspace,
    preset: Preset | None,
    config_text: str | None,
    settings: PlatformSettings,
) -> RevisionHash:
    """Return 8 lower-case hexadecimal characters that name what the spec asks for.

    Args:
        workspace: Its spec, and the annotations that pods are made from, count.
        preset: Its model; a changed image, flag or commit is a new revision.
        config_text: Content of the ConfigMap that `inference.config` names.
        settings: Where images come from, and what an empty instance type means.

    Raises:
        FeatureNotAvailable: the model has no such runtime.
    """
    inputs = {
        "format": FORMAT,
        "spec": _spec(workspace, preset, is_config_known=config_text is not None),
        "instanceType": wanted_instance_type(workspace, settings).casefold(),
        "annotations": _annotations(workspace),
        "config": config_text,
        "serving": _serving(workspace, preset, settings),
    }
    # ASCII only, so that no string can fail to be encoded.
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    return RevisionHash(digest[:REVISION_HASH_CHARACTERS])


def _spec(workspace: Workspace, preset: Preset | None, *, is_config_known: bool) -> dict[str, Any]:
    """Return what the user wrote, without fields that are as they would be if left out.

    So a field that a later version adds rolls no workload that does not use it.
    """
    spec = workspace.model_dump(
        mode="json",
        by_alias=True,
        exclude_defaults=True,
        include={"resource": True, "inference": True, "tuning": True},
        # The instance type is hashed as what it comes to.
        exclude={"resource": {*OF_NODES_ONLY, "instance_type"}},
    )
    if is_config_known:
        # Pods get a copy, so that what it was copied from does not matter to them.
        spec.get("inference", {}).pop("config", None)
    if preset is not None:
        # Aliases and other spellings of a name are the same model.
        for feature in ("inference", "tuning"):
            if "preset" in spec.get(feature, {}):
                spec[feature]["preset"]["name"] = preset.name
    return spec


def _annotations(workspace: Workspace) -> dict[str, str]:
    """Return those that pods are made from; the runtime is hashed as what it comes to."""
    annotations = rendering_annotations(workspace)
    return {key: value for key, value in annotations.items() if key != ANNOTATION_RUNTIME}


def _serving(
    workspace: Workspace, preset: Preset | None, settings: PlatformSettings
) -> dict[str, Any] | None:
    if preset is None or template_of(workspace) is not None:
        return None
    runtime = runtime_of(workspace, preset)
    return {
        "runtime": runtime.model_dump(
            mode="json", exclude={"accelerators", "image"}, exclude_defaults=True
        ),
        "images": images_of(workspace, preset, settings),
        "weights": _weights(preset, settings),
        "trustRemoteCode": preset.trust_remote_code,
    }


def _weights(preset: Preset, settings: PlatformSettings) -> list[str]:
    weights, model = preset.weights, preset.model
    match weights.kind:
        case WeightsKind.HUGGING_FACE:
            return [weights.kind, model.hugging_face_id, model.revision]
        case WeightsKind.OCI:
            return [weights.kind, full_reference(weights.reference, settings)]
    return [weights.kind]
