"""What is wrong with a node, in the words of whoever reports it, put into our own few words.

Clouds, monitoring agents and tools each have conditions, taints and labels of their own. The tables
below name those that are known, with what they mean. Everything else is left alone: a signal that
nobody here understands never condemns a node.

A signal of weight FAULT becomes a loss when it stays (`planner/node_health.py` knows how long), so
it stands only for what its source calls permanent, or repairs by replacing the node itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from planner.fields import text_at
from planner.times import time_from
from planner.world import NodeFault, NodeSignal, SignalWeight

OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"
"""https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown"""

_Meaning = tuple[NodeFault, SignalWeight]

_PREEMPTED: Final = (NodeFault.PREEMPTED, SignalWeight.NOTICE)
_AT_RISK: Final = (NodeFault.PREEMPTED, SignalWeight.WARNING)
_GPU_MISSING: Final = (NodeFault.GPU_MISSING, SignalWeight.FAULT)
_XID: Final = (NodeFault.XID, SignalWeight.FAULT)
_NVLINK: Final = (NodeFault.NVLINK, SignalWeight.FAULT)
_ECC: Final = (NodeFault.ECC, SignalWeight.FAULT)
_HOT: Final = (NodeFault.THERMAL, SignalWeight.WARNING)
_BROKEN: Final = (NodeFault.OTHER, SignalWeight.FAULT)
_ODD: Final = (NodeFault.OTHER, SignalWeight.WARNING)

# --- Conditions that are True when something is wrong ---------------------------------------------

_BAD_WHEN_TRUE: Final[Mapping[str, _Meaning]] = {
    # AKS' node-problem-detector: https://learn.microsoft.com/azure/aks/node-problem-detector
    # ("Node conditions indicate a permanent problem"). A GPU that is throttled still computes, a
    # flapping InfiniBand link hurts only models over several nodes, and of a device plugin that is
    # down the missing GPUs tell.
    "GPUMissing": _GPU_MISSING,
    "NVLinkStatusInactive": _NVLINK,
    "XIDErrors": _XID,
    "IBLinkFlapping": _ODD,
    "GPUClockThrottling": _HOT,
    "UnhealthyNvidiaDevicePlugin": _ODD,
    # AKS tells scheduled events of the machine as conditions of these names. Spot machines get
    # theirs 30 s before (https://learn.microsoft.com/azure/virtual-machines/spot-vms); karpenter-
    # provider-azure keys its spot handling on PreemptionScheduled. Freeze and reboot pass, and a
    # redeployed machine comes back under its name.
    "PreemptionScheduled": _PREEMPTED,
    "PreemptScheduled": _PREEMPTED,
    "TerminateScheduled": _PREEMPTED,
    "RedeployScheduled": _AT_RISK,
    # NVIDIA's NVSentinel: https://docs.nvidia.com/nvsentinel/getting-started/integrations
    "GpuMemWatch": _ECC,
    "GpuNvlinkWatch": _NVLINK,
    "GpuPcieWatch": _BROKEN,
    "GpuDriverWatch": _BROKEN,
    "GpuInforomWatch": _BROKEN,
    "GpuThermalWatch": _HOT,
    "SysLogsXIDError": _XID,
    "SysLogsSXIDError": _NVLINK,
    "SysLogsGPUFallenOff": _GPU_MISSING,
    # Meta's GCM: https://facebookresearch.github.io/gcm/docs/GCM_Health_Checks/kubernetes_deployment
    # Its ECC check counts errors that were corrected too.
    "GcmXidErrorsProblem": _XID,
    "GcmSmiDisconnectedProblem": _GPU_MISSING,
    "GcmDcgmiNvlinkStatusProblem": _NVLINK,
    "GcmDcgmiDiagProblem": _BROKEN,
    "GcmSmiEccProblem": (NodeFault.ECC, SignalWeight.WARNING),
    # https://docs.nebius.com/kubernetes/maintenance/health-checks
    "NebiusGPUError": _BROKEN,
}

_VM_EVENT: Final = "VMEventScheduled"
"""AKS' condition for every kind of scheduled event; what it says of itself tells which."""

_VM_GOES: Final = re.compile(r"preempt|terminat", re.IGNORECASE)

# --- EKS' node monitoring agent: one condition, and a reason --------------------------------------

_EKS_ACCELERATORS: Final = "AcceleratedHardwareReady"
"""https://docs.aws.amazon.com/eks/latest/userguide/node-health.html"""

_EKS_REASONS: Final[Mapping[str, _Meaning]] = {
    "NvidiaDeviceCountMismatch": _GPU_MISSING,
    "NvidiaDoubleBitError": _ECC,
    "NvidiaNVLinkError": _NVLINK,
    "NvidiaFabricError": _NVLINK,
    "FabricManagerNotRunning": _NVLINK,
    "NeuronHBMUncorrectableError": _ECC,
    "NeuronSRAMUncorrectableError": _ECC,
    "NeuronNCUncorrectableError": _ECC,
    "NeuronDMAError": _BROKEN,
}
"""Those for which EKS itself replaces a node. DCGMError and DCGMDiagnosticFailure are not among
them: EKS repairs nothing for those, and the agent says the first when its own DCGM is off."""

_EKS_XID: Final = re.compile(r"NvidiaXID\d*Error")

_CONDITIONS: Final = frozenset({"Ready", _VM_EVENT, _EKS_ACCELERATORS, *_BAD_WHEN_TRUE})
"""Most of a node's conditions are others, and there are thousands of nodes."""

# --- Taints ---------------------------------------------------------------------------------------

