"""Layers as plain tars in the cache, named by a digest of what went into them.

A layer is made once for its inputs; another input is another file name. Tars are written with fixed
times and order, so the same inputs give the same layer on every machine of one distribution.
"""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage, rmtree
from tempfile import mkdtemp
from typing import Final

from onebox.errors import OneboxError

KEY_CHARACTERS: Final = 16
TAR_TIMEOUT_SECONDS: Final = 900
"""A guess: 1.5 GB on a slow disk shared with Go builds."""

ABANDONED_SECONDS: Final = 3600
"""A build takes minutes; a temporary folder of this age belongs to none that still runs."""

TEMPORARY: Final = "kaito-tmp-"
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a mount of the system, used by its path
TREE_BYTES: Final = 2_000_000_000
"""The whole image unpacked is 1.4 GB; the rest is room for what is made from it."""

Progress = Callable[[str], None]


def key_of(inputs: Iterable[str | bytes | Path]) -> str:
    """Return a short digest of texts, bytes and the contents of files."""
    digest = hashlib.sha256()
    for item in inputs:
        content = item.read_bytes() if isinstance(item, Path) else item
        content = content.encode() if isinstance(content, str) else content
        digest.update(str(len(content)).encode() + b":" + content)
    return digest.hexdigest()[:KEY_CHARACTERS]


def sources_of(*modules: str) -> list[Path]:
    """Return the files of sibling modules, so that an edited recipe makes a new layer."""
    return [Path(__file__).with_name(f"{module}.py") for module in modules]


def pack(
    tree: Path,
    members: Sequence[str],
    target: Path,
    *,
    without: Sequence[str] = (),
    keep_owners: bool = False,
) -> None:
    """Write members of a folder as a tar, complete or not at all."""
    partial = target.with_suffix(".partial")
    owners = [] if keep_owners else ["--owner=0", "--group=0"]
    run(
        [
            *("tar", "--directory", str(tree), "--sort=name", "--mtime=@1", "--format=posix"),
            *("--pax-option=delete=atime,delete=ctime", "--numeric-owner", "--one-file-system"),
            *owners,
            *(f"--exclude={name}" for name in without),
            *("--create", "--file", str(partial), *members),
        ],
        timeout_seconds=TAR_TIMEOUT_SECONDS,
    )
    partial.rename(target)


@contextmanager
def unpacked(layers: Iterable[Path], parent: Path) -> Iterator[Path]:
    """Lay the layers over each other in a temporary folder, as a container runtime would."""
    with temporary_folder(parent) as root:
        for layer in layers:
            run(
                [
                    "tar",
                    "--directory",
                    str(root),
                    "--extract",
                    "--numeric-owner",
                    "--file",
                    str(layer),
                ],
                timeout_seconds=TAR_TIMEOUT_SECONDS,
            )
        yield root


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Give a folder under `parent` and remove it, whatever happens."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(dir=parent, prefix=TEMPORARY))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        rmtree(folder)


def timed(progress: Progress, what: str, work: Callable[[], Path]) -> Path:
    """Do a piece of work and say how long it took and how large its result is."""
    start = time.monotonic()
    result = work()
    files = [result] if result.is_file() else [path for path in result.rglob("*") if path.is_file()]
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    progress(f"{what}: {megabytes:.0f} MB in {time.monotonic() - start:.0f} s")
    return result


def forget_stale(cache: Path, kept: Iterable[Path], now: float) -> None:
    """Remove layers of earlier inputs, and what a killed build left behind.

    Args:
        cache: The folder of layers.
        kept: The layers of today; another file with the same name before its key is stale.
        now: Seconds of the clock that files are stamped with.
    """
    names = {layer.name for layer in kept}
    prefixes = tuple(name[: -KEY_CHARACTERS - len(".tar")] for name in names)
    for path in cache.glob("*.tar"):
        if path.name.startswith(prefixes) and path.name not in names:
            path.unlink()
    for parent in (cache, SHARED_MEMORY):
        for folder in parent.glob(f"{TEMPORARY}*"):
            if now - folder.stat().st_mtime > ABANDONED_SECONDS:
                rmtree(folder, ignore_errors=True)


def fast_folder(cache: Path) -> Path:
    """Return where a tree goes that lives for a minute: memory where there is plenty, else `cache`.

    Writing and removing some ten thousand files is slow on disk, and on ext4 it makes creating
    others slow for minutes (it passes over inodes that were freed a moment ago), just when the
    first node unpacks the image.
    """
    if not SHARED_MEMORY.is_dir():
        return cache
    memory = Path("/proc/meminfo").read_text()
    available = int(memory.partition("MemAvailable:")[2].split()[0]) * 1024
    has_room = min(available, disk_usage(SHARED_MEMORY).free) > 3 * TREE_BYTES
    return SHARED_MEMORY if has_room else cache


def run(command: Sequence[str], *, timeout_seconds: float, what: str = "") -> str:
    """Run a program and return its output; its last words become the error."""
    name = what or command[0]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=timeout_seconds
        )
    except FileNotFoundError as error:
        raise OneboxError(f"{name}: not on this machine", f"install it: {command[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise OneboxError(
            f"{name}: not done after {timeout_seconds:.0f} s", "try again; look at disk and network"
        ) from error
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip())[-600:]
        raise OneboxError(f"{name} failed with code {done.returncode}: {words}")
    return done.stdout


def run_in_root(
    root: Path,
    command: Sequence[str],
    *,
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
    user: int = 0,
) -> str:
    """Run a program with `root` as its whole file system, as a container would.

    Mounts live in a namespace of the program's own: they are gone with it, so removing the folder
    afterwards can't reach into /dev.
    """
    variables = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/", **(environment or {})}
    mounts = (
        'mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && mount --rbind /sys "$0/sys"'
    )
    return run(
        [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
            *("sh", "-c", f'{mounts} && exec chroot --userspec={user}:{user} "$0" "$@"', str(root)),
            *("/usr/bin/env", "-i", *(f"{name}={value}" for name, value in variables.items())),
            *command,
        ],
        timeout_seconds=timeout_seconds,
        what=command[0],
    )
