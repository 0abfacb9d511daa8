"""The pod of a preset: a model server, with what it needs brought to it first."""

from __future__ import annotations

from typing import Any

from api import names
from planner.render import adapters, multi_node, volumes, weights
from planner.render.command import server_command
from planner.render.draining import TERMINATION_GRACE_SECONDS, lifecycle
from planner.render.images import image_pull_secrets_of
from planner.render.pods import (
    container_security_context,
    environment,
    foreign_container_security_context,
    foreign_pod_security_context,
    pod_security_context,
    secret_references,
    tolerations,
)
from planner.render.probes import http_probes
from planner.render.resources import container_resources, device_resource
from planner.render.serving import Serving, server_image


def serving_pod(serving: Serving) -> dict[str, Any]:
    """Return the spec of the pod; where it may run is not in it."""
    is_foreign = serving.has_private_image
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
        "securityContext": foreign_pod_security_context() if is_foreign else pod_security_context(),
        "tolerations": tolerations(device_resource(serving.workspace)),
        "containers": [_server(serving)],
        "volumes": [*volumes.volumes(serving), *adapters.volumes(serving)],
    }
    first = [*weights.init_containers(serving), *adapters.init_containers(serving)]
    if first:
        pod["initContainers"] = first
    if secrets := image_pull_secrets_of(serving.workspace):
        pod["imagePullSecrets"] = secret_references(secrets)
    return pod


def _server(serving: Serving) -> dict[str, Any]:
    deadline_seconds = serving.preset.ready_deadline_seconds
    probes = multi_node.probes(serving) if serving.is_multi_node else http_probes(deadline_seconds)
    variables = _environment(serving)
    return {
        "name": serving.workspace.name,
        "image": server_image(serving.workspace, serving.runtime, serving.settings),
        "imagePullPolicy": "IfNotPresent",
        "command": server_command(serving),
        "ports": [{"name": "http", "containerPort": names.PORT_SERVING, "protocol": "TCP"}],
        **({"env": variables} if variables else {}),
        "resources": container_resources(serving),
        **probes.as_fields(),
        "lifecycle": lifecycle(serving),
        # The last lines of the log are the cause that people are shown.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": foreign_container_security_context()
        if serving.has_private_image
        else container_security_context(),
        "volumeMounts": [*volumes.mounts(serving), *adapters.mounts(serving)],
    }


def _environment(serving: Serving) -> list[dict[str, Any]]:
    plain = {
        # A private image's own home may hold what its server needs.
        **({} if serving.has_private_image else weights.HOME),
        **weights.download_variables(serving),
        **adapters.strength_variables(serving),
        **serving.runtime.environment,
    }
    found = [*environment(plain), *weights.token_variables(serving)]
    return [*found, *multi_node.environment()] if serving.is_multi_node else found
