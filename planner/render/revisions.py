"""The record of a revision: the spec as it was when the revision was first seen."""

from __future__ import annotations

from typing import Any

from api import names
from api.workspace import Workspace
from planner.render.ownership import owned_metadata, revision_labels


def render_controller_revision(workspace: Workspace, revision: str, number: int) -> dict[str, Any]:
    """Return the ControllerRevision from which a step renders, whatever is edited meanwhile.

    Defaults are written out: another version of the platform may have others.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": owned_metadata(
            workspace,
            names.workload_name(workspace.name, revision),
            revision_labels(workspace, revision),
        ),
        "revision": number,
        "data": workspace.model_dump(
            mode="json",
            by_alias=True,
            exclude_none=True,
            include={"resource", "inference", "tuning"},
        ),
    }
