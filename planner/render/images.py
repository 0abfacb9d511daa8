"""Images of a revision, and the pod that makes a node's kubelet pull them."""

from __future__ import annotations

from typing import Any

from api import names
from api.preset import Preset
from api.workspace import Workspace
from planner.render.ownership import owned_metadata, revision_labels
from planner.render.pods import container_security_context, pod_security_context
from planner.render.serving import full_reference, require_preset, runtime_of
from planner.world import PlatformSettings


def images_of(workspace: Workspace, preset: Preset | None, settings: PlatformSettings) -> list[str]:
    """Return the images that the workload's pods need, by full reference.

    Weights that are an OCI artifact are none of them: no kubelet can pull them.
    """
    runtime = runtime_of(workspace, require_preset(workspace, preset))
    return [full_reference(runtime.image, settings)]


def render_pull_pod(  # noqa: PLR0917 - the signature that activities call
    workspace: Workspace,
    preset: Preset | None,
    revision: str,
    node_name: str,
    index: int,
    settings: PlatformSettings,
) -> dict[str, Any]:
    """Return a pod that needs every image of the revision on this node, and ends at once.

    It is bound to the node directly: it must get there whatever the node's GPUs and taints say.
    """
    name = f"{names.workload_name(workspace.name, revision)}-pull-{index}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": owned_metadata(
            workspace, name, revision_labels(workspace, revision, names.ROLE_IMAGE_PULL)
        ),
        "spec": {
            "nodeName": node_name,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": pod_security_context(),
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": f"image-{number}",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/bin/true"],
                    "securityContext": container_security_context(),
                }
                for number, image in enumerate(images_of(workspace, preset, settings))
            ],
        },
    }
