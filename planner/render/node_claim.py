"""A NodeClaim: one node that the platform asks for, in Karpenter's terms."""

from __future__ import annotations

from typing import Any, Final

from api import names
from api.payloads import ClaimSpec
from api.preset import Preset
from api.workspace import CapacityType, Workspace
from planner.annotations import annotation_word
from planner.claim_makers import ANNOTATION_PROVISIONER, NODE_CLASS_KIND_AGENT_POOL
from planner.render.node_class import AKS_KIND, EC2_KIND
from planner.render.ownership import ownership_labels
from planner.world import PlatformSettings

LABEL_ZONE: Final = "topology.kubernetes.io/zone"

OUR_NODE_CLASS_KINDS: Final = frozenset({names.NODE_CLASS_KIND_ONEBOX, NODE_CLASS_KIND_AGENT_POOL})
"""Kinds of node class whose claims our own NodeClaimWorkflow serves."""

_ZONE_SEPARATORS: Final = {AKS_KIND: "-", EC2_KIND: ""}
"""Between region and zone in labels of Karpenter's Nodes: `westus3-1` (Azure), `us-east-1a` (AWS).
Our own provisioners take numbers as they are."""

EXPIRE_AFTER: Final = "Never"
"""For Karpenter, whose CRD says 720h otherwise: after 30 days it would take the node of a model
that answers, whatever `do-not-disrupt` says."""

TERMINATION_GRACE_PERIOD: Final = "10m"
"""For Karpenter, which otherwise waits for ever for a pod that can't be evicted. Ours have left
before the claim is deleted; 10 min as we give our own machines to go."""


def render_node_claim(
    workspace: Workspace, claim: ClaimSpec, preset: Preset | None, settings: PlatformSettings
) -> dict[str, Any]:
    """Return the claim; its labels are those of the node that comes of it."""
    is_ours = is_served_by_us(settings)
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
    if is_ours:
        metadata["finalizers"] = [names.FINALIZER_NODE_CLAIM]
        metadata["annotations"][ANNOTATION_PROVISIONER] = settings.provisioner
    else:
        # Karpenter hands a claim's labels to the kubelet, and no kubelet starts with this one.
        metadata["annotations"][names.LABEL_MANAGED_BY] = metadata["labels"].pop(
            names.LABEL_MANAGED_BY
        )
    return {
        "apiVersion": f"{names.KARPENTER_GROUP}/{names.KARPENTER_VERSION}",
        "kind": "NodeClaim",
        "metadata": metadata,
        "spec": {
            "nodeClassRef": _node_class_ref(workspace, settings),
            "requirements": _requirements(claim, settings),
            "resources": {"requests": {"ephemeral-storage": preset.disk if preset else "0"}},
            "taints": [
                {
                    "key": names.TAINT_GPU_KEY,
                    "value": names.TAINT_GPU_VALUE,
                    "effect": "NoSchedule",
                }
            ],
            **({} if is_ours else _limits_of_karpenter()),
        },
    }


def is_served_by_us(settings: PlatformSettings) -> bool:
    """Return whether claims are served by our own workflows; otherwise Karpenter does it."""
    return (
        settings.node_class_group == names.NODE_CLASS_GROUP
        and settings.node_class_kind in OUR_NODE_CLASS_KINDS
    )


def _node_class_ref(workspace: Workspace, settings: PlatformSettings) -> dict[str, str]:
    name = settings.node_class_name
    if not is_served_by_us(settings):
        name = workspace.annotations.get(names.ANNOTATION_NODE_CLASS_NAME, "").strip() or name
    return {"group": settings.node_class_group, "kind": settings.node_class_kind, "name": name}


def _requirements(claim: ClaimSpec, settings: PlatformSettings) -> list[dict[str, Any]]:
    requirements = [
        _in(names.LABEL_NODE_POOL, names.NODE_POOL),
        _in(names.LABEL_INSTANCE_TYPE, claim.instance_type),
        _in("kubernetes.io/os", "linux"),
        # Said in any case: left out, Karpenter would prefer spot.
        _in(names.LABEL_CAPACITY_TYPE, claim.capacity_type or CapacityType.ON_DEMAND),
    ]
    zone = _zone_label(claim.zone, settings)
    if zone:
        requirements.append(_in(LABEL_ZONE, zone))
    return requirements


def _zone_label(zone: str, settings: PlatformSettings) -> str:
    """Return the zone as Nodes are labelled with it; empty where that is not known.

    The catalogue has its number or letter. Karpenter takes a claim whose zone is no Node's label
    for one that nothing can serve: then it is better to say nothing, and to take any zone.
    """
    separator = _ZONE_SEPARATORS.get(settings.node_class_kind)
    if not zone or separator is None or len(zone) > 1:
        return zone
    return f"{settings.region}{separator}{zone}" if settings.region else ""


def _limits_of_karpenter() -> dict[str, str]:
    return {
        "expireAfter": EXPIRE_AFTER,
        "terminationGracePeriod": TERMINATION_GRACE_PERIOD,
    }


def _annotations(workspace: Workspace) -> dict[str, str]:
    # Karpenter must not move a model server to a cheaper node while it answers.
    annotations = {names.ANNOTATION_DO_NOT_DISRUPT: "true"}
    family = annotation_word(workspace, names.ANNOTATION_NODE_IMAGE_FAMILY)
    if family:
        annotations[names.ANNOTATION_NODE_IMAGE_FAMILY] = family
    return annotations


def _in(key: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": "In", "values": [str(value) for value in values]}
