"""What a pod asks of its node: accelerators, and enough of everything else to be scheduled right.

A pod has its node's accelerators for itself, so what it asks for of CPU and memory decides little
between model servers; it keeps other pods from crowding it, and the kubelet from ending it first.
So requests are kept low enough for the smallest machines that are sold with an accelerator (4 CPUs,
8 GiB), and there are no limits: a server that is throttled or killed helps nobody.
"""

from __future__ import annotations

from typing import Any, Final

from api import names
from api.preset import RuntimeResources, WeightsKind
from api.workspace import PartitionMode, Workspace
from planner.render.serving import Serving

GIB: Final = 2**30

BASE_CPUS: Final = 1
"""1 CPU for the HTTP server and the engine's scheduler."""
CPUS_PER_GPU: Final = 1
"""1 CPU for each GPU's worker process, which spins while its GPU computes."""

BASE_MEMORY_BYTES: Final = 3 * GIB
"""3 GiB: a server that held 0.3 GiB of weights in main memory took 2.8 GiB (decision 0002)."""
MEMORY_PER_FURTHER_GPU_BYTES: Final = 1 * GIB
"""1 GiB: a worker process with its own Python, PyTorch and CUDA context (a guess)."""
WEIGHTS_IN_FLIGHT: Final = 8
"""A part in 8 of the weights is in main memory at once while they are loaded. A guess: files are
mapped and read shard by shard, and pages that were read can be dropped again."""

SHARED_MEMORY_BYTES: Final = 2 * GIB
"""2 GiB, as in vLLM's own example for Kubernetes: messages between its processes."""
SHARED_MEMORY_PER_FURTHER_GPU_BYTES: Final = 1 * GIB
"""1 GiB: NCCL's buffers to each other GPU of the node. A guess; the 64 MiB that a container has by
itself are too few."""
SHARED_MEMORY_RAY_BYTES: Final = 10 * GIB
"""10 GiB, as in vLLM's own script for Ray clusters: Ray's object store lies there."""

SCRATCH_BYTES: Final = 4 * GIB
"""4 GiB for compiled kernels, logs and whatever else is written (a guess)."""


def device_resource(workspace: Workspace) -> str:
    """Return the name of the device that the node shows: whole GPUs, or slices of one profile."""
    partition = workspace.resource.partition
    if partition is not None and partition.mode is PartitionMode.MIG and partition.profile:
        return f"nvidia.com/mig-{partition.profile}"
    return names.GPU_RESOURCE


def container_resources(serving: Serving) -> dict[str, Any]:
    """Return requests and limits of the model server; devices can't be asked for otherwise."""
    devices = {device_resource(serving.workspace): str(serving.gpus)}
    requests = {**_requests(serving), **devices}
    return {"requests": requests, "limits": devices}


def shared_memory(serving: Serving) -> str:
    """Return the most that `/dev/shm` may take; what is in it counts as the pod's memory."""
    known = serving.runtime.resources
    if known is not None:
        return known.shared_memory
    size = SHARED_MEMORY_BYTES + SHARED_MEMORY_PER_FURTHER_GPU_BYTES * (serving.gpus - 1)
    return _gibibytes(max(size, SHARED_MEMORY_RAY_BYTES) if serving.is_multi_node else size)


def _requests(serving: Serving) -> dict[str, str]:
    known = serving.runtime.resources
    if known is not None:
        return _known_requests(known)
    # Each pod of an instance loads its own part of the weights, but keeps all files.
    weights = serving.preset.model.weights_bytes
    loaded = weights // serving.nodes_per_instance
    memory = (
        BASE_MEMORY_BYTES
        + MEMORY_PER_FURTHER_GPU_BYTES * (serving.gpus - 1)
        + loaded // WEIGHTS_IN_FLIGHT
    )
    disk = SCRATCH_BYTES + (0 if serving.weights_kind is WeightsKind.IMAGE else weights)
    return {
        "cpu": str(BASE_CPUS + CPUS_PER_GPU * serving.gpus),
        "memory": _gibibytes(memory),
        # Better unschedulable at once than evicted in the middle of a download.
        "ephemeral-storage": _gibibytes(disk),
    }


def _known_requests(known: RuntimeResources) -> dict[str, str]:
    return {"cpu": known.cpu, "memory": known.memory}


def _gibibytes(size_bytes: int) -> str:
    return f"{-(-size_bytes // GIB)}Gi"
