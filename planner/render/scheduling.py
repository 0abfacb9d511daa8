"""Where pods may run: on the nodes that the plan chose, one a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

HOSTNAME: Final = "kubernetes.io/hostname"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


def affinity(
    node_names: Sequence[str], selector: Mapping[str, str], replicas: int
) -> dict[str, Any]:
    """Return the affinity of pods that this selector finds, for these nodes in any order."""
    found = {"nodeAffinity": node_affinity(node_names)}
    if replicas > 1:
        found["podAntiAffinity"] = {_REQUIRED: [apart(selector)]}
    return found


def node_affinity(node_names: Sequence[str]) -> dict[str, Any]:
    """Return the affinity to these nodes and no others."""
    # By the node's name and not by its hostname label: clouds exist where the two differ. A term
    # may name one node only, and any of the terms will do.
    terms = [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}
        for name in sorted(node_names)
    ]
    return {_REQUIRED: {"nodeSelectorTerms": terms}}


def apart(selector: Mapping[str, str]) -> dict[str, Any]:
    """Return the term that keeps pods one a node, also where a node has GPUs for two."""
    return {"labelSelector": {"matchLabels": dict(selector)}, "topologyKey": HOSTNAME}


def joined_affinity(
    own: Mapping[str, Any], node_names: Sequence[str], selector: Mapping[str, str], replicas: int
) -> dict[str, Any]:
    """Return the affinity of a user's own pods: their wishes, on our nodes.

    Their wishes about nodes are dropped, since the plan chose the nodes by `resource`.
    """
    found = {**own, "nodeAffinity": node_affinity(node_names)}
    if replicas > 1:
        theirs = own.get("podAntiAffinity")
        theirs = theirs if isinstance(theirs, Mapping) else {}
        required = theirs.get(_REQUIRED)
        required = required if isinstance(required, list) else []
        found["podAntiAffinity"] = {**theirs, _REQUIRED: [*required, apart(selector)]}
    return found
