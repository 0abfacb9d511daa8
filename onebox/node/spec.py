"""What a node is: its name, its place in the network, and what it tells Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from onebox import places
from onebox.network import NodeAddresses

SYSTEM_NODE: Final = "onebox-system"
SYSTEM_INDEX: Final = 1

INSIDE: Final = "/run/node"
"""Where a node sees its own folder: short, because the paths of sockets may have 107 characters."""


@dataclass(frozen=True)
class NodeSpec:
    """Everything that decides how a node is started."""

    name: str
    index: int
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    provider_id: str = ""

    @property
    def addresses(self) -> NodeAddresses:
        """Return the node's addresses."""
        return NodeAddresses(self.index)

    @property
    def folder(self) -> Path:
        """Return the node's folder on the host."""
        return places.run() / "nodes" / self.name

    @property
    def cgroup(self) -> str:
        """Return the cgroup that holds the node's processes and pods."""
        return f"kaito-onebox/{self.name}"

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {
            "name": self.name,
            "index": self.index,
            "labels": dict(self.labels),
            "taints": [dict(taint) for taint in self.taints],
            "providerID": self.provider_id,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> NodeSpec:
        """Read a node's spec back."""
        return cls(
            name=kept["name"],
            index=kept["index"],
            labels=kept["labels"],
            taints=tuple(kept["taints"]),
            provider_id=kept["providerID"],
        )


def system_node() -> NodeSpec:
    """Return the node that is always there: no GPU, carries cluster DNS."""
    return NodeSpec(
        name=SYSTEM_NODE,
        index=SYSTEM_INDEX,
        labels={"kaito.sh/onebox-role": "system"},
        provider_id=f"onebox:///{SYSTEM_NODE}",
    )


KUBELET_MAY_SET: Final = frozenset(
    {
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
    }
)


def labels_of_kubelet(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that NodeRestriction lets a kubelet give to its own node.

    The others (`*.kubernetes.io` beyond a short list) are set by the agent with its own rights.
    """
    return {key: value for key, value in labels.items() if _kubelet_may_set(key)}


def _kubelet_may_set(key: str) -> bool:
    domain = key.rpartition("/")[0]
    if key in KUBELET_MAY_SET or domain in {"node.kubernetes.io", "kubelet.kubernetes.io"}:
        return True
    is_reserved = any(
        domain == reserved or domain.endswith(f".{reserved}")
        for reserved in ("kubernetes.io", "k8s.io")
    )
    return not is_reserved
