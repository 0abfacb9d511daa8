"""Instance types that carry a model: to suggest one where none or too small a one was named."""

from __future__ import annotations

import math
from typing import Final

from api.payloads import InstanceCandidate
from api.preset import Catalogue, Preset, Runtime
from api.workspace import CapacityType
from planner.candidates import price_of
from planner.serving_config import ServingConfig
from planner.sizing import Sizing, size_serving

WITHOUT_BFLOAT16: Final = frozenset({"K80", "M60", "V100", "T4", "T4G"})
"""Models of accelerators older than NVIDIA's Ampere: they may do, but nobody begins with them. (And
T4G sits beside Arm CPUs, for which there are no images.)"""


def fitting_types(
    preset: Preset,
    runtime: Runtime,
    catalogue: Catalogue,
    provider: str,
    *,
    max_nodes: int,
    config: ServingConfig | None = None,
) -> list[InstanceCandidate]:
    """Return a provider's instance types that carry the model, the smallest first.

    The fewest nodes come first, then the lowest list price; types without a price come last.

    Args:
        preset: The model.
        runtime: The server that is to serve it.
        catalogue: Knows instance types.
        provider: Catalogue file of the instance types: azure, aws, …
        max_nodes: Most nodes that one instance may span.
        config: What the user asks of the server.
    """
    found = [
        _candidate(one.name, sizing.nodes_per_instance, catalogue)
        for one in catalogue.instance_types.values()
        if one.provider == provider
        and one.accelerator.vendor in runtime.accelerators
        and one.accelerator.model not in WITHOUT_BFLOAT16
        if isinstance(
            sizing := size_serving(
                preset, runtime, one.accelerator, config or ServingConfig(), max_nodes=max_nodes
            ),
            Sizing,
        )
    ]
    return sorted(found, key=_size)


def _candidate(name: str, nodes: int, catalogue: Catalogue) -> InstanceCandidate:
    price = price_of(name, CapacityType.ON_DEMAND, nodes, catalogue)
    return InstanceCandidate(instance_type=name, nodes=nodes, usd_per_hour=price)


def _size(candidate: InstanceCandidate) -> tuple[int, float, str]:
    price = candidate.usd_per_hour
    return candidate.nodes, math.inf if price is None else price, candidate.instance_type
