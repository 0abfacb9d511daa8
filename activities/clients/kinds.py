"""Kinds of Kubernetes objects that the platform reads or writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from api import names


@dataclass(frozen=True)
class Kind:
    """Where a kind lives in the API server's URL space."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    is_namespaced: bool = True

    @property
    def api_version(self) -> str:
        """Return `group/version`, or the bare version for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path of one object, or of a collection when `name` is empty.

        An empty namespace names all namespaces of a namespaced kind; only reads may do that.
        """
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.is_namespaced and namespace else ""
        return "/".join(
            part for part in (f"{root}{scope}/{self.plural}", name, subresource) if part
        )


WORKSPACES: Final = Kind(
    names.GROUP, names.STORAGE_VERSION, names.WORKSPACE_PLURAL, names.WORKSPACE_KIND
)
NODE_CLAIMS: Final = Kind(
    names.KARPENTER_GROUP,
    names.KARPENTER_VERSION,
    names.NODE_CLAIM_PLURAL,
    "NodeClaim",
    is_namespaced=False,
)
NODES: Final = Kind("", "v1", "nodes", "Node", is_namespaced=False)
NAMESPACES: Final = Kind("", "v1", "namespaces", "Namespace", is_namespaced=False)
PODS: Final = Kind("", "v1", "pods", "Pod")
SERVICES: Final = Kind("", "v1", "services", "Service")
CONFIG_MAPS: Final = Kind("", "v1", "configmaps", "ConfigMap")
SECRETS: Final = Kind("", "v1", "secrets", "Secret")
EVENTS: Final = Kind("", "v1", "events", "Event")
STATEFUL_SETS: Final = Kind("apps", "v1", "statefulsets", "StatefulSet")
CONTROLLER_REVISIONS: Final = Kind("apps", "v1", "controllerrevisions", "ControllerRevision")
LEASES: Final = Kind("coordination.k8s.io", "v1", "leases", "Lease")
CRDS: Final = Kind(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    is_namespaced=False,
)
