"""What all pods have in common: tolerations for GPU nodes, and as few rights as possible."""

from __future__ import annotations

from typing import Any, Final

from api import names

USER_ID: Final = 1000
"""The runtime images are built for this user."""


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


def gpu_tolerations() -> list[dict[str, str]]:
    """Return tolerations for the taints that GPU nodes carry: ours, and the usual one."""
    return [
        {"key": names.GPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"},
        {
            "key": names.TAINT_GPU_KEY,
            "operator": "Equal",
            "value": names.TAINT_GPU_VALUE,
            "effect": "NoSchedule",
        },
    ]
