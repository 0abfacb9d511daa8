"""Looks for anything of onebox that is left on this machine: the proof that `down` prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from onebox import cgroups, packages, places, processes
from onebox.commands import attempt
from onebox.network import NodeAddresses

LINK_PREFIXES: Final = (places.BRIDGE, NodeAddresses(0).host_link[:-1])


@dataclass(frozen=True)
class Finding:
    """What one look found."""

    what: str
    found: tuple[str, ...]


def look() -> list[Finding]:
    """Look everywhere, and return one finding per kind of thing, clean or not."""
    looks: Sequence[tuple[str, Callable[[], list[str]]]] = (
        ("processes", _processes),
        ("mounts", _mounts),
        ("network namespaces", _network_namespaces),
        ("bridge and links", _links),
        ("routes", _routes),
        ("nftables and iptables rules", _rules),
        ("cgroups", lambda: [str(path) for path in cgroups.existing()]),
        ("state", _state),
    )
    return [Finding(what, tuple(find())) for what, find in looks]


def mount_points(mounts: str, folders: Sequence[Path]) -> list[str]:
    """Return the mount points at or below the folders, deepest first."""
    found = []
    for line in mounts.splitlines():
        point = Path(line.split()[1].replace("\\040", " "))
        if any(point == folder or folder in point.parents for folder in folders):
            found.append(str(point))
    return sorted(found, key=lambda point: -point.count("/"))


def our_links(listing: str) -> list[str]:
    """Return our links from what `ip -brief link` printed."""
    names = [line.split()[0].partition("@")[0] for line in listing.splitlines() if line.strip()]
    return [name for name in names if name.startswith(LINK_PREFIXES)]


def our_routes(listing: str) -> list[str]:
    """Return the routes through our nodes from what `ip route` printed."""
    marks = (f"via {places.NODE_NETWORK_PREFIX}", f"dev {places.BRIDGE}")
    return [line.strip() for line in listing.splitlines() if any(mark in line for mark in marks)]


def our_rules(listing: str) -> list[str]:
    """Return the packet rules that name our bridge or networks."""
    marks = (places.BRIDGE, places.NODE_NETWORK_PREFIX, places.POD_NETWORK, places.SERVICE_NETWORK)
    return [line.strip() for line in listing.splitlines() if any(mark in line for mark in marks)]


def _processes() -> list[str]:
    found = {process.pid for process in processes.marked(places.run())}
    for path in cgroups.existing():
        for listing in path.rglob("cgroup.procs"):
            found |= {int(pid) for pid in listing.read_text(encoding="ascii").split()}
    return [f"{pid}: {processes.command_of(pid)[:120]}" for pid in sorted(found)]


def _mounts() -> list[str]:
    text = Path("/proc/self/mounts").read_text(encoding="utf-8")
    return mount_points(text, [places.run(), places.cache()])


def _network_namespaces() -> list[str]:
    """Name the namespaces that nodes make beside the host's: theirs, and one per pod (`cni-…`)."""
    named = (attempt("ip", "netns", "list") or "").splitlines()
    left = [line.split()[0] for line in named if line.startswith("cni-")]
    hosts = Path("/proc/self/ns/net").readlink()
    for process in processes.marked(places.run()):
        try:
            if Path(f"/proc/{process.pid}/ns/net").readlink() != hosts:
                left.append(f"of process {process.pid}")
        except OSError:
            continue
    return left


def _links() -> list[str]:
    return our_links(attempt("ip", "-brief", "link", "show") or "")


def _routes() -> list[str]:
    return our_routes(attempt("ip", "route", "show", "table", "all") or "")


def _rules() -> list[str]:
    nftables = attempt("nft", "list", "ruleset") or ""
    return our_rules(nftables + (attempt("iptables-save") or ""))


def _state() -> list[str]:
    found = [path for path in places.run().glob("*") if path != places.log()]
    if packages.POLICY_FILE.exists() and packages.POLICY_MARK in packages.POLICY_FILE.read_text():
        found.append(packages.POLICY_FILE)
    return [str(path) for path in sorted(found)]
