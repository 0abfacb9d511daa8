"""A node class of Karpenter: what its machines are made of, apart from their type.

Claims name one; Karpenter's controllers read it. The platform makes one where its operator asked
for that, and never changes one that exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from api import names

AKS_GROUP: Final = "karpenter.azure.com"
AKS_KIND: Final = "AKSNodeClass"
EC2_GROUP: Final = "karpenter.k8s.aws"
EC2_KIND: Final = "EC2NodeClass"

VERSIONS: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {(AKS_GROUP, AKS_KIND): "v1beta1", (EC2_GROUP, EC2_KIND): "v1"}
)
"""API versions of the node classes that we can make: Azure/karpenter-provider-azure 1.x and
aws/karpenter-provider-aws 1.x (read 2026-11)."""

DEFAULT_VERSION: Final = "v1"
"""Of any other provider's node class, unless the operator says another (a guess)."""

DEFAULT_DISK_GIB: Final = 1024
"""1 TiB, as gpu-provisioner's default (facts, control plane B6.3): the largest preset needs 721 GiB
for its weights, and Karpenter takes no type whose disk is smaller than a claim's request."""

MAX_AKS_DISK_GB: Final = 2048
"""Largest `osDiskSizeGB` that AKSNodeClass v1beta1 takes."""

MIN_AKS_DISK_GB: Final = 30
"""Smallest one."""

AKS_IMAGE_FAMILY: Final = "Ubuntu"
"""AKSNodeClass' own default: the newest Ubuntu of the cluster's version. Drivers are AKS' own."""

EC2_IMAGE_ALIAS: Final = "al2023@latest"
"""Amazon Linux 2023; for a GPU's type Karpenter takes its image with NVIDIA's driver. AL2, which
upstream names, gets no images for Kubernetes 1.33 and later."""

EC2_ROOT_DEVICE: Final = "/dev/xvda"
"""Root of Amazon Linux."""

EC2_DISCOVERY_TAG: Final = "karpenter.sh/discovery"
"""By which Karpenter's own guide, and upstream, find subnets and security groups."""

EC2_ROLE_PREFIX: Final = "KarpenterNodeRole-"
"""Followed by the cluster's name: the role that Karpenter's own guide makes, and upstream names."""


@dataclass(frozen=True)
class NodeClass:
    """Which node class claims name, and what to put into it where we are to make it."""

    group: str = AKS_GROUP
    kind: str = AKS_KIND
    name: str = "default"
    version: str = ""
    """Of its API; empty: the one that we know, else `DEFAULT_VERSION`."""
    create: bool = False
    """Make it where it is missing. One that exists is left as it is."""
    disk_gib: int = DEFAULT_DISK_GIB
    image_family: str = ""
    """AKSNodeClass' `imageFamily`, or an alias of EC2NodeClass' `amiSelectorTerms`."""
    cluster_name: str = ""
    """EKS: finds the cluster's subnets and security groups by their tag."""
    role: str = ""
    """EKS: IAM role of the machines; empty: `KarpenterNodeRole-<cluster>`."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """On every machine and disk, for the bill."""

    @property
    def api_version(self) -> str:
        """Return `version`, or what is known of the kind."""
        return self.version or VERSIONS.get((self.group, self.kind), DEFAULT_VERSION)

    @property
    def plural(self) -> str:
        """Return the kind as URLs spell it: each provider's ends with "NodeClass"."""
        return f"{self.kind.lower()}es"

    @property
    def can_be_made(self) -> bool:
        """Whether we know what belongs into it."""
        return (self.group, self.kind) in VERSIONS

    def problem(self) -> str:
        """Return why it can't be made as it is set up, or an empty string."""
        if not self.create:
            return ""
        if not self.can_be_made:
            known = " and ".join(kind for _, kind in VERSIONS)
            return f"only {known} can be created by the platform; {self.kind} must exist already"
        if self.kind == EC2_KIND and not self.cluster_name:
            return f"an {EC2_KIND} finds its subnets by the cluster's name, and none is set"
        if self.kind == AKS_KIND and not MIN_AKS_DISK_GB <= self.disk_gib <= MAX_AKS_DISK_GB:
            return (
                f"an {AKS_KIND} has a disk of {MIN_AKS_DISK_GB} to {MAX_AKS_DISK_GB} GB, "
                f"not {self.disk_gib}"
            )
        return ""


def render_node_class(node_class: NodeClass) -> dict[str, Any]:
    """Return the object to create; `node_class.problem()` must be empty."""
    spec = _aks_spec(node_class) if node_class.kind == AKS_KIND else _ec2_spec(node_class)
    if node_class.tags:
        spec["tags"] = dict(node_class.tags)
    return {
        "apiVersion": f"{node_class.group}/{node_class.api_version}",
        "kind": node_class.kind,
        "metadata": {
            "name": node_class.name,
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
            "annotations": {
                "kubernetes.io/description": "Machines of NodeClaims that kaito-temporal makes"
            },
        },
        "spec": spec,
    }


def _aks_spec(node_class: NodeClass) -> dict[str, Any]:
    # Subnet, identity and Kubernetes version come from Karpenter's own installation.
    return {
        "imageFamily": node_class.image_family or AKS_IMAGE_FAMILY,
        "osDiskSizeGB": node_class.disk_gib,
    }


def _ec2_spec(node_class: NodeClass) -> dict[str, Any]:
    discovery = [{"tags": {EC2_DISCOVERY_TAG: node_class.cluster_name}}]
    return {
        "role": node_class.role or f"{EC2_ROLE_PREFIX}{node_class.cluster_name}",
        "amiSelectorTerms": [{"alias": node_class.image_family or EC2_IMAGE_ALIAS}],
        "subnetSelectorTerms": discovery,
        "securityGroupSelectorTerms": discovery,
        # The disks inside a GPU machine, where it has any, are faster and already paid for.
        "instanceStorePolicy": "RAID0",
        "blockDeviceMappings": [
            {
                "deviceName": EC2_ROOT_DEVICE,
                "ebs": {
                    "volumeSize": f"{node_class.disk_gib}Gi",
                    "volumeType": "gp3",
                    "encrypted": True,
                    "deleteOnTermination": True,
                },
            }
        ],
    }
