"""Services: the one that people ask, and the one by which replicas find each other."""

from __future__ import annotations

from typing import Any

from api import names
from api.workspace import Workspace
from planner.render.ownership import owned_metadata, ownership_labels, revision_labels


def headless_service_name(workspace: Workspace) -> str:
    """Return the name of the Service that gives each replica a DNS name."""
    return f"{workspace.name}-headless"


def render_service(workspace: Workspace, revision: str) -> dict[str, Any]:
    """Return the Service of the Workspace; its selector says which revision gets the traffic."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owned_metadata(workspace, workspace.name, revision_labels(workspace, revision)),
        "spec": {
            "type": "ClusterIP",
            "selector": {
                names.LABEL_WORKSPACE: workspace.name,
                names.LABEL_REVISION: revision,
                names.LABEL_ROLE: names.ROLE_INFERENCE,
            },
            "ports": [
                _port("http", names.PORT_SERVICE_HTTP, names.PORT_SERVING),
                _port("torch", names.PORT_TORCH, names.PORT_TORCH),
            ],
        },
    }


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
