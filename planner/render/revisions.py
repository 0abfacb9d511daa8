"""The record of a revision: everything that its pods were made from when it was first seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from api import names
from api.preset import Preset
from api.workspace import Workspace
from planner.render.ownership import owned_metadata, revision_labels

RENDERING_ANNOTATIONS: Final = (names.ANNOTATION_PERFORMANCE_MODE, names.ANNOTATION_RUNTIME)
"""Annotations of the Workspace that pods are made from, sorted. Those that only a Service or a node
is made from take effect without a new revision."""

LABEL_OWNER: Final = "workspace.kaito.io/name"
"""Upstream's label on its records; scripts of users select by it."""


def render_controller_revision(
    workspace: Workspace,
    revision: str,
    number: int,
    *,
    config_text: str | None = None,
    preset: Preset | None = None,
    images: Sequence[str] = (),
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the ControllerRevision from which a step renders, whatever is edited meanwhile.

    Defaults are written out: another version of the platform may have others.

    Args:
        workspace: As it is when the revision is first seen.
        revision: Its hash.
        number: Counts the revisions of the Workspace.
        config_text: Content of the ConfigMap that `inference.config` names.
        preset: Its whole model, so that a later catalogue does not change what is brought back.
        images: References of what its pods run, by digest where that is known.
        annotations: What is known of how it came about: who wrote the spec, which versions.
    """
    data: dict[str, Any] = workspace.model_dump(
        mode="json",
        by_alias=True,
        exclude_none=True,
        include={"resource", "inference", "tuning"},
    )
    if config_text is not None:
        data["config"] = config_text
    if orders := rendering_annotations(workspace):
        data["annotations"] = orders
    if preset is not None:
        data["preset"] = preset.model_dump(mode="json", by_alias=True)
    if images:
        data["images"] = list(images)
    labels = {**revision_labels(workspace, revision), LABEL_OWNER: workspace.name}
    metadata = owned_metadata(workspace, names.workload_name(workspace.name, revision), labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata,
        "revision": number,
        "data": data,
    }


def rendering_annotations(workspace: Workspace) -> dict[str, str]:
    """Return the annotations that the pods of the Workspace are made from, as they are written."""
    return {
        key: workspace.annotations[key]
        for key in RENDERING_ANNOTATIONS
        if key in workspace.annotations
    }
