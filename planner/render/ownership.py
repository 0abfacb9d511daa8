"""Marks of ownership: by them everything of a Workspace is found again, and garbage collected."""

from __future__ import annotations

from typing import Any, Final

from api import names
from api.workspace import Workspace

API_VERSION: Final = f"{names.GROUP}/{names.STORAGE_VERSION}"


def ownership_labels(workspace: Workspace) -> dict[str, str]:
    """Return the labels that every object made for the Workspace carries."""
    return {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_WORKSPACE: workspace.name,
        names.LABEL_WORKSPACE_NAMESPACE: workspace.namespace,
        names.LABEL_WORKSPACE_UID: workspace.uid,
    }


def revision_labels(workspace: Workspace, revision: str, role: str = "") -> dict[str, str]:
    """Return the labels of an object that belongs to one revision and plays a role in it."""
    labels = {**ownership_labels(workspace), names.LABEL_REVISION: revision}
    if role:
        labels[names.LABEL_ROLE] = role
    return labels


def owned_metadata(workspace: Workspace, name: str, labels: dict[str, str]) -> dict[str, Any]:
    """Return the metadata of an object in the Workspace's namespace that goes when it goes."""
    return {
        "name": name,
        "namespace": workspace.namespace,
        "labels": labels,
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": names.WORKSPACE_KIND,
                "name": workspace.name,
                "uid": workspace.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def headless_service_name(workspace: Workspace) -> str:
    """Return the name of the Service that gives each pod a DNS name."""
    return f"{workspace.name}-headless"
