"""Pods of the user's own (`inference.template`): theirs in everything but the place.

Nothing is added to their containers: what they ask for of GPUs, which user they run as and what
they mount is their author's decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from api.workspace import Workspace
from planner.fields import mapping_at, objects_at, text_map_at, value_at
from planner.render.pods import tolerations
from planner.render.scheduling import joined_affinity


def template_of(workspace: Workspace) -> Mapping[str, Any] | None:
    """Return `inference.template`."""
    return workspace.inference.template if workspace.inference is not None else None


def render_template(
    workspace: Workspace,
    labels: Mapping[str, str],
    selector: Mapping[str, str],
    node_names: Sequence[str],
) -> dict[str, Any]:
    """Return the pod template with our labels, tolerations and nodes put into it.

    Total: whatever the template holds, the result is a pod template that the API server can judge.
    """
    template: dict[str, Any] = deepcopy(dict(template_of(workspace) or {}))
    metadata = dict(mapping_at(template, "metadata"))
    # Ours come last: the Service and the wait for pods go by them.
    metadata["labels"] = {**text_map_at(metadata, "labels"), **labels}
    spec = dict(mapping_at(template, "spec"))
    spec["tolerations"] = _with_ours(value_at(spec, "tolerations"))
    spec["affinity"] = joined_affinity(
        mapping_at(spec, "affinity"), node_names, selector, workspace.resource.count
    )
    return {**template, "metadata": metadata, "spec": spec}


def template_images(workspace: Workspace) -> list[str]:
    """Return the images of the template's containers, as they are written."""
    template = template_of(workspace)
    containers = [
        *objects_at(template, "spec", "initContainers"),
        *objects_at(template, "spec", "containers"),
    ]
    images = (value_at(one, "image") for one in containers)
    return [image for image in images if isinstance(image, str) and image]


def template_pull_secrets(workspace: Workspace) -> list[str]:
    """Return the names of the Secrets by which the template's images are pulled."""
    secrets = objects_at(template_of(workspace), "spec", "imagePullSecrets")
    return [name for name in (value_at(one, "name") for one in secrets) if isinstance(name, str)]


def _with_ours(theirs: Any) -> list[Any]:
    given = theirs if isinstance(theirs, list) else []
    return [*given, *(one for one in tolerations() if one not in given)]
