"""Upstream's tables, to compare ours with: facts of KAITO v0.4.5 and v0.12, copied once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

_FOLDER: Final = Path(__file__).parent


@cache
def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((_FOLDER / name).read_text())
    return content


def models(version: str) -> dict[str, dict[str, Any]]:
    """Return upstream's models of "v0.4.5" or "v0.12" by name."""
    found: dict[str, dict[str, Any]] = _read("upstream_models.yaml")[version]
    return found


def instance_types(version: str, provider: str) -> dict[str, tuple[int, int]]:
    """Return GPUs, and their memory in GiB together, by name of the instance type."""
    found: dict[str, tuple[int, int]] = _read("upstream_instance_types.yaml")[version][provider]
    return found


def names() -> list[str]:
    """Return every name by which a manifest for either version may ask for a model."""
    found = set(models("v0.4.5"))
    for name, model in models("v0.12").items():
        found |= {name, model["huggingFaceId"], *model.get("aliases", ())}
    return sorted(found)
