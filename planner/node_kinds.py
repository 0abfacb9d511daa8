"""The kinds of nodes in a cluster, by what accelerators they have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from api.preset import Accelerator, AcceleratorVendor, Catalogue
from planner.hardware import accelerator_of_node, least_among
from planner.world import NodeFacts


@dataclass(frozen=True)
class NodeKinds:
    """What existing nodes have."""

    known: Mapping[str, Accelerator]
    """By the node's name."""
    unknown: frozenset[str]
    """Names of nodes that show GPUs and carry no label that tells which."""

    @classmethod
    def of(cls, nodes: Iterable[NodeFacts], catalogue: Catalogue) -> NodeKinds:
        """Look at each node."""
        known, unknown = {}, set()
        for node in nodes:
            accelerator = accelerator_of_node(node, catalogue)
            if accelerator is not None:
                known[node.name] = accelerator
            elif node.gpu_capacity or node.mig_capacity:
                unknown.add(node.name)
        return cls(known, frozenset(unknown))

    def kinds(self, home: frozenset[str]) -> list[Accelerator]:
        """Return every kind there is, and what nodes of several have at least; least first.

        Several are all of a vendor, or those that the workload is at home on. The order is that of
        what they are, never that in which nodes were listed.
        """
        sets: dict[AcceleratorVendor | str, list[Accelerator]] = {}
        for name, one in self.known.items():
            sets.setdefault(one.vendor, []).append(one)
            if name in home:
                sets.setdefault("home", []).append(one)
        kinds = [*self.known.values()]
        kinds += [least for several in sets.values() if (least := least_among(several)) is not None]
        distinct = {
            (one.count * one.memory, one.count, one.model, one.vendor): one for one in kinds
        }
        return [distinct[key] for key in sorted(distinct)]

    def smaller_than(self, kind: Accelerator) -> frozenset[str]:
        """Return the names of nodes that have less, or nobody knows what."""
        smaller = {
            name
            for name, one in self.known.items()
            if one.vendor is not kind.vendor or one.count < kind.count or one.memory < kind.memory
        }
        return self.unknown | smaller
