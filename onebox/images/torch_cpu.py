"""Makes PyTorch's CUDA build, the only one on the package registry, small enough to pull.

Its CPU code is the same as in the CPU build. What a CPU never uses is GPU machine code (310 MB),
the linker's symbols (160 MB), and NVIDIA's own libraries (3 GB installed), for which one stand-in
of a few kilobytes takes all the names. NVIDIA's CUDA run-time stays real: it is what truthfully
says "no driver on this machine".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from onebox.images.elf import Symbol, missing_symbols, read_library, write_stand_in
from onebox.images.elf_compact import compact

REAL_CUDA: Final = "libcudart.so.13"
STAND_IN: Final = "libnvidia_stand_in.so"
NVIDIA_FILES: Final = re.compile(r"lib(cu|nccl|nv)")
NVIDIA_NAMES: Final = re.compile(
    r"(nccl|cuFile|cusparseLt|curand|cublas|cufft|cudnn|cupti|nvrtc|nvshmem)[A-Za-z_]"
)
"""C functions that NVIDIA's libraries export without a version."""

OPENED_ON_A_GPU_ONLY: Final = ("libtorch_cuda_linalg.so", "libcaffe2_nvrtc.so")
"""Opened by name at the first use of a GPU."""

COMPACTED: Final = (
    "libtorch_cpu.so",
    "libtorch_cuda.so",
    "libtorch_python.so",
    "libtorch_nvshmem.so",
)
GPU_CODE: Final = frozenset({".nv_fatbin", "__nv_relfatbin"})

MESSAGE: Final = "an NVIDIA function was called, but this image serves from the CPU and has none"


def slim(torch: Path) -> int:
    """Slim an unpacked `torch` package in place; return the bytes saved beside NVIDIA's wheels.

    `libcudart.so.13` must lie in `torch/lib` already or come to the loader otherwise.
    """
    folder = torch / "lib"
    saved = 0
    for name in OPENED_ON_A_GPU_ONLY:
        saved += (folder / name).stat().st_size
        (folder / name).unlink()
    files = [
        path for path in (*folder.glob("*.so"), *torch.glob("_C*.so")) if not path.is_symlink()
    ]
    libraries = [read_library(path) for path in files]
    needed = {name for library in libraries for name in library.needed}
    present = {path.name for path in files}
    absent = {n for n in needed if NVIDIA_FILES.match(n) and n != REAL_CUDA and n not in present}
    versions = {
        version
        for library in libraries
        for file, version in library.versions_needed
        if file in absent
    }
    symbols: set[Symbol] = missing_symbols(libraries, absent, NVIDIA_NAMES)
    write_stand_in(folder / STAND_IN, symbols, versions, MESSAGE)
    for name in sorted(absent):
        (folder / name).symlink_to(STAND_IN)
    for name in COMPACTED:
        compacted = folder / f"{name}.compact"
        saved += compact(folder / name, compacted, GPU_CODE)
        compacted.chmod((folder / name).stat().st_mode & 0o777)
        compacted.rename(folder / name)
    return saved
