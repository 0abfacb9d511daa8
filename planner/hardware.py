"""What accelerators a node has: by the catalogue, else as existing nodes of its type tell.

NVIDIA's GPU feature discovery labels nodes with their GPUs. Those labels are read only where the
catalogue says nothing: an instance type is the same everywhere, and labels come late or never.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from api import names
from api.preset import Accelerator, AcceleratorVendor, Catalogue
from api.workspace import Partition, PartitionMode, Workspace
from planner import mig
from planner.node_matching import requirements_of
from planner.world import NodeFacts, PlatformSettings

MEBIBYTE: Final = 2**20

_DIGITS: Final = re.compile(r"[0-9]{1,9}")


def wanted_instance_type(workspace: Workspace, settings: PlatformSettings) -> str:
    """Return the instance type of new nodes: the spec's, else the installation's default.

    Empty where existing nodes of any type will do.
    """
    if workspace.resource.instance_type or not settings.provisions_nodes:
        return workspace.resource.instance_type
    return settings.default_instance_type


def accelerator_of(
    instance_type: str, catalogue: Catalogue, nodes: Iterable[NodeFacts] = ()
) -> Accelerator | None:
    """Return the accelerators of one node of this type, or None when nobody knows them."""
    known = catalogue.instance_type(instance_type)
    if known is not None:
        return known.accelerator
    if not instance_type:
        return None
    return least_among(
        _labelled(node)
        for node in nodes
        if node.instance_type.casefold() == instance_type.casefold()
    )


def accelerator_for(
    workspace: Workspace,
    settings: PlatformSettings,
    catalogue: Catalogue,
    nodes: Iterable[NodeFacts] = (),
) -> Accelerator | None:
    """Return what each pod of the Workspace has of its node: all accelerators, or the partition.

    Args:
        workspace: Names an instance type, or a selector of existing nodes.
        settings: What the operator of the platform decided.
        catalogue: Knows instance types.
        nodes: Those of the cluster while none are chosen; then those that are. Without an instance
            type, or where a fallback of it was chosen, it is the least of them that decides.
    """
    found = tuple(nodes)
    instance_type = _type_in_question(workspace, settings, found)
    if instance_type:
        accelerator = accelerator_of(instance_type, catalogue, found)
    else:
        accelerator = least_of(matching_nodes(workspace, found), catalogue)
    return partitioned(accelerator, workspace.resource.partition)


def _type_in_question(
    workspace: Workspace, settings: PlatformSettings, nodes: tuple[NodeFacts, ...]
) -> str:
    wanted = wanted_instance_type(workspace, settings)
    present = {node.instance_type.casefold() for node in nodes}
    for fallback in workspace.resource.fallback_instance_types:
        if wanted and present == {fallback.casefold()}:
            return fallback
    return wanted


def accelerator_of_node(node: NodeFacts, catalogue: Catalogue) -> Accelerator | None:
    """Return the accelerators of this very node, or None when nobody knows them."""
    known = catalogue.instance_type(node.instance_type)
    return known.accelerator if known is not None else _labelled(node)


def least_of(nodes: Iterable[NodeFacts], catalogue: Catalogue) -> Accelerator | None:
    """Return what each of the nodes has at least; those without accelerators are left out."""
    return least_among(accelerator_of_node(node, catalogue) for node in nodes)


def matching_nodes(workspace: Workspace, nodes: Iterable[NodeFacts]) -> list[NodeFacts]:
    """Return the nodes that the Workspace's selector matches.

    Whether they are ready does not count: what a node has stays the same while it restarts.
    """
    requirements = requirements_of(workspace)
    return [node for node in nodes if all(one.holds_for(node.labels) for one in requirements)]


def partitioned(accelerator: Accelerator | None, partition: Partition | None) -> Accelerator | None:
    """Return what is left of a node's accelerators when only a part is taken."""
    if partition is None:
        return accelerator
    if partition.mode is PartitionMode.MIG:
        memory = mig.memory_bytes(partition.profile)
        if memory is None:
            return accelerator
        model = f"{accelerator.model if accelerator else 'GPU'} MIG {partition.profile}"
        vendor = AcceleratorVendor.NVIDIA
        return Accelerator(vendor=vendor, model=model, count=1, memory=memory)
    if accelerator is None or partition.count is None or partition.count < 1:
        return accelerator
    # More than a node has is not cut here: a pod that asks for it finds no node, and that is said.
    return accelerator.model_copy(update={"count": partition.count})


def _labelled(node: NodeFacts) -> Accelerator | None:
    """Return what the labels of NVIDIA's GPU feature discovery tell of a node."""
    memory = _number(node.labels.get(names.LABEL_GPU_MEMORY, ""))
    count = _number(node.labels.get(names.LABEL_GPU_COUNT, "")) or node.gpu_capacity
    if not memory or not count:
        return None
    return Accelerator(
        vendor=AcceleratorVendor.NVIDIA,
        model=_model(node.labels.get(names.LABEL_GPU_PRODUCT, "")),
        count=count,
        memory=memory * MEBIBYTE,
    )


def _model(product: str) -> str:
    """Return A100 of NVIDIA-A100-SXM4-80GB; the catalogue calls models so."""
    words = [word for word in product.split("-") if word.casefold() not in {"nvidia", "tesla", ""}]
    return words[0] if words else "GPU"


def _number(text: str) -> int:
    return int(text) if _DIGITS.fullmatch(text) else 0


def least_among(found: Iterable[Accelerator | None]) -> Accelerator | None:
    """Return what every one of them has at least: so many, with so much memory each."""
    known = [one for one in found if one is not None]
    if not known:
        return None
    # By all that they are, so that the same nodes in another order give the same answer.
    smallest = min(known, key=lambda one: (one.memory, one.count, one.model, one.vendor))
    return smallest.model_copy(update={"count": min(one.count for one in known)})
