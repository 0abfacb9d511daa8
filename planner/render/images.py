"""Images of a revision, and the pod that makes a node's kubelet pull them."""

from __future__ import annotations

from typing import Any

from api import names
from api.preset import Preset
from api.workspace import Workspace
from planner.render.ownership import owned_metadata, revision_labels
from planner.render.pods import (
    container_security_context,
    pod_security_context,
    secret_references,
)
from planner.render.serving import (
    platform_image,
    preset_options,
    require_preset,
    runtime_of,
    server_image,
)
from planner.render.template import template_images, template_of, template_pull_secrets
from planner.world import PlatformSettings


def images_of(workspace: Workspace, preset: Preset | None, settings: PlatformSettings) -> list[str]:
    """Return the images that the workload's pods need, by full reference and in order.

    Weights and adapters that are fetched by a container are none of them: no kubelet pulls those.

    Raises:
        UnknownPreset: the catalogue has the model no more.
        FeatureNotAvailable: the model has no such runtime.
    """
    if template_of(workspace) is not None:
        return sorted(set(template_images(workspace)))
    runtime = runtime_of(workspace, require_preset(workspace, preset))
    images = {server_image(workspace, runtime, settings)}
    if _pulls_adapters(workspace):
        images.add(platform_image(runtime, settings))
    return sorted(images)


def image_pull_secrets_of(workspace: Workspace) -> list[str]:
    """Return the names of the Secrets by which kubelets pull the images.

    Those of an adapter are not among them: a container pulls it, and has them mounted.
    """
    if template_of(workspace) is not None:
        return template_pull_secrets(workspace)
    return list(preset_options(workspace).image_pull_secrets)


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
    spec: dict[str, Any] = {
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
                # An image without the program fails to start it, and is on the node all the same.
                "command": ["/bin/true"],
                "securityContext": container_security_context(),
            }
            for number, image in enumerate(images_of(workspace, preset, settings))
        ],
    }
    if secrets := image_pull_secrets_of(workspace):
        spec["imagePullSecrets"] = secret_references(secrets)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": owned_metadata(
            workspace, name, revision_labels(workspace, revision, names.ROLE_IMAGE_PULL)
        ),
        "spec": spec,
    }


def _pulls_adapters(workspace: Workspace) -> bool:
    adapters = workspace.inference.adapters if workspace.inference is not None else ()
    return any(one.source is not None and one.source.image for one in adapters)
