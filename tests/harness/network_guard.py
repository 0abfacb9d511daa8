"""Refuses every connection that leaves this machine: a test that needs the internet is wrong."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any


class NetworkRefused(RuntimeError):
    """A test tried to talk to another machine."""


class GuardedSocket(socket.socket):
    """A socket that connects to loopback and to files only."""

    def connect(self, address: Any, /) -> None:
        check(self.family, address)
        super().connect(address)

    def connect_ex(self, address: Any, /) -> int:
        check(self.family, address)
        return super().connect_ex(address)

    def sendto(self, *args: Any) -> int:
        check(self.family, args[-1])
        return super().sendto(*args)


def check(family: int, address: Any) -> None:
    """Raise unless `address` is on this machine."""
    if family == socket.AF_UNIX:
        return
    host = address[0]
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    if not is_local:
        raise NetworkRefused(f"a test connects to {host}; tests talk to this machine only")
