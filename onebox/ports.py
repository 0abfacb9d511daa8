"""Finds out whether an address is free, and who sits on it when it is not."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

from onebox.errors import OneboxError

_LISTEN: Final = "0A"


def is_open(host: str, port: int, timeout_seconds: float = 0.5) -> bool:
    """Say whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds):
            return True
    except OSError:
        return False


def require_free(host: str, port: int, wanted_by: str) -> None:
    """Check that a program may listen on an address.

    Raises:
        OneboxError: Somebody listens there; the message names the process.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise OneboxError(
                f"{wanted_by} can't listen on {host}:{port}: {error.strerror} ({holder(port)})",
                "stop that process (`ss -ltnp` shows it), then run `make up` again",
            ) from error


def holder(port: int) -> str:
    """Describe the process that listens on a port, as far as this user may see."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            inodes |= listening_inodes(Path(table).read_text(encoding="ascii"), port)
        except OSError:
            continue
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # Not readlink(): a descriptor that was closed meanwhile must not hide the others.
            links = {link.resolve().name for link in (entry / "fd").iterdir()}
            if any(f"socket:[{inode}]" in links for inode in inodes):
                name = (entry / "comm").read_text(encoding="utf-8").strip()
                return f"held by process {entry.name}, {name}"
        except OSError:
            continue
    return "its holder is not visible"


def listening_inodes(table: str, port: int) -> set[str]:
    """Read the socket inodes that listen on a port from the text of /proc/net/tcp."""
    found = set()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN:  # noqa: PLR2004 - columns of /proc/net/tcp
            _, _, hexadecimal = fields[1].rpartition(":")
            if int(hexadecimal, 16) == port:
                found.add(fields[9])
    return found
