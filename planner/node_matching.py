"""Which existing nodes a Workspace may use, and why not the others.

A node must be good enough to *begin* on; it takes much more to leave a node that one already runs
on. So there are two questions, `refusal` and `is_lost_to`, and not one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from api import names
from api.workspace import Workspace
from planner.amounts import counted
from planner.node_health import sickness
from planner.world import NodeFacts

MAX_NAMED_NODES: Final = 3
"""Node names in one group of a message; more would bury the sentence."""


@dataclass(frozen=True)
class LabelRequirement:
    """One demand of a label selector: In, NotIn, Exists or DoesNotExist."""

    key: str
    operator: str = "In"
    values: tuple[str, ...] = ()

    def holds_for(self, labels: Mapping[str, str]) -> bool:
        """Judge as Kubernetes does; an operator that it does not know holds for nobody."""
        match self.operator:
            case "In":
                return self.key in labels and labels[self.key] in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
        return False


@dataclass(frozen=True)
class NodeNeed:
    """What a Workspace needs nodes for, and how many."""

    workspace_uid: str
    count: int
    instance_type: str
    """Of new nodes, and of existing ones that are not preferred; empty where any type will do."""
    requirements: tuple[LabelRequirement, ...] = ()
    preferred_nodes: frozenset[str] = frozenset()
    gpus: int = 1
    """GPUs that one pod will ask for."""
    device: str = names.GPU_RESOURCE
    """What they are to Kubernetes: whole GPUs, or MIG slices of one profile."""
    unfit_nodes: frozenset[str] = frozenset()
    """Names of nodes whose accelerators are smaller than those that were planned for."""

    @property
    def device_name(self) -> str:
        """Return what one of them is called in a sentence."""
        return "GPU" if self.device == names.GPU_RESOURCE else self.device


def requirements_of(workspace: Workspace) -> tuple[LabelRequirement, ...]:
    """Return what `resource.labelSelector` demands of a node's labels."""
    selector = workspace.resource.label_selector
    return (
        *(LabelRequirement(key, "In", (value,)) for key, value in selector.match_labels.items()),
        *(
            LabelRequirement(one.key, one.operator, tuple(one.values))
            for one in selector.match_expressions
        ),
    )


def mismatch(node: NodeFacts, need: NodeNeed) -> str:
    """Return why the node is not the kind of node that the spec asks for; empty when it is."""
    if names.LABEL_WORKSPACE_UID in node.labels:
        # Even our own: it lives as long as its claim, and claims are counted as claims.
        return "made for a NodeClaim"
    if not all(requirement.holds_for(node.labels) for requirement in need.requirements):
        return "not matched by resource.labelSelector"
    is_of_type = node.instance_type.casefold() == need.instance_type.casefold()
    if need.instance_type and not is_of_type and node.name not in need.preferred_nodes:
        return "of another instance type"
    if node.name in need.unfit_nodes:
        return "with smaller GPUs"
    return ""


def refusal(node: NodeFacts, need: NodeNeed, gpu_requests: Mapping[str, int]) -> str:
    """Return why a new workload can't begin on the node now; empty when it can."""
    if why := mismatch(node, need):
        return why
    if not node.is_ready or node.is_out_of_service:
        return "not ready"
    if why := sickness(node):
        return f"sick: {why}"
    if not node.is_schedulable or node.blocking_taint:
        return "cordoned or tainted"
    if node.capacity_of(need.device) - gpu_requests.get(node.name, 0) < need.gpus:
        return f"with fewer than {counted(need.gpus, f'free {need.device_name}')}"
    return ""


def is_lost_to(node: NodeFacts, need: NodeNeed, gpu_requests: Mapping[str, int]) -> bool:
    """Return whether a workload that is at home on the node, and not well, must leave it.

    Not being ready is no reason: a node that restarts comes back, and Kubernetes starts no second
    pod of a StatefulSet elsewhere before the first is known to be gone. Removing the Node object,
    or the out-of-service taint, is how an operator says that it won't come back.
    """
    if node.is_out_of_service or mismatch(node, need):
        return True
    # Kubernetes' own taints come and go with the node's state; an operator's means "leave".
    is_tainted = bool(node.blocking_taint) and not node.blocking_taint.startswith(
        "node.kubernetes.io/"
    )
    if not node.is_schedulable or is_tainted:
        return True
    capacity, taken = node.capacity_of(need.device), gpu_requests.get(node.name, 0)
    # A node that shows no GPUs at all restarts its device plugin; others hold none of them.
    return capacity > 0 and capacity - taken < need.gpus


def explain_shortage(
    nodes: Iterable[NodeFacts],
    need: NodeNeed,
    gpu_requests: Mapping[str, int],
    chosen: Sequence[str],
) -> str:
    """Return one paragraph on why there are too few nodes, and what to do."""
    refused: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        if node.name not in chosen:
            refused[refusal(node, need, gpu_requests) or "in use"].append(node.name)
    # Sorted, so that the same world gives the same message on every pass.
    groups = [f"{len(found)} {why} ({_listed(found)})" for why, found in sorted(refused.items())]
    others = f"; of the others: {', '.join(groups)}" if groups else "; there are no other nodes"
    wanted = need.instance_type or "any type"
    devices = counted(need.gpus, need.device_name)
    return (
        f"{counted(need.count, 'node')} of {wanted} with at least {devices} "
        f"needed, {len(chosen)} usable{others}. No nodes are made, because node provisioning is "
        "off: add or free nodes that match resource.labelSelector and resource.instanceType (or "
        "name them in resource.preferredNodes), lower resource.count, or run the platform with a "
        "provisioner"
    )


def _listed(found: Iterable[str]) -> str:
    ordered = sorted(found)
    more = len(ordered) - MAX_NAMED_NODES
    return ", ".join(ordered[:MAX_NAMED_NODES]) + (f" and {more} more" if more > 0 else "")
