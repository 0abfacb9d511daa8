"""Manifests of everything that the platform makes for a Workspace.

Pure: the same input gives the same object, down to the order of lists, so that an object can be
compared with one rendered before. What Kubernetes fills in by itself is left out.

    workload      the StatefulSet, of a preset (serving_pod) or of the user's own pods (template)
    serving_pod   command (vllm, transformers, multi_node), resources, probes, volumes, weights,
                  adapters, pods (rights and tolerations), scheduling
    beside it     services, config_map, images, revisions, node_claim, ownership
"""

from planner.render.config_map import render_config_map
from planner.render.images import image_pull_secrets_of, images_of, render_pull_pod
from planner.render.node_claim import render_node_claim
from planner.render.ownership import ownership_labels
from planner.render.revisions import render_controller_revision, rendering_annotations
from planner.render.services import render_headless_service, render_service
from planner.render.workload import render_workload

__all__ = [
    "image_pull_secrets_of",
    "images_of",
    "ownership_labels",
    "render_config_map",
    "render_controller_revision",
    "render_headless_service",
    "render_node_claim",
    "render_pull_pod",
    "render_service",
    "render_workload",
    "rendering_annotations",
]
