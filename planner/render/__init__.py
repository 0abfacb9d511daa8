"""Manifests of everything that the platform makes for a Workspace.

Pure: the same input gives the same object, down to the order of lists, so that an object can be
compared with one rendered before. What Kubernetes fills in by itself is left out.
"""

from planner.render.images import images_of, render_pull_pod
from planner.render.node_claim import render_node_claim
from planner.render.ownership import ownership_labels
from planner.render.revisions import render_controller_revision
from planner.render.services import render_headless_service, render_service
from planner.render.workload import render_workload

__all__ = [
    "images_of",
    "ownership_labels",
    "render_controller_revision",
    "render_headless_service",
    "render_node_claim",
    "render_pull_pod",
    "render_service",
    "render_workload",
]
