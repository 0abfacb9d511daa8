"""What the steps of one operation tell each other."""

from __future__ import annotations

from dataclasses import dataclass, field

from api.payloads import WorkspaceRef


@dataclass
class PhaseContext:
    """Findings of earlier steps, for later ones."""

    workspace: WorkspaceRef
    node_names: list[str] = field(default_factory=list)
    """Nodes to run on; empty until the nodes step (or `nodes.find`) has run."""
    pod_names: list[str] = field(default_factory=list)
    """Pods seen ready by the workload step; empty when that step was not needed."""
