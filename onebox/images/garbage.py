"""A test image whose model server starts, says that it is healthy, and answers garbage.

It is the runtime image's Debian with one small program in the place of ours, so it takes a second
to make. A Workspace that names it as a private image gets pods that are ready at once and whose
`/v1/models` is no list of models: only the step `endpoint` can tell.
"""

from __future__ import annotations

from shutil import copyfile
from typing import Final

from onebox import places
from onebox.images import debian, runtime
from onebox.images.layers import Progress, key_of, pack, sources_of, temporary_folder
from onebox.registry_client import RegistryClient

GARBAGE_IMAGE: Final = "kaito/garbage:1"
"""Relative to onebox's registry."""

PROGRAM: Final = "workspace/vllm/inference_api.py"
"""Where pods start the model server."""

SOURCE: Final = places.REPOSITORY / "onebox" / "images" / "garbage_server.py"


def ensure(registry: RegistryClient, progress: Progress) -> str:
    """Make and push the image unless the registry has it; return its full reference."""
    repository, _, tag = GARBAGE_IMAGE.rpartition(":")
    made_from = f"{tag}-{key_of([SOURCE, *sources_of('debian')])}"
    if not (
        registry.has_manifest(repository, tag) and registry.has_manifest(repository, made_from)
    ):
        cache = runtime.image_cache()
        base = debian.ensure_layer(cache, progress)
        with temporary_folder(cache) as root:
            (root / PROGRAM).parent.mkdir(parents=True)
            copyfile(SOURCE, root / PROGRAM)
            layer = root / "layer.tar"
            pack(root, ["workspace"], layer)
            for name in (tag, made_from):
                registry.push_image(repository, name, [base, layer], _config())
        progress(f"pushed {GARBAGE_IMAGE}")
    return f"{places.REGISTRY}/{GARBAGE_IMAGE}"


def _config() -> dict[str, dict[str, str]]:
    return {"config": {"User": f"{debian.USER_ID}:{debian.USER_ID}", "WorkingDir": "/workspace"}}
