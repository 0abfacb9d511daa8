"""What the agent writes to the cluster: the GPUs and labels of its nodes, and their end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from onebox.agent.machine import Machine
from onebox.kube import JSON_PATCH, KubeClient
from onebox.node.spec import labels_of_kubelet

GPU_RESOURCE = "nvidia.com/gpu"
_POINTER = GPU_RESOURCE.replace("/", "~1")


def ensure_announced(kube: KubeClient, machine: Machine) -> bool:
    """Give a registered Node its GPUs and reserved labels; False while it has not registered."""
    path = f"/api/v1/nodes/{quote(machine.name)}"
    node = kube.get(path)
    if node is None or node["spec"].get("providerID") != machine.provider_id:
        return False
    missing = missing_labels(machine, node)
    if missing:
        kube.patch(path, {"metadata": {"labels": missing}})
    patch = gpu_patch(machine.gpu_count, node)
    if patch:
        kube.patch(f"{path}/status", patch, JSON_PATCH)
    return True


def missing_labels(machine: Machine, node: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels that the kubelet may not set and the Node does not have."""
    own = labels_of_kubelet(machine.node.labels)
    present = node["metadata"].get("labels", {})
    return {
        key: value
        for key, value in machine.node.labels.items()
        if key not in own and present.get(key) != value
    }


def gpu_patch(count: int, node: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the JSON patch that announces the GPUs, empty when the Node has them.

    This is Kubernetes' documented way to announce an extended resource without a device plugin;
    the scheduler and the kubelet count it like any other.
    """
    status = node.get("status", {})
    return [
        {"op": "add", "path": f"/status/{part}/{_POINTER}", "value": str(count)}
        for part in ("capacity", "allocatable")
        if status.get(part, {}).get(GPU_RESOURCE) != str(count)
    ]


def delete_node(kube: KubeClient, name: str) -> None:
    """Delete a Node whose machine is gone, and first the pods that can't end by themselves."""
    pods = kube.get(f"/api/v1/pods?fieldSelector={quote(f'spec.nodeName={name}')}") or {}
    for pod in pods.get("items", []):
        metadata = pod["metadata"]
        kube.delete(
            f"/api/v1/namespaces/{quote(metadata['namespace'])}/pods/{quote(metadata['name'])}",
            {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}},
        )
    kube.delete(f"/api/v1/nodes/{quote(name)}")
