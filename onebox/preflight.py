"""What must hold before anything is started; each check names the thing and the remedy."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from onebox import cgroups, places
from onebox.commands import attempt
from onebox.errors import OneboxError

MINIMUM_FREE_BYTES: Final = 15 * 1000**3
"""Image layers, the registry's copy and two nodes' unpacked copies; measured about 10 GB."""

MINIMUM_FREE_BYTES_WITHOUT_MODEL: Final = 5 * 1000**3
"""Go's module and build caches take 4 GB when everything is built anew (measured 2026-11)."""

MINIMUM_MEMORY_BYTES: Final = 6 * 1000**3
"""vLLM with the small model takes 4.5 GB, the platform about 1.5 GB (facts/local_cluster.md)."""

NAMESPACES: Final = ("mnt", "net", "pid", "uts", "ipc")


def require_root(command: str) -> None:
    """Refuse to go on without root: namespaces, mounts and routes need it."""
    if os.geteuid() != 0:
        raise OneboxError(
            f"`onebox {command}` needs root: nodes are made of namespaces, mounts and routes",
            f"run `sudo make {command}`; `make test` works without root",
        )


def check(*, with_model: bool) -> None:
    """Check everything that `up` takes for granted."""
    require_root("up")
    require_linux()
    require_kernel()
    if with_model:
        require_memory()
    needed = MINIMUM_FREE_BYTES if with_model else MINIMUM_FREE_BYTES_WITHOUT_MODEL
    require_disk(places.cache(), needed)
    require_disk(places.run(), needed)


def require_linux() -> None:
    """Only Linux has the namespaces that a node is made of."""
    if sys.platform != "linux":
        raise OneboxError(
            f"onebox runs on Linux only, and this is {sys.platform}",
            "use a Linux virtual machine, or a kind cluster",
        )


def require_kernel() -> None:
    """Check the kernel features that nodes use."""
    lacking = [name for name in NAMESPACES if not Path(f"/proc/self/ns/{name}").exists()]
    if lacking:
        raise OneboxError(
            f"the kernel has no {', '.join(lacking)} namespaces",
            "use a kernel with CONFIG_NAMESPACES, as every distribution's is",
        )
    if "overlay" not in Path("/proc/filesystems").read_text(encoding="ascii").split():
        attempt("modprobe", "overlay")
    if "overlay" not in Path("/proc/filesystems").read_text(encoding="ascii").split():
        raise OneboxError(
            "the kernel has no overlay file system, which containers' images need",
            "`modprobe overlay`, or use a kernel with CONFIG_OVERLAY_FS",
        )
    if not cgroups.hierarchies():
        raise OneboxError(
            "no cgroup hierarchy is mounted on /sys/fs/cgroup",
            "`mount -t cgroup2 none /sys/fs/cgroup`, or start the machine with an init that does",
        )


def require_memory() -> None:
    """Check that the model has room."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if total < MINIMUM_MEMORY_BYTES:
        raise OneboxError(
            f"this machine has {total / 1000**3:.1f} GB of memory, and the model and the platform "
            f"need {MINIMUM_MEMORY_BYTES / 1000**3:.0f} GB",
            "use a larger machine, or start the platform only: `python -m onebox up --no-images`",
        )


def require_disk(folder: Path, minimum_bytes: int) -> None:
    """Check that a folder's file system has room."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < minimum_bytes:
        raise OneboxError(
            f"only {free / 1000**3:.1f} GB are free on the disk of {folder}; "
            f"onebox needs {minimum_bytes / 1000**3:.0f} GB",
            "free some space, or set KAITO_CACHE to a folder on a larger disk",
        )