_TAINTS: Final[Mapping[str, _Meaning]] = {
    # aws-node-termination-handler: https://github.com/aws/aws-node-termination-handler
    "aws-node-termination-handler/spot-itn": _PREEMPTED,
    "aws-node-termination-handler/asg-lifecycle-termination": _PREEMPTED,
    "aws-node-termination-handler/rebalance-recommendation": _AT_RISK,
    # Reboots are among these events.
    "aws-node-termination-handler/scheduled-maintenance": _AT_RISK,
    # GKE, up to an hour before a machine with GPUs is taken for maintenance.
    "cloud.google.com/impending-node-termination": _PREEMPTED,
    # Azure's cloud provider persists a PreemptScheduled event so:
    # https://cloud-provider-azure.sigs.k8s.io/ (load balancer: administrative state).
    "cloudprovider.azure.microsoft.com/draining": _PREEMPTED,
    # Karpenter, before it drains a node: https://karpenter.sh/docs/concepts/disruption/
    "karpenter.sh/disrupted": _PREEMPTED,
    # cluster-autoscaler, when it removes a node (its DeletionCandidate… taint is only a thought).
    "ToBeDeletedByClusterAutoscaler": _PREEMPTED,
    # NVSentinel's quarantine, under the key that its chart has by default.
    "AggregatedNodeHealth": _BROKEN,
}
"""`kubernetes.azure.com/scalesetpriority=spot` is none: it says how a node is paid for."""

_AKS_REMEDIATOR: Final = "remediator.kubernetes.azure.com/unschedulable"
"""On a spot node: its machine is preempted (https://learn.microsoft.com/azure/aks/node-auto-drain).
On others AKS repairs the node, which often succeeds (…/aks/node-auto-repair)."""

_SPOT_LABELS: Final = (
    ("kubernetes.azure.com/scalesetpriority", "spot"),
    ("karpenter.sh/capacity-type", "spot"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("cloud.google.com/gke-spot", "true"),
)

# --- Labels ---------------------------------------------------------------------------------------

_UNHEALTHY: Final = "unhealthy"

_LABELS: Final = frozenset(
    {
        # AMD's device metrics exporter, one a GPU, and none at all where a GPU is well:
        # https://github.com/ROCm/device-metrics-exporter (it knows 16 GPUs a node at most).
        *(f"metricsexporter.amd.com.gpu.{index}.state" for index in range(16)),
        # NVIDIA's GPU Feature Discovery has no label of health; operators' own scripts write this.
        "nvidia.com/gpu.health",
    }
)

_SHUTTING_DOWN: Final = "node is shutting down"
"""How the kubelet's Ready condition ends in a graceful shutdown (kubelet/nodestatus/setters.go).
On a spot node that is how GKE takes it back: 30 s before, and with no other sign."""


def node_signals(
    conditions: Iterable[tuple[str, Mapping[str, Any]]],
    taints: Iterable[Mapping[str, Any]],
    labels: Mapping[str, str],
) -> Iterator[NodeSignal]:
    """Yield what is known to be wrong with a node.

    Args:
        conditions: Of `status.conditions`, with their types.
        taints: Of `spec.taints`.
        labels: Of the Node.
    """
    is_spot = any(labels.get(key) == value for key, value in _SPOT_LABELS)
    for condition_type, condition in conditions:
        if condition_type not in _CONDITIONS:
            continue
        meaning = _meaning_of_condition(condition_type, condition, is_spot=is_spot)
        if meaning is not None:
            since = time_from(text_at(condition, "lastTransitionTime"))
            yield NodeSignal(*meaning, _source_of(condition_type, condition), since)
    for taint in taints:
        key = text_at(taint, "key")
        meaning = _TAINTS.get(key)
        if key == _AKS_REMEDIATOR:
            meaning = _PREEMPTED if is_spot else _AT_RISK
        if meaning is not None:
            yield NodeSignal(*meaning, f"taint {key}", time_from(text_at(taint, "timeAdded")))
    for key in sorted(_LABELS & labels.keys()):
        if labels[key] == _UNHEALTHY:
            yield NodeSignal(*_BROKEN, f"label {key}={_UNHEALTHY}")


def _meaning_of_condition(
    condition_type: str, condition: Mapping[str, Any], *, is_spot: bool
) -> _Meaning | None:
    status = text_at(condition, "status")
    if condition_type == "Ready":
        is_shutdown = _SHUTTING_DOWN in text_at(condition, "message")
        if status != "False" or not (is_spot and is_shutdown):
            return None if status == "True" else (NodeFault.UNREACHABLE, SignalWeight.FAULT)
        return _PREEMPTED
    if condition_type == _EKS_ACCELERATORS:
        return _meaning_of_eks(text_at(condition, "reason")) if status == "False" else None
    if status != "True":
        return None
    if condition_type == _VM_EVENT:
        said = f"{text_at(condition, 'reason')} {text_at(condition, 'message')}"
        return _PREEMPTED if _VM_GOES.search(said) else _AT_RISK
    return _BAD_WHEN_TRUE.get(condition_type)


def _meaning_of_eks(reason: str) -> _Meaning:
    return _XID if _EKS_XID.fullmatch(reason) else _EKS_REASONS.get(reason, _ODD)


def _source_of(condition_type: str, condition: Mapping[str, Any]) -> str:
    """Return where a condition says what, without its message: that may change all the time."""
    if condition_type == "Ready":
        return "condition Ready"
    reason = text_at(condition, "reason")
    is_telling = reason and reason != condition_type
    return f"condition {condition_type}" + (f" ({reason})" if is_telling else "")
