"""The two large layers: PyTorch, and all other wheels, slimmed and compiled.

    wheels  ->  one tree  ->  slim torch  ->  compile what a start imports  ->  two tars

They are of one size, so that a node unpacks the first while it still loads the second. Files count
more than bytes: a node needs longer for ten thousand small ones than for a gigabyte (measured
2026-11 on ext4), so only what a start imports is compiled.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import rmtree
from typing import Final

from onebox import places
from onebox.images import debian, torch_cpu, wheels
from onebox.images.elf_compact import compact
from onebox.images.layers import (
    Progress,
    fast_folder,
    key_of,
    pack,
    run_in_root,
    sources_of,
    timed,
    unpacked,
)

REQUIREMENTS: Final = places.REPOSITORY / "presets/runtimes/vllm/requirements-cpu.txt"
FOLDER: Final = "usr/local/lib/python3.11/dist-packages"
"""Where Debian's Python looks without being told."""

UNWANTED: Final = re.compile(
    r"^torch/(include|share|bin/(?!torch_shm_manager))|\.(a|pyi|pxd|h|hpp|cuh|cu)$"
    r"|^(numpy|sympy|networkx|mpmath)/(.*/)?tests?/"
    r"|^pycountry/locales/|^nvidia/(?!.*libcudart)"
)
"""Headers, stubs, test suites and translations: nothing that serving opens."""

IMPORTED: Final = (
    "uvloop",
    "vllm.entrypoints.launchers.api_server.entry",
    "vllm.entrypoints.launchers.cli_args",
    "vllm.entrypoints.serve.utils.api_utils",
    "vllm.v1.engine.core",
    "vllm.v1.executor.uniproc_executor",
    "vllm.v1.worker.cpu_worker",
    "vllm.model_executor.model_loader.default_loader",
    "vllm.model_executor.models.llama",
)
"""Importing these imports nine tenths of what a start does."""

COMPILED_WHOLE: Final = (
    "compressed_tensors",
    "httptools",
    "jmespath",
    "loguru",
    "model_hosting_container_standards",
    "prometheus_fastapi_instrumentator",
    "pydantic",
    "setproctitle",
    "starlette",
    "uvicorn",
    "vllm/distributed",
    "vllm/entrypoints",
    "vllm/model_executor/layers",
    "vllm/plugins",
    "vllm/renderers",
    "vllm/transformers_utils",
    "vllm/utils",
    "vllm/v1",
    "websockets",
)
"""Where the other tenth lies: what is imported only once a model or a server is there."""

IMPORT_TIMEOUT_SECONDS: Final = 600
"""30 s measured without compiled files; the rest is for a machine that builds beside it."""


def key() -> str:
    """Return the key of both layers."""
    modules = ("debian", "elf", "elf_compact", "site_packages", "torch_cpu", "wheels")
    return key_of([REQUIREMENTS, *sources_of(*modules)])


def ensure_layers(cache: Path, lowest: Callable[[], Path], progress: Progress) -> list[Path]:
    """Return the tars of both layers, made if the cache lacks one.

    Args:
        cache: The folder of layers.
        lowest: Makes the layer whose Python compiles; it runs beside the download.
        progress: Is told each step with its seconds.
    """
    torch, others = (cache / f"{name}-{key()}.tar" for name in ("torch", "site-packages"))
    if not (torch.exists() and others.exists()):
        folder = cache / f"wheels-{key_of([REQUIREMENTS])}"
        with ThreadPoolExecutor(max_workers=1) as pool:
            downloaded = pool.submit(_download, folder, progress)
            below = lowest()
            downloaded.result()
        what = "site-packages: unpacked, slimmed, compiled"
        timed(progress, what, lambda: _make(below, folder, torch, others))
        rmtree(folder)
    return [torch, others]


def _download(folder: Path, progress: Progress) -> None:
    start = time.monotonic()
    wheels.download(REQUIREMENTS, folder)
    megabytes = sum(wheel.stat().st_size for wheel in folder.iterdir()) / 1e6
    progress(f"wheels of vLLM: {megabytes:.0f} MB in {time.monotonic() - start:.0f} s")


def _make(below: Path, wheel_folder: Path, torch: Path, others: Path) -> Path:
    with unpacked([below], fast_folder(others.parent)) as root:
        tree = root / FOLDER
        wheels.unpack(sorted(wheel_folder.glob("*.whl")), tree, UNWANTED)
        torch_cpu.slim(tree / "torch")
        for library in (tree / "vllm").glob("_C*.so"):
            compacted = library.with_suffix(".compact")
            compact(library, compacted, frozenset())
            compacted.rename(library)
        whole = [f"/{FOLDER}/{name}" for name in COMPILED_WHOLE]
        debian.compile_python(root, [*_imported_files(root), *whole])
        pack(root, [f"{FOLDER}/torch"], torch)
        pack(root, [FOLDER], others, without=[f"{FOLDER}/torch"])
    return others


def _imported_files(root: Path) -> list[str]:
    """Import what a start imports, inside the root, and return the files that it came from.

    This is also the build's own test: a stand-in or a cut that broke a library fails here.
    """
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "files = {getattr(m, '__file__', None) or '' for m in list(sys.modules.values())}\n"
        f"print('\\n'.join(sorted(f for f in files if f.startswith('/{FOLDER}/'))))"
    )
    output = run_in_root(
        root,
        ["python3", "-B", "-c", code, *IMPORTED],
        timeout_seconds=IMPORT_TIMEOUT_SECONDS,
        environment={"HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"},
    )
    lines = output.splitlines()
    return [line for line in lines if line.startswith(f"/{FOLDER}/") and line.endswith(".py")]
