"""The platform's own copy of a user's settings for the model server."""

from __future__ import annotations

from typing import Any, Final

from api import names
from api.workspace import Workspace
from planner.render.ownership import owned_metadata, revision_labels

CONFIG_KEY: Final = "inference_config.yaml"
"""Key of the user's ConfigMap, and the name of the file in the pod (upstream's contract)."""


def render_config_map(workspace: Workspace, revision: str, config_text: str) -> dict[str, Any]:
    """Return the ConfigMap that the pods of one revision mount.

    The text is part of the revision's hash, so it never changes under this name; the kubelet need
    not watch it.
    """
    name = names.workload_name(workspace.name, revision)
    return _settings(workspace, revision, config_text, name)


def render_restored_config(workspace: Workspace, revision: str, config_text: str) -> dict[str, Any]:
    """Return the ConfigMap that the spec names after a rollback to other settings.

    It holds what one revision was made from, so it never changes; other settings belong into a
    ConfigMap of the user's own.
    """
    name = names.restored_config_name(workspace.name, revision)
    return _settings(workspace, revision, config_text, name)


def _settings(workspace: Workspace, revision: str, config_text: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": owned_metadata(workspace, name, revision_labels(workspace, revision)),
        "immutable": True,
        "data": {CONFIG_KEY: config_text},
    }
