"""The workload of a revision: a StatefulSet with one pod a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api import names
from api.preset import Preset
from api.workspace import Workspace
from planner.render.ownership import headless_service_name, owned_metadata, revision_labels
from planner.render.scheduling import affinity
from planner.render.serving import Serving, require_preset, runtime_of
from planner.render.serving_pod import serving_pod
from planner.render.template import render_template, template_of
from planner.sizing import Sizing
from planner.world import PlatformSettings


def render_workload(  # noqa: PLR0917 - the signature that activities call
    workspace: Workspace,
    preset: Preset | None,
    revision: str,
    node_names: Sequence[str],
    settings: PlatformSettings,
    sizing: Sizing | None,
) -> dict[str, Any]:
    """Return the StatefulSet `<workspace>-<revision>`.

    Args:
        workspace: As the revision recorded it.
        preset: Catalogue entry of its model; None for pods of the user's own.
        revision: Names the workload, and the ConfigMap with its settings.
        node_names: Nodes that its pods may run on.
        settings: What the operator of the platform decided.
        sizing: How the model is laid over nodes; None for pods of the user's own.

    Raises:
        UnknownPreset: the catalogue has the model no more.
        FeatureNotAvailable: the model has no such runtime.
    """
    labels = revision_labels(workspace, revision, names.ROLE_INFERENCE)
    selector = {
        key: labels[key]
        for key in (
            names.LABEL_WORKSPACE,
            # Pods of a Workspace that had this name before are not ours to adopt.
            names.LABEL_WORKSPACE_UID,
            names.LABEL_REVISION,
            names.LABEL_ROLE,
        )
    }
    replicas = replicas_of(workspace, sizing)
    if template_of(workspace) is not None:
        template = render_template(workspace, labels, selector, node_names)
    else:
        known = require_preset(workspace, preset)
        if sizing is None:
            raise ValueError(f"{known.name} can't be rendered without its sizing")
        runtime = runtime_of(workspace, known)
        pod = serving_pod(Serving(workspace, known, runtime, revision, settings, sizing))
        template = {
            "metadata": {"labels": dict(labels)},
            "spec": {**pod, "affinity": affinity(node_names, selector, replicas)},
        }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": owned_metadata(
            workspace, names.workload_name(workspace.name, revision), labels
        ),
        "spec": {
            "replicas": replicas,
            "serviceName": headless_service_name(workspace),
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate"},
            # Our own revisions are the history; Kubernetes' would show beside them.
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": selector},
            "template": template,
        },
    }


def replicas_of(workspace: Workspace, sizing: Sizing | None) -> int:
    """Return how many pods the workload has: `count` replicas, or the parts of one instance."""
    if sizing is not None and sizing.nodes_per_instance > 1:
        return sizing.nodes_per_instance
    return workspace.resource.count
