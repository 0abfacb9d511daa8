"""A recorded text of `inference.config` as a ConfigMap that the spec can name."""

from __future__ import annotations

from typing import Any

from api import names
from api.workspace import Workspace
from planner.render.config_map import CONFIG_KEY
from planner.render.ownership import owned_metadata, revision_labels


def render_restored_config(workspace: Workspace, revision: str, config_text: str) -> dict[str, Any]:
    """Return the ConfigMap that the spec names after a rollback to other settings.

    It holds what one revision was made from, so it never changes; other settings belong into a
    ConfigMap of the user's own.
    """
    name = names.restored_config_name(workspace.name, revision)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": owned_metadata(workspace, name, revision_labels(workspace, revision)),
        "immutable": True,
        "data": {CONFIG_KEY: config_text},
    }
