"""Lets nodes talk where the host's firewall drops by default, as Docker's and ufw's do.

Packets between two nodes cross the bridge, and where the kernel filters bridges (br_netfilter,
which Docker loads) the host's FORWARD chain sees them: its policy DROP cut every Service off (tried
2026-11). INPUT is how nodes reach the API server and the registry. A machine without such a
firewall gets no rule.
"""

from __future__ import annotations

from typing import Final

from onebox import places
from onebox.commands import attempt

RULES: Final = (
    ("INPUT", "-i", places.BRIDGE),
    ("FORWARD", "-i", places.BRIDGE, "-o", places.BRIDGE),
)


def ensure() -> None:
    """Accept what comes over our bridge, in chains that would not; idempotent."""
    listing = attempt("iptables", "-S") or ""
    for chain, *match in RULES:
        if filters(listing, chain) and not _exists(chain, *match):
            attempt("iptables", "-I", chain, "1", *match, "-j", "ACCEPT")


def remove() -> None:
    """Remove our rules; idempotent."""
    for chain, *match in RULES:
        while _exists(chain, *match):
            if attempt("iptables", "-D", chain, *match, "-j", "ACCEPT") is None:
                return


def filters(listing: str, chain: str) -> bool:
    """Say whether a chain does anything but accept, from what `iptables -S` printed."""
    lines = [line for line in listing.splitlines() if line.split()[1:2] == [chain]]
    return any(line != f"-P {chain} ACCEPT" for line in lines)


def _exists(chain: str, *match: str) -> bool:
    return attempt("iptables", "-C", chain, *match, "-j", "ACCEPT") is not None
