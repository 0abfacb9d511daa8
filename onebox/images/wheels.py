"""Wheels from the package registry, unpacked without an installer.

pip downloads exactly what a file of hashes says, for the Python of the image rather than for the
one that runs here. A wheel is a zip whose top level is a site-packages folder, so unpacking it is
all that an installation does.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final
from zipfile import ZipFile

from onebox.errors import OneboxError
from onebox.images.layers import run

PYTHON_VERSION: Final = "3.11"
GLIBC_MINOR: Final = 36
"""Debian bookworm has glibc 2.36; wheels for any older one run there."""

DOWNLOAD_TIMEOUT_SECONDS: Final = 1800
"""870 MB; 20 s beside the registry, 15 min over 8 Mbit/s. A guess between."""


def download(requirements: Path, folder: Path) -> None:
    """Download the pinned wheels; those that are there already are checked and kept."""
    folder.mkdir(parents=True, exist_ok=True)
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(GLIBC_MINOR, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--python-version", PYTHON_VERSION, "--implementation", "cp"),
        *("--abi", "cp311", "--abi", "abi3", "--abi", "none"),
        *(word for name in platforms for word in ("--platform", name)),
        *("--dest", str(folder), "--find-links", str(folder), "--requirement", str(requirements)),
    ]
    run(command, timeout_seconds=DOWNLOAD_TIMEOUT_SECONDS, what="pip download")


def unpack(wheels: Iterable[Path], site_packages: Path, unwanted: re.Pattern[str]) -> int:
    """Unpack wheels into one folder without the unwanted members; return the bytes written."""
    written = 0
    for wheel in wheels:
        with ZipFile(wheel) as archive:
            for member in archive.infolist():
                name = _place(member.filename)
                if not name or member.is_dir() or unwanted.search(name):
                    continue
                target = site_packages / name
                if not target.resolve().is_relative_to(site_packages.resolve()):
                    raise OneboxError(f"{wheel.name} holds a file outside of itself: {name}")
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("wb") as file:
                    while piece := source.read(1 << 20):
                        written += file.write(piece)
                target.chmod(0o755 if member.external_attr >> 16 & 0o100 else 0o644)
    return written


def _place(name: str) -> str:
    """Return where a member goes under site-packages, or "" for scripts, headers and data."""
    parts = PurePosixPath(name).parts
    if parts and parts[0].endswith(".data"):
        return "/".join(parts[2:]) if parts[1:2] in (("purelib",), ("platlib",)) else ""
    return name
