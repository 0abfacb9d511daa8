"""Addresses that training data may be downloaded from: public ones, by HTTP or HTTPS.

A pod inside the cluster reaches what its user can't: the cloud's metadata service, which gives out
the node's credentials, and services that trust their network. Names of hosts are judged by the
name only; what a name leads to is for the downloader to judge, when it has looked it up.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

MAX_CHARACTERS: Final = 2048
"""Longest address that common servers accept."""

MAX_PORT: Final = 65535

_LOCAL_NAMES: Final = frozenset(
    {
        "localhost",
        "metadata",
        "metadata.google",
        "metadata.google.internal",
        "instance-data",
        "instance-data.ec2.internal",
    }
)
_LOCAL_SUFFIXES: Final = (".localhost", ".localdomain")
_CLOUD_ADDRESSES: Final = frozenset({"168.63.129.16"})
"""Azure's own services answer each virtual machine there, though the address is a public one."""

_LAST_PART_OF_ADDRESS: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PRINTABLE: Final = re.compile(r"[!-~]+")
_HOST: Final = re.compile(r"[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*")
_EMBEDDED: Final = (
    ipaddress.IPv6Network("64:ff9b::/96"),
    ipaddress.IPv6Network("64:ff9b:1::/48"),
    ipaddress.IPv6Network("2002::/16"),
    ipaddress.IPv6Network("2001::/32"),
    ipaddress.IPv6Network("::/96"),
)
"""Translators (NAT64), 6to4, Teredo and the oldest of them: they lead to an IPv4 address."""


def url_problem(url: str) -> str:
    """Return why nothing may be downloaded from the address; empty when it may."""
    if len(url) > MAX_CHARACTERS:
        return f"it has more than {MAX_CHARACTERS} characters"
    if _PRINTABLE.fullmatch(url) is None or "\\" in url:
        return "it has characters that an address can't have"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "it is no address"
    return _part_problem(parts, port)


def _part_problem(parts: SplitResult, port: int | None) -> str:
    if parts.scheme not in {"http", "https"}:
        return "it is neither http:// nor https://"
    if "@" in parts.netloc:
        return "it has a user or a password in it, which everybody could read here"
    if port is not None and not 1 <= port <= MAX_PORT:
        return "it has no port that can be"
    return _host_problem(parts)


def _host_problem(parts: SplitResult) -> str:
    host = (parts.hostname or "").removesuffix(".")
    if not host:
        return "it names no host"
    if "[" in parts.netloc:
        return _address_problem(host)
    if _HOST.fullmatch(host) is None:
        return "it names a host that can't be"
    if host in _LOCAL_NAMES or host.endswith(_LOCAL_SUFFIXES):
        return "it leads to the machine itself or to its cloud's metadata"
    # Programs read 127.1, 0x7f.1 and 2130706433 as addresses too.
    if _LAST_PART_OF_ADDRESS.fullmatch(host.rpartition(".")[2]):
        return _address_problem(host)
    return ""


def _address_problem(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "it names a host that can't be"
    if not _is_public(address):
        return "it leads to a local, private or link-local address"
    return ""


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        # One that holds an IPv4 address has no use but to hide it.
        is_embedding = any(address in network for network in _EMBEDDED)
        if address.ipv4_mapped is not None or is_embedding or address.is_site_local:
            return False
    is_special = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not is_special and str(address) not in _CLOUD_ADDRESSES
