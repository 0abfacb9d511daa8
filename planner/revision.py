"""The name of a revision: a hash of everything that its pods are made from.

Two specs with one hash run the same pods, so an edit of anything else (preferred nodes, an order of
keys, a comment) restarts nothing. Nodes are no part of it: a pod that moves is the same revision.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from api.names import REVISION_HASH_CHARACTERS, RevisionHash
from api.preset import Preset
from api.workspace import Workspace
from planner.render.serving import full_reference, runtime_of
from planner.world import PlatformSettings

FORMAT: Final = 1
"""Raised when what is hashed changes its meaning; every workload is then rolled once."""


def revision_hash(
    workspace: Workspace,
    preset: Preset | None,
    config_text: str | None,
    settings: PlatformSettings,
) -> RevisionHash:
    """Return 8 lower-case hexadecimal characters that name what the spec asks for.

    Args:
        workspace: Its spec, and the annotation that chooses the runtime, count.
        preset: Catalogue entry of its model; a changed image or flag is a new revision.
        config_text: Content of the ConfigMap that `inference.config` names.
        settings: Where images come from.
    """
    inputs = {
        "format": FORMAT,
        "spec": _spec(workspace, preset),
        "config": config_text,
        "serving": _serving(workspace, preset, settings),
    }
    # ASCII only, so that no string can fail to be encoded.
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    return RevisionHash(digest[:REVISION_HASH_CHARACTERS])


def _spec(workspace: Workspace, preset: Preset | None) -> dict[str, Any]:
    spec = workspace.model_dump(
        mode="json",
        by_alias=True,
        exclude_none=True,
        include={"resource", "inference", "tuning"},
    )
    spec["resource"].pop("preferredNodes", None)
    if preset is not None:
        # Aliases and other spellings of a name are the same model.
        for feature in ("inference", "tuning"):
            if "preset" in spec.get(feature, {}):
                spec[feature]["preset"]["name"] = preset.name
    return spec


def _serving(
    workspace: Workspace, preset: Preset | None, settings: PlatformSettings
) -> dict[str, Any] | None:
    if preset is None:
        return None
    runtime = runtime_of(workspace, preset)
    weights = preset.weights
    return {
        "runtime": runtime.model_dump(mode="json", exclude={"accelerators", "image"}),
        "image": full_reference(runtime.image, settings),
        "weights": full_reference(weights.reference, settings)
        if weights.reference
        else weights.kind,
        "trustRemoteCode": preset.trust_remote_code,
    }
