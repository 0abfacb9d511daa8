"""The host's side of the network: one bridge, a veth per node, routes to pods and Services."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from onebox import places, processes
from onebox.commands import attempt, run
from onebox.errors import OneboxError

BRIDGE_OWNER: Final = Path("/sys/class/net") / places.BRIDGE / "ifalias"


@dataclass(frozen=True)
class NodeAddresses:
    """What follows from a node's index (1 is the system node)."""

    index: int

    @property
    def node(self) -> str:
        """Return the node's address on the bridge."""
        return f"{places.NODE_NETWORK_PREFIX}{10 + self.index}"

    @property
    def pods(self) -> str:
        """Return the network of the node's pods."""
        return f"10.244.{self.index}.0/24"

    @property
    def host_link(self) -> str:
        """Return the name of the host's end of the node's veth pair."""
        return f"kaito-n{self.index}"


def require_ours() -> None:
    """Refuse to touch what another checkout runs: bridge, cgroups and ports are one per machine.

    Raises:
        OneboxError: The bridge belongs to another `.run` folder whose programs are alive.
    """
    owner = bridge_owner()
    if owner and owner != str(places.run()) and processes.marked(Path(owner)):
        raise OneboxError(
            f"another checkout's onebox runs on this machine, with its state in {owner}",
            f"stop that one first: KAITO_RUN={owner} python -m onebox down",
        )


def bridge_owner() -> str:
    """Return the `.run` folder that the bridge was made for, or nothing."""
    try:
        return BRIDGE_OWNER.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def ensure_bridge() -> bool:
    """Make the bridge with the host's address; say whether it was made now.

    Raises:
        OneboxError: Somebody else uses the network that onebox needs.
    """
    if attempt("ip", "link", "show", "dev", places.BRIDGE) is not None:
        run("ip", "addr", "replace", _host_interface(), "dev", places.BRIDGE)
        run("ip", "link", "set", places.BRIDGE, "up")
        return False
    conflict = conflicting_link(addresses_of_links())
    if conflict:
        raise OneboxError(
            f"the interface {conflict} already uses the network {places.NODE_NETWORK_PREFIX}0/24",
            f"take that interface down while onebox runs (`ip link delete {conflict}` if it is an "
            "unused bridge of podman or docker)",
        )
    run("ip", "link", "add", places.BRIDGE, "type", "bridge")
    run("ip", "link", "set", places.BRIDGE, "alias", str(places.run()))
    run("ip", "addr", "add", _host_interface(), "dev", places.BRIDGE)
    run("ip", "link", "set", places.BRIDGE, "up")
    return True


def delete_bridge() -> None:
    """Remove the bridge, and with it its address and every route through it."""
    attempt("ip", "link", "delete", places.BRIDGE)


def connect_node(addresses: NodeAddresses, first_process: int) -> None:
    """Join a node's network namespace to the bridge, and route its pods to it.

    Args:
        addresses: The node's addresses.
        first_process: Pid, as the host sees it, of a process in the node's namespaces.
    """
    link = addresses.host_link
    attempt("ip", "link", "delete", link)
    namespace = str(first_process)
    peer = ("peer", "name", "eth0", "netns", namespace)
    run("ip", "link", "add", link, "type", "veth", *peer)
    run("ip", "link", "set", link, "master", places.BRIDGE, "up")
    inside = ("nsenter", "-t", namespace, "-n", "--", "ip")
    run(*inside, "addr", "add", f"{addresses.node}/{places.NODE_NETWORK_BITS}", "dev", "eth0")
    run(*inside, "link", "set", "eth0", "up")
    run(*inside, "route", "add", "default", "via", places.HOST_ADDRESS)
    run("ip", "route", "replace", addresses.pods, "via", addresses.node)


def disconnect_node(addresses: NodeAddresses) -> None:
    """Remove a node's link and routes; idempotent."""
    attempt("ip", "route", "delete", addresses.pods, "via", addresses.node)
    attempt("ip", "link", "delete", addresses.host_link)


def route_between(first_process: int, other: NodeAddresses, *, remove: bool = False) -> None:
    """Let the pods of one node reach the pods of another without a hop through the host."""
    inside = ("nsenter", "-t", str(first_process), "-n", "--", "ip", "route")
    if remove:
        attempt(*inside, "delete", other.pods)
    else:
        attempt(*inside, "replace", other.pods, "via", other.node)


def route_services_through(addresses: NodeAddresses) -> None:
    """Let the host reach cluster IPs: the node's kube-proxy turns them into pod addresses."""
    run("ip", "route", "replace", places.SERVICE_NETWORK, "via", addresses.node)


def addresses_of_links() -> list[dict[str, Any]]:
    """Return what `ip` knows about every link's addresses."""
    found: list[dict[str, Any]] = json.loads(run("ip", "-json", "-4", "addr", "show"))
    return found


def conflicting_link(links: list[dict[str, Any]]) -> str | None:
    """Return the name of a foreign link that has an address in the nodes' network."""
    for link in links:
        for address in link.get("addr_info", []):
            if str(address.get("local", "")).startswith(places.NODE_NETWORK_PREFIX):
                name = str(link.get("ifname", "?"))
                if name != places.BRIDGE:
                    return name
    return None


def _host_interface() -> str:
    return f"{places.HOST_ADDRESS}/{places.NODE_NETWORK_BITS}"
