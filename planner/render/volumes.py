"""Volumes of a model server's pod, and where its container finds them."""

from __future__ import annotations

from typing import Any, Final

from api import names
from api.preset import WeightsKind
from planner.render.resources import shared_memory
from planner.render.serving import Serving

PATH_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - a mount point, not a file of ours
PATH_TEMPORARY: Final = "/tmp"  # noqa: S108 - likewise, and private to the pod

TEMPORARY_MOUNT: Final = {"name": "tmp", "mountPath": PATH_TEMPORARY}
WEIGHTS_VOLUME: Final = "weights"


def volumes(serving: Serving) -> list[dict[str, Any]]:
    """Return the volumes that every model server has, and those for its weights and settings."""
    found: list[dict[str, Any]] = [
        {"name": "tmp", "emptyDir": {}},
        {
            "name": "shared-memory",
            "emptyDir": {"medium": "Memory", "sizeLimit": shared_memory(serving)},
        },
    ]
    if serving.weights_kind is not WeightsKind.IMAGE:
        found.append({"name": WEIGHTS_VOLUME, "emptyDir": {"sizeLimit": serving.preset.disk}})
    if serving.has_config:
        # The platform's own copy: an earlier revision keeps its settings when the user's change.
        copy = names.workload_name(serving.workspace.name, serving.revision)
        found.append({"name": "config", "configMap": {"name": copy}})
    return found


def mounts(serving: Serving) -> list[dict[str, Any]]:
    """Return where the model server finds them."""
    found: list[dict[str, Any]] = [
        dict(TEMPORARY_MOUNT),
        {"name": "shared-memory", "mountPath": PATH_SHARED_MEMORY},
    ]
    weights: dict[str, Any] = {"name": WEIGHTS_VOLUME, "mountPath": names.PATH_WEIGHTS}
    if serving.weights_kind is WeightsKind.OCI:
        found.append({**weights, "readOnly": True})
    elif serving.weights_kind is WeightsKind.HUGGING_FACE:
        found.append(weights)
    if serving.has_config:
        found.append({"name": "config", "mountPath": names.PATH_CONFIG, "readOnly": True})
    return found
