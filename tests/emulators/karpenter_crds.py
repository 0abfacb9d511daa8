"""CRDs of a cluster that has Karpenter: as strict as Karpenter's own where claims could offend.

Written anew from the rules that kubernetes-sigs/karpenter 1.x and its providers publish, and only
as far as they can refuse or change what the platform writes.
"""

from __future__ import annotations

from typing import Any, Final

_TAINT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["effect", "key"],
    "properties": {
        "key": {"type": "string", "minLength": 1},
        "value": {"type": "string"},
        "effect": {"type": "string", "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
    },
}

_NODE_CLAIM_SPEC: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["nodeClassRef", "requirements"],
    "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "spec is immutable"}],
    "properties": {
        "expireAfter": {
            "type": "string",
            "default": "720h",
            "pattern": r"^(([0-9]+(s|m|h))+)|(Never)$",
        },
        "terminationGracePeriod": {"type": "string", "pattern": r"^([0-9]+(s|m|h))+$"},
        "nodeClassRef": {
            "type": "object",
            "required": ["group", "kind", "name"],
            "properties": {
                "group": {"type": "string", "minLength": 1, "pattern": "^[^/]*$"},
                "kind": {"type": "string", "minLength": 1},
                "name": {"type": "string", "minLength": 1},
            },
        },
        "requirements": {
            "type": "array",
            "maxItems": 100,
            "items": {
                "type": "object",
                "required": ["key", "operator"],
                "properties": {
                    "key": {
                        "type": "string",
                        "maxLength": 316,
                        "x-kubernetes-validations": [
                            {
                                "rule": (
                                    "self in ['karpenter.sh/capacity-type',"
                                    " 'karpenter.sh/nodepool']"
                                    " || !self.startsWith('karpenter.sh/')"
                                ),
                                "message": 'label domain "karpenter.sh" is restricted',
                            },
                            {
                                "rule": (
                                    "self in ['topology.kubernetes.io/zone', 'kubernetes.io/os',"
                                    " 'kubernetes.io/arch']"
                                    " || self.startsWith('node.kubernetes.io/')"
                                    " || !self.find('^([^/]+)').endsWith('kubernetes.io')"
                                ),
                                "message": 'label domain "kubernetes.io" is restricted',
                            },
                        ],
                    },
                    "operator": {
                        "type": "string",
                        "enum": ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"],
                    },
                    "values": {
                        "type": "array",
                        "maxItems": 100,
                        "items": {"type": "string", "maxLength": 63},
                    },
                },
            },
        },
        "resources": {
            "type": "object",
            "properties": {
                "requests": {
                    "type": "object",
                    "additionalProperties": {
                        "anyOf": [{"type": "integer"}, {"type": "string"}],
                        "x-kubernetes-int-or-string": True,
                    },
                }
            },
        },
        "taints": {"type": "array", "items": _TAINT},
        "startupTaints": {"type": "array", "items": _TAINT},
    },
}

_AKS_SPEC: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "imageFamily": {
            "type": "string",
            "default": "Ubuntu",
            "enum": ["Ubuntu", "Ubuntu2204", "Ubuntu2404", "AzureLinux"],
        },
        "osDiskSizeGB": {"type": "integer", "default": 128, "minimum": 30, "maximum": 2048},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}

_TERMS: Final[dict[str, Any]] = {
    "type": "array",
    "minItems": 1,
    "maxItems": 30,
    "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
}

_EC2_SPEC: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["amiSelectorTerms", "securityGroupSelectorTerms", "subnetSelectorTerms"],
    "x-kubernetes-validations": [
        {
            "rule": "has(self.role) != has(self.instanceProfile)",
            "message": "must specify exactly one of ['role', 'instanceProfile']",
        }
    ],
    "properties": {
        "role": {"type": "string", "minLength": 1},
        "instanceProfile": {"type": "string", "minLength": 1},
        "amiSelectorTerms": _TERMS,
        "subnetSelectorTerms": _TERMS,
        "securityGroupSelectorTerms": _TERMS,
        "instanceStorePolicy": {"type": "string", "enum": ["RAID0"]},
        "blockDeviceMappings": {
            "type": "array",
            "maxItems": 50,
            "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


def node_claim_crd() -> dict[str, Any]:
    """Return Karpenter's own CRD of NodeClaims, in place of which our chart's is left out."""
    return _crd("karpenter.sh", "v1", "NodeClaim", "nodeclaims", _NODE_CLAIM_SPEC)


def aks_node_class_crd() -> dict[str, Any]:
    """Return the CRD of Azure's provider."""
    return _crd("karpenter.azure.com", "v1beta1", "AKSNodeClass", "aksnodeclasses", _AKS_SPEC)


def ec2_node_class_crd() -> dict[str, Any]:
    """Return the CRD of AWS' provider."""
    return _crd("karpenter.k8s.aws", "v1", "EC2NodeClass", "ec2nodeclasses", _EC2_SPEC)


def _crd(group: str, version: str, kind: str, plural: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
            },
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "required": ["spec"],
                            "properties": {
                                "spec": spec,
                                "status": {
                                    "type": "object",
                                    "x-kubernetes-preserve-unknown-fields": True,
                                },
                            },
                        }
                    },
                }
            ],
        },
    }
