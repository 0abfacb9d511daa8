"""Services: the one that people ask, and the one by which replicas find each other."""

from __future__ import annotations

from typing import Any, Final

from api import names
from api.workspace import Workspace
from planner.annotations import is_asked_for
from planner.render.ownership import (
    headless_service_name,
    owned_metadata,
    ownership_labels,
    revision_labels,
)
from planner.sizing import Sizing

POD_NAME_LABEL: Final = "statefulset.kubernetes.io/pod-name"
"""Set by the StatefulSet controller."""


def render_service(
    workspace: Workspace, revision: str, sizing: Sizing | None = None
) -> dict[str, Any]:
    """Return the Service of the Workspace; its selector says which revision gets the traffic.

    Of an instance that spans several nodes, only pod 0 answers. Ray's ports are on no Service:
    whoever reaches them can run code.
    """
    selector = {
        names.LABEL_WORKSPACE: workspace.name,
        names.LABEL_REVISION: revision,
        names.LABEL_ROLE: names.ROLE_INFERENCE,
    }
    if sizing is not None and sizing.nodes_per_instance > 1:
        selector[POD_NAME_LABEL] = names.workload_name(workspace.name, revision) + "-0"
    is_public = wants_load_balancer(workspace)
    ports = [_port("http", names.PORT_SERVICE_HTTP, names.PORT_SERVING)]
    if not is_public:
        # Upstream's; nothing outside the cluster has any business there.
        ports.append(_port("torch", names.PORT_TORCH, names.PORT_TORCH))
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owned_metadata(workspace, workspace.name, revision_labels(workspace, revision)),
        "spec": {
            "type": "LoadBalancer" if is_public else "ClusterIP",
            "selector": selector,
            "ports": ports,
        },
    }


def wants_load_balancer(workspace: Workspace) -> bool:
    """Return whether the annotation asks for an address outside the cluster, in any case."""
    return is_asked_for(workspace, names.ANNOTATION_ENABLE_LOAD_BALANCER)


def render_headless_service(workspace: Workspace) -> dict[str, Any]:
    """Return the headless Service; replicas are found through it before they are ready."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owned_metadata(
            workspace, headless_service_name(workspace), ownership_labels(workspace)
        ),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {
                names.LABEL_WORKSPACE: workspace.name,
                names.LABEL_ROLE: names.ROLE_INFERENCE,
            },
            "ports": [_port("torch", names.PORT_TORCH, names.PORT_TORCH)],
        },
    }


def _port(name: str, port: int, target: int) -> dict[str, Any]:
    return {"name": name, "port": port, "targetPort": target, "protocol": "TCP"}
