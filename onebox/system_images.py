"""The pause and CoreDNS images: one static program each, so one layer each."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from api.images import COREDNS_IMAGE, PAUSE_IMAGE
from onebox import binaries
from onebox.registry_client import RegistryClient

PROGRAM_OF_IMAGE: Final = {PAUSE_IMAGE: "pause", COREDNS_IMAGE: "coredns"}
BUILT_FROM: Final = "sh.kaito.onebox.built-from"
"""Label of the image config: the version key of the program inside."""


def ensure(client: RegistryClient, say: Callable[[str], None]) -> None:
    """Push what the registry lacks; a program that was built anew is pushed anew."""
    for reference, program in PROGRAM_OF_IMAGE.items():
        repository, tag = reference.rsplit(":", 1)
        key = binaries.path(program).parent.name
        if client.has_manifest(repository, key) and client.has_manifest(repository, tag):
            continue
        push(client, reference, key)
        say(f"pushed {reference}")


def push(client: RegistryClient, reference: str, key: str) -> None:
    """Pack a program as an image and push it."""
    repository, tag = reference.rsplit(":", 1)
    program = PROGRAM_OF_IMAGE[reference]
    with tempfile.TemporaryDirectory() as folder:
        layer = Path(folder) / "layer.tar"
        write_layer(layer, program, binaries.path(program).read_bytes())
        for name in (tag, key):
            client.push_image(repository, name, [layer], image_config(program, key))


def write_layer(target: Path, program: str, content: bytes) -> None:
    """Write a tar with one executable; the same program gives the same bytes."""
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo(program)
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))


def image_config(program: str, key: str) -> dict[str, Any]:
    """Render the OCI image config."""
    return {
        "config": {
            "Entrypoint": [f"/{program}"],
            "Env": ["PATH=/"],
            "Labels": {BUILT_FROM: key},
            "WorkingDir": "/",
        }
    }
