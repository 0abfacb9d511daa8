"""How the weights come to the model server: fetched before it, by it, or with its image."""

from __future__ import annotations

from typing import Any, Final

from api import names
from api.preset import WeightsKind
from planner.render.pods import container_security_context, environment, own_user
from planner.render.serving import Serving, full_reference, platform_image, preset_options
from planner.render.volumes import TEMPORARY_MOUNT, WEIGHTS_VOLUME
from planner.world import PlatformSettings

PULLER: Final = "/workspace/weights_puller/pull_oci.py"
TOKEN: Final = "HF_TOKEN"  # noqa: S105 - the name of a variable and of a Secret's key
HOME: Final = {"HOME": "/tmp"}  # noqa: S108 - private to the pod


def init_containers(serving: Serving) -> list[dict[str, Any]]:
    """Return the container that fetches weights which are an OCI artifact."""
    if serving.weights_kind is not WeightsKind.OCI:
        return []
    reference = full_reference(serving.preset.weights.reference, serving.settings)
    command = pull_command(reference, names.PATH_WEIGHTS)
    if serving.settings.registry_plain_http:
        command.append("--plain-http")
    return [puller(serving, "weights", command, WEIGHTS_VOLUME, names.PATH_WEIGHTS)]


def pull_command(reference: str, destination: str) -> list[str]:
    """Return the command that brings an artifact of a registry into a folder."""
    return ["python3", PULLER, "--reference", reference, "--destination", destination]


def puller(
    serving: Serving, name: str, command: list[str], volume: str, folder: str
) -> dict[str, Any]:
    """Return an init container that runs our puller, out of an image of ours, into a volume."""
    # The pod of a private image leaves the user open.
    user = own_user() if serving.has_private_image else {}
    return {
        "name": name,
        "image": platform_image(serving.runtime, serving.settings),
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": environment(HOME),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {**container_security_context(), **user},
        "volumeMounts": [dict(TEMPORARY_MOUNT), {"name": volume, "mountPath": folder}],
    }


def download_variables(serving: Serving) -> dict[str, str]:
    """Return what lets a model server fetch the model itself, onto the volume for weights."""
    if serving.weights_kind is not WeightsKind.HUGGING_FACE:
        return {}
    endpoint = serving.settings.hub_endpoint
    return {
        # The libraries' own default is left to them.
        **({"HF_ENDPOINT": endpoint} if endpoint != PlatformSettings.hub_endpoint else {}),
        # One cache for the server's own downloads and those of the libraries under it; it outlives
        # the container, so a restart downloads nothing again.
        "HF_HOME": names.PATH_WEIGHTS,
        "HF_HUB_CACHE": names.PATH_WEIGHTS,
        # Our images forbid the network to the libraries; here it is wanted.
        "HF_HUB_OFFLINE": "0",
        "TRANSFORMERS_OFFLINE": "0",
    }


def token_variables(serving: Serving) -> list[dict[str, Any]]:
    """Return the token that opens a gated model; its value never leaves the Secret."""
    secret = preset_options(serving.workspace).model_access_secret
    if not secret or serving.weights_kind is not WeightsKind.HUGGING_FACE:
        return []
    return [{"name": TOKEN, "valueFrom": {"secretKeyRef": {"name": secret, "key": TOKEN}}}]
