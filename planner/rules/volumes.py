"""What rules ask of a volume that is written as in a pod."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from planner.fields import value_at
from planner.rules.base import Fault, quote, suggest
from planner.syntax import is_object_name

KINDS: Final = (
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "photonPersistentDisk",
    "portworxVolume",
    "projected",
    "quobyte",
    "rbd",
    "scaleIO",
    "secret",
    "storageos",
    "vsphereVolume",
)
"""Fields of a VolumeSource in Kubernetes 1.36."""

COMMON_KINDS: Final = ("persistentVolumeClaim", "nfs", "csi", "hostPath")


def volume_fault(source: Mapping[str, Any] | None) -> Fault | None:
    """Return what is wrong with a volume's source; None when there is none, or all is well."""
    if source is None:
        return None
    kinds = [kind for kind, fields in source.items() if fields is not None]
    if len(kinds) != 1:
        return Fault(
            f"{len(kinds)} kinds of volume are given" if kinds else "no kind of volume is given",
            f"give one: {', '.join(COMMON_KINDS)} or another",
        )
    kind = kinds[0]
    if kind not in KINDS:
        return Fault(f"there is no kind of volume {quote(kind)}", suggest(kind, list(KINDS)))
    if not isinstance(source[kind], Mapping):
        return Fault(f"{kind} holds no fields", "write it as in a pod's volumes")
    if kind == "persistentVolumeClaim":
        return _claim_fault(value_at(source, kind, "claimName"))
    return None


def _claim_fault(claim: object) -> Fault | None:
    if isinstance(claim, str) and is_object_name(claim):
        return None
    told = f"{quote(claim)} can't be" if isinstance(claim, str) and claim else "nothing says"
    return Fault(
        f"{told} the name of the claim",
        "set persistentVolumeClaim.claimName to a claim of the Workspace's namespace",
    )
