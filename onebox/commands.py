"""Runs Debian's tools, with a limit on each and errors that say what failed."""

from __future__ import annotations

import subprocess
from typing import Final

from onebox.errors import OneboxError
from onebox.packages import which

COMMAND_TIMEOUT_SECONDS: Final = 30
"""`ip`, `nft` and `sysctl` answer in milliseconds; a guess far above that."""


def run(*command: str) -> str:
    """Run a tool and return what it printed.

    Raises:
        OneboxError: It is missing, failed, or is stuck.
    """
    try:
        done = _run(command)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OneboxError(
            f"`{' '.join(command)}` can't be run: {error}",
            "install the package that holds it (iproute2, nftables), then try again",
        ) from error
    if done.returncode:
        raise OneboxError(
            f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}",
            "run as root on a kernel with bridges, veth pairs and namespaces",
        )
    return done.stdout


def attempt(*command: str) -> str | None:
    """Run a tool and return what it printed, or None when it failed in any way."""
    try:
        done = _run(command)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout


def _run(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    program = which(command[0]) or command[0]
    return subprocess.run(
        [program, *command[1:]],
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_SECONDS,
        check=False,
    )
