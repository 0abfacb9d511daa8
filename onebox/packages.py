"""Debian packages that nodes need: installed only when missing, without starting any service."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from onebox.errors import OneboxError

CNI_FOLDERS: Final = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))

PROGRAM_OF_PACKAGE: Final[Mapping[str, str]] = {
    "conntrack": "conntrack",
    "containerd": "containerd",
    "debootstrap": "debootstrap",
    "iproute2": "ip",
    "iptables": "iptables",
    "nftables": "nft",
    "runc": "runc",
}
"""A package counts as installed when its program is on PATH, wherever it came from."""

CNI_PACKAGE: Final = "containernetworking-plugins"

APT_TIMEOUT_SECONDS: Final = 900
"""A guess: 60 MB of packages on a slow mirror, behind another apt that holds the lock."""

POLICY_FILE: Final = Path("/usr/sbin/policy-rc.d")
POLICY_MARK: Final = "# written by onebox; removed when apt is done"
POLICY_TEXT: Final = f"#!/bin/sh\n{POLICY_MARK}\nexit 101\n"


def missing_packages() -> list[str]:
    """Return the Debian packages whose programs this machine lacks."""
    found = [name for name, program in PROGRAM_OF_PACKAGE.items() if which(program) is None]
    return sorted([*found, *([] if cni_folder() else [CNI_PACKAGE])])


def which(program: str) -> str | None:
    """Find a program, also where only root's PATH looks."""
    path = os.environ.get("PATH", "")
    return shutil.which(program, path=f"{path}:/usr/local/sbin:/usr/sbin:/sbin")


def cni_folder() -> Path | None:
    """Return the folder of the CNI plugins, or None."""
    return next((folder for folder in CNI_FOLDERS if (folder / "bridge").exists()), None)


def ensure(say: Callable[[str], None]) -> None:
    """Install what is missing with apt, or say what a person has to install."""
    missing = missing_packages()
    if not missing:
        return
    names = " ".join(missing)
    remedy = f"install them, on Debian or Ubuntu: apt-get install {names}"
    if os.geteuid() != 0 or which("apt-get") is None:
        raise OneboxError(f"this machine lacks these packages: {names}", remedy)
    say(f"apt-get install {names}")
    with no_service_starts():
        _apt("update")
        _apt("install", "--yes", "--no-install-recommends", *missing)
    still = missing_packages()
    if still:
        raise OneboxError(f"apt installed these without their programs: {' '.join(still)}", remedy)


def _apt(*arguments: str) -> None:
    command = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *arguments]
    try:
        done = subprocess.run(
            command,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
            timeout=APT_TIMEOUT_SECONDS,
            check=False,
        )
        output, failed = done.stdout + done.stderr, done.returncode != 0
    except subprocess.TimeoutExpired:
        output, failed = f"not done after {APT_TIMEOUT_SECONDS} s", True
    if failed:
        shown = "\n    ".join(output.splitlines()[-8:])
        raise OneboxError(
            f"`{' '.join(command)}` failed:\n    {shown}",
            "run that command by hand, cure what it says, then try again",
        )


@contextmanager
def no_service_starts() -> Iterator[None]:
    """Forbid dpkg to start services (Debian's policy-rc.d) while the block runs."""
    if POLICY_FILE.exists():  # somebody's own policy, or one that a killed `up` left
        yield
        return
    POLICY_FILE.write_text(POLICY_TEXT, encoding="utf-8")
    POLICY_FILE.chmod(0o755)
    try:
        yield
    finally:
        POLICY_FILE.unlink(missing_ok=True)


def remove_left_policy() -> bool:
    """Remove the policy file if a killed `up` left ours behind; say whether it did."""
    if not POLICY_FILE.exists() or POLICY_MARK not in POLICY_FILE.read_text(encoding="utf-8"):
        return False
    POLICY_FILE.unlink()
    return True
