"""LoRA adapters beside a model: each is a folder under /mnt/adapter, named after the adapter.

An adapter comes out of an image, whose folder /data holds its files (upstream's contract), or lies
on a volume of the user's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from api import names
from api.preset import RuntimeName
from api.workspace import DataSource
from planner.render.serving import Serving
from planner.render.weights import pull_command, puller

IMAGE_FOLDER: Final = "data"
"""Folder of an adapter's image that holds its files."""

PATH_PULLED: Final = "/mnt/pulled"
PATH_CREDENTIALS: Final = "/mnt/credentials"
DOCKER_CONFIG_KEY: Final = ".dockerconfigjson"
"""Key of every Secret of type kubernetes.io/dockerconfigjson."""

_VARIABLE: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
"""What Kubernetes takes for the name of a variable."""


@dataclass(frozen=True)
class ServedAdapter:
    """One adapter of a model server."""

    volume: str
    """By number: a name that is right for a folder may be too long for a volume."""
    source: DataSource
    strength: str | None


def served_adapters(serving: Serving) -> tuple[ServedAdapter, ...]:
    """Return the adapters that can be rendered, in the order of the spec.

    Validation refuses what is left out here: one without a name, an image or a volume, and any for
    a server that loads none.
    """
    inference = serving.workspace.inference
    if inference is None or not serving.runtime.adapters:
        return ()
    return tuple(
        ServedAdapter(f"adapter-{index}", one.source, one.strength)
        for index, one in enumerate(inference.adapters)
        if one.source is not None
        and one.source.name
        and (one.source.image or one.source.volume_source is not None)
    )


def init_containers(serving: Serving) -> list[dict[str, Any]]:
    """Return one container for each adapter that comes out of an image."""
    return [_puller(serving, one) for one in served_adapters(serving) if one.source.image]


def volumes(serving: Serving) -> list[dict[str, Any]]:
    """Return a volume for each adapter, and one for credentials where a pull needs some."""
    found: list[dict[str, Any]] = []
    for one in served_adapters(serving):
        if not one.source.image:
            found.append({**(one.source.volume_source or {}), "name": one.volume})
            continue
        found.append({"name": one.volume, "emptyDir": {}})
        if one.source.image_pull_secrets:
            found.append(_credentials(one))
    return found


def mounts(serving: Serving) -> list[dict[str, Any]]:
    """Return where the model server finds the adapters."""
    return [
        {
            "name": one.volume,
            "mountPath": f"{names.PATH_ADAPTERS}/{one.source.name}",
            **({"subPath": IMAGE_FOLDER} if one.source.image else {}),
            "readOnly": True,
        }
        for one in served_adapters(serving)
    ]


def strength_variables(serving: Serving) -> dict[str, str]:
    """Return how much each adapter counts; the transformers runtime reads it by the folder's name.

    vLLM serves adapters beside the model, not mixed into it, so they have no strength there.
    """
    if serving.runtime.name is not RuntimeName.TRANSFORMERS:
        return {}
    return {
        one.source.name: one.strength
        for one in served_adapters(serving)
        if one.strength is not None and _VARIABLE.fullmatch(one.source.name)
    }


def _puller(serving: Serving, adapter: ServedAdapter) -> dict[str, Any]:
    source = adapter.source
    command = [*pull_command(source.image, PATH_PULLED), "--only", IMAGE_FOLDER]
    if _is_on_plain_registry(serving, source.image):
        command.append("--plain-http")
    for secret in dict.fromkeys(source.image_pull_secrets):
        command += ["--docker-config", f"{PATH_CREDENTIALS}/{secret}/config.json"]
    container = puller(serving, adapter.volume, command, adapter.volume, PATH_PULLED)
    if source.image_pull_secrets:
        container["volumeMounts"].append(
            {"name": _credentials_name(adapter), "mountPath": PATH_CREDENTIALS, "readOnly": True}
        )
    return container


def _is_on_plain_registry(serving: Serving, image: str) -> bool:
    """Whether the image is in the installation's own registry, and that speaks no TLS."""
    settings = serving.settings
    return settings.registry_plain_http and image.startswith(f"{settings.image_registry}/")


def _credentials(adapter: ServedAdapter) -> dict[str, Any]:
    sources = [
        {
            "secret": {
                "name": secret,
                "items": [{"key": DOCKER_CONFIG_KEY, "path": f"{secret}/config.json"}],
            }
        }
        for secret in dict.fromkeys(adapter.source.image_pull_secrets)
    ]
    return {"name": _credentials_name(adapter), "projected": {"sources": sources}}


def _credentials_name(adapter: ServedAdapter) -> str:
    return f"{adapter.volume}-credentials"
