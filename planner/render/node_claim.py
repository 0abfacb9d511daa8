"""A NodeClaim: one node that the platform asks for, in Karpenter's terms."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from api import names
from api.payloads import ClaimSpec
from api.preset import Preset
from api.workspace import CapacityType, Workspace
from planner.render.ownership import ownership_labels
from planner.world import PlatformSettings

OUR_NODE_CLASS_KINDS: Final = frozenset({names.NODE_CLASS_KIND_ONEBOX})
"""Kinds of node class whose claims our own NodeClaimWorkflow serves."""

CAPACITY_TYPES: Final[Mapping[CapacityType, tuple[str, ...]]] = MappingProxyType(
    {
        CapacityType.ON_DEMAND: ("on-demand",),
        CapacityType.SPOT: ("spot",),
        # Of several, Karpenter takes spot first by itself.
        CapacityType.SPOT_WITH_FALLBACK: ("on-demand", "spot"),
    }
)
"""What the spec asks for, in the words of Karpenter's requirement."""


def render_node_claim(
    workspace: Workspace, claim: ClaimSpec, preset: Preset | None, settings: PlatformSettings
) -> dict[str, Any]:
    """Return the claim; its labels are those of the node that comes of it."""
    selected_labels = workspace.resource.label_selector.as_labels() or {}
    metadata: dict[str, Any] = {
        "name": claim.name,
        # Ours come last: a selector must not be able to give a node away to somebody else.
        "labels": {
            **selected_labels,
            **ownership_labels(workspace),
            names.LABEL_NODE_POOL: names.NODE_POOL,
        },
        "annotations": _annotations(workspace),
    }
    if _is_served_by_us(settings):
        metadata["finalizers"] = [names.FINALIZER_NODE_CLAIM]
    capacity_type = workspace.resource.capacity_type or CapacityType.ON_DEMAND
    return {
        "apiVersion": f"{names.KARPENTER_GROUP}/{names.KARPENTER_VERSION}",
        "kind": "NodeClaim",
        "metadata": metadata,
        "spec": {
            "nodeClassRef": {
                "group": settings.node_class_group,
                "kind": settings.node_class_kind,
                "name": settings.node_class_name,
            },
            "requirements": [
                _in(names.LABEL_NODE_POOL, names.NODE_POOL),
                _in(names.LABEL_INSTANCE_TYPE, claim.instance_type),
                _in("kubernetes.io/os", "linux"),
                # Said in any case: left out, Karpenter would prefer spot.
                _in(names.LABEL_CAPACITY_TYPE, *CAPACITY_TYPES[capacity_type]),
            ],
            "resources": {"requests": {"ephemeral-storage": preset.disk if preset else "0"}},
            "taints": [
                {
                    "key": names.TAINT_GPU_KEY,
                    "value": names.TAINT_GPU_VALUE,
                    "effect": "NoSchedule",
                }
            ],
        },
    }


def _annotations(workspace: Workspace) -> dict[str, str]:
    # Karpenter must not move a model server to a cheaper node while it answers.
    annotations = {names.ANNOTATION_DO_NOT_DISRUPT: "true"}
    family = workspace.annotations.get(names.ANNOTATION_NODE_IMAGE_FAMILY, "").strip().lower()
    if family:
        annotations[names.ANNOTATION_NODE_IMAGE_FAMILY] = family
    return annotations


def _is_served_by_us(settings: PlatformSettings) -> bool:
    return (
        settings.node_class_group == names.NODE_CLASS_GROUP
        and settings.node_class_kind in OUR_NODE_CLASS_KINDS
    )


def _in(key: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": "In", "values": list(values)}
