"""Which bytes a pod's images were: a tag can be moved, a digest can't."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from planner.fields import objects_at, text_at

_DIGEST: Final = "@sha256:"


def digests_of(pods: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return each image of the pods, as their specs name it, by the digest that a kubelet ran.

    An image that was never in a registry has none, and is left out.
    """
    found: dict[str, str] = {}
    for pod in pods:
        for specs, statuses in (
            ("initContainers", "initContainerStatuses"),
            ("containers", "containerStatuses"),
        ):
            images = {
                text_at(one, "name"): text_at(one, "image")
                for one in objects_at(pod, "spec", specs)
            }
            for status in objects_at(pod, "status", statuses):
                image = images.get(text_at(status, "name"), "")
                # Older runtimes put a scheme in front: "docker-pullable://".
                digest = text_at(status, "imageID").rpartition("://")[2]
                if image and _DIGEST in digest:
                    found[image] = digest
    return found
