"""Which bytes a pod's images were."""

from __future__ import annotations

from typing import Any

import pytest

from planner.image_digests import digests_of

DIGEST = "registry.test/server@sha256:" + "0" * 64


def pod(image_id: str, image: str = "registry.test/server:1") -> dict[str, Any]:
    return {
        "spec": {"containers": [{"name": "server", "image": image}]},
        # What the runtime says of the image's name may be another tag of the same bytes.
        "status": {"containerStatuses": [{"name": "server", "image": "x", "imageID": image_id}]},
    }


@pytest.mark.parametrize("image_id", [DIGEST, f"docker-pullable://{DIGEST}"])
def test_an_image_is_told_by_the_digest_that_ran(image_id: str) -> None:
    assert digests_of([pod(image_id), pod(image_id)]) == {"registry.test/server:1": DIGEST}


@pytest.mark.parametrize("image_id", ["", "sha256:" + "0" * 64])
def test_an_image_that_was_in_no_registry_has_none(image_id: str) -> None:
    assert digests_of([pod(image_id)]) == {}


def test_images_of_init_containers_count() -> None:
    weights = {
        "spec": {"initContainers": [{"name": "weights", "image": "a:1"}]},
        "status": {"initContainerStatuses": [{"name": "weights", "imageID": DIGEST}]},
    }
    assert digests_of([weights]) == {"a:1": DIGEST}


def test_a_pod_of_odd_types_has_none() -> None:
    assert digests_of([{}, {"spec": None, "status": {"containerStatuses": ["x"]}}]) == {}
