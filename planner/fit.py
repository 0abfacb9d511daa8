"""Whether a Workspace's model fits on nodes: the limits that its spec sets, and what would help."""

from __future__ import annotations

from dataclasses import replace

from api.preset import Accelerator, Preset, Runtime
from api.workspace import PartitionMode, Workspace
from planner.serving_config import ServingConfig
from planner.sizing import DoesNotFit, Sizing, size_serving
from planner.world import PlatformSettings


def fit_model(
    workspace: Workspace,
    preset: Preset,
    runtime: Runtime,
    accelerator: Accelerator | None,
    *,
    config: ServingConfig,
    settings: PlatformSettings,
) -> Sizing | DoesNotFit:
    """Return how one instance of the model is laid over nodes with these accelerators.

    Args:
        workspace: Says whether its pods get slices of GPUs.
        preset: Its model.
        runtime: The server that is to serve it.
        accelerator: Those of one node, after partitioning; None where nobody knows them.
        config: What the user asks of the server (`inference.config`).
        settings: How many nodes one instance may span.
    """
    partition = workspace.resource.partition
    is_slice = partition is not None and partition.mode is PartitionMode.MIG
    # Slices reach each other neither within a GPU nor, with NCCL, from one node to the next.
    max_nodes = 1 if is_slice else settings.max_nodes_per_instance
    found = size_serving(preset, runtime, accelerator, config, max_nodes=max_nodes)
    if is_slice and isinstance(found, DoesNotFit):
        return replace(found, remedy="choose a larger profile, or whole GPUs")
    return found
