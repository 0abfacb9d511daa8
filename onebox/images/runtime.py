"""The runtime image: Debian, vLLM for CPUs and our two programs, in four layers.

    debian          made by debootstrap                      changes with the suite
    torch           PyTorch, slimmed, compiled               changes with the pins
    site-packages   all other wheels, compiled               changes with the pins
    programs        presets/runtimes, a few kilobytes        changes with our code

The upper layer alone is rebuilt and pushed when a program is edited. What the image was made from
is its label `sh.kaito.inputs`; a pushed image with another label is stale.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from os import chown
from pathlib import Path
from platform import machine
from shutil import copyfile
from typing import Any, Final

from api.images import VLLM_CPU_IMAGE
from onebox import places
from onebox.errors import OneboxError
from onebox.images import debian, site_packages
from onebox.images.layers import (
    Progress,
    forget_stale,
    key_of,
    pack,
    sources_of,
    temporary_folder,
)
from onebox.registry_client import RegistryClient

RUNTIMES: Final = places.REPOSITORY / "presets" / "runtimes"
PROGRAMS: Final = {
    "workspace/vllm/inference_api.py": RUNTIMES / "vllm" / "inference_api.py",
    "workspace/weights_puller/pull_oci.py": RUNTIMES / "weights" / "pull_oci.py",
}
FOLDERS: Final = ("workspace/weights", "mnt/adapter", "mnt/config")
"""Where volumes are mounted; owned by the user, so that a plain run can write them too."""

LABEL_INPUTS: Final = "sh.kaito.inputs"

ENVIRONMENT: Final = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "HOME": "/tmp",  # noqa: S108 - the one folder that a user without a home can write
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    # A pod must never wait for an address outside: weights come by the init container.
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # One process fewer, which would import everything once more: 13 s to ready instead of 21 s, and
    # 600 MB less (measured 2026-11, 2 cores). vLLM wants the extra process to pin OpenMP threads to
    # cores, and a pod with a share of a node's cores has none to pin them to.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}


def ensure(registry: RegistryClient, progress: Progress) -> str:
    """Build and push the image unless the registry has it; return its reference."""
    repository, _, tag = VLLM_CPU_IMAGE.rpartition(":")
    cache = image_cache()
    inputs = inputs_digest()
    pushed = cache / f"pushed-{key_of([registry.base_url, repository, tag, inputs])}"
    if pushed.exists() and registry.has_manifest(repository, pushed.read_text()):
        return VLLM_CPU_IMAGE
    layers = ensure_layers(progress)
    start = time.monotonic()
    digest = registry.push_image(
        repository, tag, layers, image_config(inputs), {LABEL_INPUTS: inputs}
    )
    seconds = time.monotonic() - start
    megabytes = sum(layer.stat().st_size for layer in layers) / 1e6
    progress(f"pushed {VLLM_CPU_IMAGE}: {megabytes:.0f} MB in {seconds:.0f} s")
    # The note says which manifest these inputs became; without it, or with an emptied registry,
    # the image is pushed again, of which only missing layers cost time.
    for note in cache.glob("pushed-*"):
        note.unlink()
    pushed.write_text(digest)
    return VLLM_CPU_IMAGE


def ensure_layers(progress: Progress) -> list[Path]:
    """Return the tars of the image, lowest first, made where the cache lacks them."""
    if machine() != "x86_64":
        raise OneboxError(
            f"the runtime image is for x86-64, and this machine is {machine()}",
            "run onebox on an x86-64 machine",
        )
    cache = image_cache()
    large = site_packages.ensure_layers(
        cache, lambda: debian.ensure_layer(cache, progress), progress
    )
    layers = [debian.ensure_layer(cache, progress), *large, _ensure_programs(cache)]
    forget_stale(cache, layers, now=datetime.now(UTC).timestamp())
    return layers


def image_cache() -> Path:
    """Return the folder of layers and wheels."""
    folder = places.cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def inputs_digest() -> str:
    """Return a digest of all that the image is made from, without making it."""
    return key_of(
        [site_packages.key(), _programs_key(), repr(image_config("")), *sources_of("debian")]
    )


def image_config(inputs: str) -> dict[str, Any]:
    """Return the OCI config: who runs, where, with which environment."""
    return {
        "config": {
            "User": f"{debian.USER_ID}:{debian.USER_ID}",
            "WorkingDir": "/workspace",
            "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
            "Cmd": ["python3", "/workspace/vllm/inference_api.py"],
            "Labels": {LABEL_INPUTS: inputs},
        }
    }


def _programs_key() -> str:
    return key_of([*PROGRAMS, *PROGRAMS.values()])


def _ensure_programs(cache: Path) -> Path:
    target = cache / f"programs-{_programs_key()}.tar"
    if not target.exists():
        with temporary_folder(cache) as root:
            for name, source in PROGRAMS.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                copyfile(source, root / name)
            for name in FOLDERS:
                (root / name).mkdir(parents=True, exist_ok=True)
                chown(root / name, debian.USER_ID, debian.USER_ID)
            pack(root, ["workspace", "mnt"], target, keep_owners=True)
    return target
