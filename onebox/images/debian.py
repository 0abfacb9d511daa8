"""The lowest layer: a small Debian with Python, made by debootstrap."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from shutil import rmtree
from typing import Final

from onebox.images.layers import (
    Progress,
    key_of,
    pack,
    run,
    run_in_root,
    sources_of,
    temporary_folder,
    timed,
)

SUITE: Final = "bookworm"
"""Its Python is 3.11, which the pins of the runtime are resolved for."""

PACKAGES: Final = (
    "ca-certificates",
    "libgomp1",  # OpenMP of the C++ extensions
    "libnuma1",  # vLLM binds its threads to memory nodes
    "libsqlite3-0",  # the standard library's sqlite3, which vLLM's imports touch
    "python3",
)
UNUSED: Final = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/cache/debconf",
    "var/lib/apt/lists",
    "var/log",
)
USER_ID: Final = 1000
USER: Final = "kaito"

DEBOOTSTRAP_TIMEOUT_SECONDS: Final = 900
"""30-70 s measured (2026-11, 2 shared cores); the rest is for slow mirrors."""
COMPILE_TIMEOUT_SECONDS: Final = 600


def ensure_layer(cache: Path, progress: Progress) -> Path:
    """Return the tar of the layer, made if the cache lacks it."""
    target = cache / f"debian-{key_of([SUITE, *PACKAGES, *sources_of('debian')])}.tar"
    if target.exists():
        return target
    return timed(progress, f"Debian {SUITE} with Python", lambda: _make(cache, target))


def _make(cache: Path, target: Path) -> Path:
    with temporary_folder(cache) as root:
        run(
            [
                "debootstrap",
                "--variant=minbase",
                f"--include={','.join(PACKAGES)}",
                SUITE,
                str(root),
            ],
            timeout_seconds=DEBOOTSTRAP_TIMEOUT_SECONDS,
        )
        for name in UNUSED:
            rmtree(root / name, ignore_errors=True)
        (root / "var/log").mkdir()
        for name in ("passwd", "group"):
            fields = f"{USER_ID}::/tmp:/usr/sbin/nologin" if name == "passwd" else ""
            with (root / "etc" / name).open("a") as file:
                file.write(f"{USER}:x:{USER_ID}:{fields}\n")
        compile_python(root, ["/usr/lib/python3.11", "/usr/lib/python3"])
        members = sorted(
            path.name for path in root.iterdir() if path.name not in {"dev", "proc", "sys"}
        )
        for name in ("dev", "proc", "sys"):
            rmtree(root / name, ignore_errors=True)
            (root / name).mkdir()
            members.append(name)
        pack(root, members, target, keep_owners=True)
    return target


def compile_python(root: Path, paths: Iterable[str]) -> None:
    """Compile files and whole folders inside a root, with the Python that will run them.

    The compiled files are marked as never to be checked against their source: times in a tar are
    fixed, so a check by time would reject each of them, and a read-only container couldn't store
    another.
    """
    listed = root / "tmp" / "to-compile"
    listed.write_text("\n".join(paths))
    run_in_root(
        root,
        [
            *("python3", "-I", "-m", "compileall", "-q", "-f", "-j", "0"),
            *("--invalidation-mode", "unchecked-hash", "-i", "/tmp/to-compile"),  # noqa: S108
        ],
        timeout_seconds=COMPILE_TIMEOUT_SECONDS,
    )
    listed.unlink()
