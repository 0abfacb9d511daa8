"""A model of Hugging Face as the hub describes it, before anybody judges whether it can be served.

An activity fetches it, `planner.hub_model` makes a preset of it, and only the preset is recorded.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class HubModel(BaseModel):
    """One model at one commit."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    id: str
    """`org/name` as the hub spells it."""
    commit: str
    config: dict[str, Any]
    """Content of config.json; empty when the repository has none."""
    weights_bytes: int
    """Size of the files that a server loads; 0 when there are none."""
    has_safetensors: bool
    gated: bool
    """Its files are only for those who accepted its terms, or who may read a private repository."""
    license: str
    files: tuple[str, ...] = ()
    """Names of the files at the top of the repository."""
