"""What all pods have in common: tolerations for GPU nodes, and as few rights as possible."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from api import names

USER_ID: Final = 1000
"""The runtime images are built for this user."""

SPOT_TAINT_KEY: Final = "kubernetes.azure.com/scalesetpriority"
SPOT_TAINT_VALUE: Final = "spot"
"""AKS puts this taint on its spot nodes."""


def pod_security_context() -> dict[str, Any]:
    """Return what Pod Security's profile `restricted` asks of a pod."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        # Makes emptyDir volumes writable for the user.
        "fsGroup": USER_ID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security_context() -> dict[str, Any]:
    """Return what the same profile asks of a container, and a root file system that stays as is."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def foreign_pod_security_context() -> dict[str, Any]:
    """Return what can be asked of a pod whose image is the user's: it may be made for any user."""
    return {
        # Files that our own init containers bring belong to this group as well.
        "fsGroup": USER_ID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def foreign_container_security_context() -> dict[str, Any]:
    """Return the same for its container, which may also write where it pleases in itself."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def own_user() -> dict[str, Any]:
    """Return the user of our programs, for a container in a pod that leaves it open."""
    return {"runAsNonRoot": True, "runAsUser": USER_ID, "runAsGroup": USER_ID}


def tolerations(resource: str = names.GPU_RESOURCE) -> list[dict[str, str]]:
    """Return tolerations for the taints of nodes that pods of ours may run on.

    Those of spot nodes are always among them: the plan chooses the nodes, and an edit of
    `capacityType` must restart no pod.
    """
    resources = sorted({names.GPU_RESOURCE, resource})
    return [
        *({"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in resources),
        _tolerate(names.TAINT_GPU_KEY, names.TAINT_GPU_VALUE),
        _tolerate(SPOT_TAINT_KEY, SPOT_TAINT_VALUE),
    ]


def _tolerate(key: str, value: str) -> dict[str, str]:
    return {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}


def environment(variables: dict[str, str]) -> list[dict[str, Any]]:
    """Return variables as a container takes them, in the order of their names."""
    return [{"name": name, "value": value} for name, value in sorted(variables.items())]


def secret_references(secret_names: Iterable[str]) -> list[dict[str, str]]:
    """Return names of Secrets as a pod refers to them, each once and in their order."""
    return [{"name": name} for name in dict.fromkeys(secret_names)]
