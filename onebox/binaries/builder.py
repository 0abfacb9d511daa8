"""Builds the programs with Go into the cache: once per version, atomically, one line each."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from onebox import places
from onebox.binaries import compiler
from onebox.binaries.catalogue import CATALOGUE, Binary, Module
from onebox.errors import OneboxError

KEY_CHARACTERS: Final = 10
BUILD_TIMEOUT_SECONDS: Final = 1800
"""kube-apiserver took 196 s on 2 cores with a cold cache; ten times that is a stuck download."""

Say = Callable[[str], None]


def version_key(module: Module) -> str:
    """Return a name that changes whenever what would be built changes."""
    digest = hashlib.sha256()
    for path in module.files():
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update("\0".join((*module.link_flags, platform.machine())).encode())
    return f"{module.name}-{module.version}-{digest.hexdigest()[:KEY_CHARACTERS]}"


def path(name: str) -> Path:
    """Return where a program lies in the cache, built or not."""
    return places.cache() / "bin" / version_key(_binary(name).module) / name


def missing(names: Iterable[str]) -> list[str]:
    """Return which of the programs are not built yet, in the order of the catalogue."""
    wanted = {_binary(name).name for name in names}
    return [name for name in CATALOGUE if name in wanted and not path(name).exists()]


def ensure(names: Iterable[str], say: Say, on_built: Say | None = None) -> None:
    """Build what is missing; idempotent by version, safe beside another builder.

    Args:
        names: Programs of the catalogue.
        say: Gets one line per program.
        on_built: Gets each name as soon as its program can be started.
    """
    wanted = [name for name in CATALOGUE if name in {_binary(each).name for each in names}]
    todo = missing(wanted)
    go = compiler.find([CATALOGUE[name].module for name in todo], say) if todo else ""
    for name in wanted:
        started = time.monotonic()
        if _ensure_one(go, CATALOGUE[name], say):
            say(f"{name}: built in {time.monotonic() - started:.0f} s")
        else:
            say(f"{name}: already there")
        if on_built:
            on_built(name)


def _ensure_one(go: str, binary: Binary, say: Say) -> bool:
    target = path(binary.name)
    if target.exists():
        return False
    with _lock(target.parent):
        if target.exists():  # another process built it while this one waited
            return False
        _build(go or compiler.find([binary.module], say), binary, target)
    return True


def _build(go: str, binary: Binary, target: Path) -> None:
    unfinished = target.with_name(f".{binary.name}.{os.getpid()}")
    command = [go, "build", "-trimpath", "-ldflags", " ".join(binary.module.link_flags)]
    try:
        done = subprocess.run(
            [*command, "-o", str(unfinished), binary.package],
            cwd=binary.module.folder,
            env=os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"},
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode:
            raise _build_failed(binary, done.stderr)
        unfinished.rename(target)
    except subprocess.TimeoutExpired as error:
        raise _build_failed(binary, f"not done after {BUILD_TIMEOUT_SECONDS} s") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _build_failed(binary: Binary, output: str) -> OneboxError:
    lines = [line for line in output.splitlines() if not line.startswith("go: downloading")]
    shown = "\n    ".join(lines[-12:])
    return OneboxError(
        f"Go could not build {binary.name} of {binary.module.version}:\n    {shown}",
        "check the network and the Go module proxy (`go env GOPROXY`) and free disk space, "
        f"then run `python -m onebox build {binary.name}` again",
    )


def _binary(name: str) -> Binary:
    if name not in CATALOGUE:
        raise OneboxError(
            f"onebox builds no program named {name!r}", "choose from: " + ", ".join(CATALOGUE)
        )
    return CATALOGUE[name]


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
    except PermissionError as error:
        raise OneboxError(
            f"the cache folder {folder} can't be written: {error.strerror}",
            "set KAITO_CACHE to a folder of yours, or change the owner of that one",
        ) from error
