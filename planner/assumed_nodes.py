"""Nodes that somebody might have: for a plan on existing nodes without a look at a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api import names
from api.preset import Catalogue
from api.workspace import LabelSelectorRequirement, Workspace
from planner.render.resources import device_resource
from planner.world import NodeFacts, PlatformSettings

ASSUMED_DEVICES: Final = 16
"""GPUs, or slices of them, of a node of which nothing is known: as many as the largest has."""

MAX_ASSUMED_NODES: Final = 1024
"""A count above it is a slip, and a plan may say that there are too few."""

ANY_VALUE: Final = "any"
"""Of a label that only has to be there."""


def assumed_nodes(
    workspace: Workspace, settings: PlatformSettings, catalogue: Catalogue
) -> tuple[NodeFacts, ...]:
    """Return as many nodes as the Workspace could need, each as its spec wants it.

    Args:
        workspace: Names an instance type, or leaves it open.
        settings: How many nodes one instance of a model may span.
        catalogue: Knows how many GPUs a node of the type has.
    """
    resource = workspace.resource
    known = catalogue.instance_type(resource.instance_type)
    device = device_resource(workspace)
    is_sliced = device != names.GPU_RESOURCE
    labels = dict(_labels(workspace))
    return tuple(
        NodeFacts(
            name=name,
            labels=labels,
            is_ready=True,
            gpu_capacity=known.gpu_count if known is not None else ASSUMED_DEVICES,
            mig_capacity={device: ASSUMED_DEVICES} if is_sliced else {},
        )
        for name in _node_names(workspace, settings)
    )


def _node_names(workspace: Workspace, settings: PlatformSettings) -> list[str]:
    resource = workspace.resource
    count = min(max(resource.count, settings.max_nodes_per_instance), MAX_ASSUMED_NODES)
    assumed = (f"assumed-{index:04}" for index in range(count))
    return [*dict.fromkeys(resource.preferred_nodes), *assumed]


def _labels(workspace: Workspace) -> Iterator[tuple[str, str]]:
    """Yield labels by which the selector matches; no node can match one that contradicts itself."""
    resource = workspace.resource
    for requirement in resource.label_selector.match_expressions:
        yield from _label(requirement)
    yield from resource.label_selector.match_labels.items()
    if resource.instance_type:
        yield names.LABEL_INSTANCE_TYPE, resource.instance_type


def _label(requirement: LabelSelectorRequirement) -> Iterator[tuple[str, str]]:
    if requirement.operator == "In" and requirement.values:
        yield requirement.key, requirement.values[0]
    elif requirement.operator == "Exists":
        yield requirement.key, ANY_VALUE
