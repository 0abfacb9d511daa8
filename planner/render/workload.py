"""The workload of a revision: a StatefulSet with one pod a node."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from api import names
from api.preset import Preset, WeightsKind
from api.workspace import Workspace
from planner.render.ownership import owned_metadata, revision_labels
from planner.render.pods import (
    container_security_context,
    gpu_tolerations,
    pod_security_context,
)
from planner.render.services import headless_service_name
from planner.render.serving import command_line, full_reference, require_preset, runtime_of
from planner.world import PlatformSettings

HEALTH_PATH: Final = "/health"

STARTUP_PERIOD_SECONDS: Final = 2
"""2 s: readiness is seen soon after it happens; an unanswered connection costs nothing."""
READINESS_PERIOD_SECONDS: Final = 5
LIVENESS_PERIOD_SECONDS: Final = 10
LIVENESS_FAILURES: Final = 6
"""With the period above, a server is silent for a minute before it is started anew: a long
generation on a busy CPU delays `/health` for seconds (a guess)."""
PROBE_TIMEOUT_SECONDS: Final = 5
STARTUP_TIMEOUT_SECONDS: Final = 2

TERMINATION_GRACE_SECONDS: Final = 30
"""30 s: upstream's contract, and Kubernetes' default."""

PATH_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - a mount point, not a file of ours
PATH_TEMPORARY: Final = "/tmp"  # noqa: S108 - likewise, and private to the pod

_PULLER: Final = "/workspace/weights_puller/pull_oci.py"
_HOSTNAME: Final = "kubernetes.io/hostname"


def render_workload(  # noqa: PLR0917 - the signature that activities call
    workspace: Workspace,
    preset: Preset | None,
    revision: str,
    node_names: Sequence[str],
    settings: PlatformSettings,
    world_gpus_per_node: int,
) -> dict[str, Any]:
    """Return the StatefulSet `<workspace>-<revision>`.

    Args:
        workspace: As the revision recorded it.
        preset: Catalogue entry of its model.
        revision: Names the workload; nothing else here depends on it.
        node_names: Nodes that its pods may run on.
        settings: What the operator of the platform decided.
        world_gpus_per_node: GPUs that each pod takes; below 1 reads as 1, since a pod that asks
            for none would share its node's GPUs with others.

    Raises:
        UnknownPreset: the catalogue has the model no more.
        FeatureNotAvailable: the model has no such runtime.
    """
    known = require_preset(workspace, preset)
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
    pod = _pod(workspace, known, settings, max(world_gpus_per_node, 1))
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": owned_metadata(
            workspace, names.workload_name(workspace.name, revision), labels
        ),
        "spec": {
            "replicas": workspace.resource.count,
            "serviceName": headless_service_name(workspace),
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate"},
            # Our own revisions are the history; Kubernetes' would show beside them.
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {"labels": dict(labels)},
                "spec": {**pod, "affinity": _affinity(workspace, node_names, selector)},
            },
        },
    }


def _affinity(
    workspace: Workspace, node_names: Sequence[str], selector: dict[str, str]
) -> dict[str, Any]:
    # By the node's name and not by its hostname label: clouds exist where the two differ. A term
    # may name one node only, and any of the terms will do.
    terms = [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}
        for name in sorted(node_names)
    ]
    affinity: dict[str, Any] = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
        }
    }
    if workspace.resource.count > 1:
        # One replica a node, also where a node has GPUs for two.
        affinity["podAntiAffinity"] = {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"labelSelector": {"matchLabels": dict(selector)}, "topologyKey": _HOSTNAME}
            ]
        }
    return affinity


def _pod(
    workspace: Workspace, preset: Preset, settings: PlatformSettings, gpus: int
) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
        "securityContext": pod_security_context(),
        "tolerations": gpu_tolerations(),
        "containers": [_server(workspace, preset, settings, gpus)],
        "volumes": _volumes(workspace, preset),
    }
    if preset.weights.kind is WeightsKind.OCI:
        pod["initContainers"] = [_weights_puller(workspace, preset, settings)]
    return pod


def _server(
    workspace: Workspace, preset: Preset, settings: PlatformSettings, gpus: int
) -> dict[str, Any]:
    runtime = runtime_of(workspace, preset)
    devices = {names.GPU_RESOURCE: str(gpus)}
    startup_failures = math.ceil(preset.ready_deadline_seconds / STARTUP_PERIOD_SECONDS)
    return {
        "name": workspace.name,
        "image": full_reference(runtime.image, settings),
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", command_line(workspace, preset, gpus)],
        "ports": [{"name": "http", "containerPort": names.PORT_SERVING, "protocol": "TCP"}],
        "env": _environment({"HOME": PATH_TEMPORARY, **runtime.environment}),
        "resources": {
            "requests": {
                "cpu": runtime.resources.cpu,
                "memory": runtime.resources.memory,
                **devices,
            },
            "limits": devices,
        },
        "startupProbe": _probe(STARTUP_PERIOD_SECONDS, startup_failures, STARTUP_TIMEOUT_SECONDS),
        "readinessProbe": _probe(READINESS_PERIOD_SECONDS, 3, PROBE_TIMEOUT_SECONDS),
        "livenessProbe": _probe(LIVENESS_PERIOD_SECONDS, LIVENESS_FAILURES, PROBE_TIMEOUT_SECONDS),
        # The last lines of the log are the cause that people are shown.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security_context(),
        "volumeMounts": _server_mounts(workspace, preset),
    }


def _weights_puller(
    workspace: Workspace, preset: Preset, settings: PlatformSettings
) -> dict[str, Any]:
    reference = full_reference(preset.weights.reference, settings)
    command = ["python3", _PULLER, "--reference", reference, "--destination", names.PATH_WEIGHTS]
    if settings.registry_plain_http:
        command.append("--plain-http")
    return {
        "name": "weights",
        "image": full_reference(runtime_of(workspace, preset).image, settings),
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": _environment({"HOME": PATH_TEMPORARY}),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security_context(),
        "volumeMounts": [
            {"name": "tmp", "mountPath": PATH_TEMPORARY},
            {"name": "weights", "mountPath": names.PATH_WEIGHTS},
        ],
    }


def _server_mounts(workspace: Workspace, preset: Preset) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "tmp", "mountPath": PATH_TEMPORARY},
        {"name": "shared-memory", "mountPath": PATH_SHARED_MEMORY},
    ]
    if preset.weights.kind is WeightsKind.OCI:
        mounts.append({"name": "weights", "mountPath": names.PATH_WEIGHTS, "readOnly": True})
    if workspace.inference is not None and workspace.inference.config:
        mounts.append({"name": "config", "mountPath": names.PATH_CONFIG, "readOnly": True})
    return mounts


def _volumes(workspace: Workspace, preset: Preset) -> list[dict[str, Any]]:
    shared_memory = runtime_of(workspace, preset).resources.shared_memory
    volumes: list[dict[str, Any]] = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": shared_memory}},
    ]
    if preset.weights.kind is WeightsKind.OCI:
        volumes.append({"name": "weights", "emptyDir": {"sizeLimit": preset.disk}})
    if workspace.inference is not None and workspace.inference.config:
        volumes.append({"name": "config", "configMap": {"name": workspace.inference.config}})
    return volumes


def _environment(variables: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in sorted(variables.items())]


def _probe(period_seconds: int, failures: int, timeout_seconds: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": HEALTH_PATH, "port": "http"},
        "periodSeconds": period_seconds,
        "timeoutSeconds": timeout_seconds,
        "failureThreshold": failures,
    }
