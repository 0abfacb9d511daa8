"""VM sizes that the emulated region knows, and their quota families."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

ALL_ZONES: Final = ("1", "2", "3")


@dataclass
class Sku:
    """One VM size in one region."""

    name: str
    family: str
    vcpus: int
    gpus: int = 0
    zones: tuple[str, ...] = ALL_ZONES
    restricted_zones: tuple[str, ...] = ()
    """Zones that this subscription may not use."""
    is_restricted: bool = False
    """The whole location is closed to this subscription."""
    capabilities: dict[str, str] = field(default_factory=dict)

    def body(self, location: str) -> dict[str, Any]:
        """Return the entry of `Microsoft.Compute/skus`."""
        restrictions = []
        if self.is_restricted:
            restrictions.append(
                {
                    "type": "Location",
                    "values": [location],
                    "restrictionInfo": {"locations": [location]},
                    "reasonCode": "NotAvailableForSubscription",
                }
            )
        if self.restricted_zones:
            restrictions.append(
                {
                    "type": "Zone",
                    "values": [location],
                    "restrictionInfo": {
                        "locations": [location],
                        "zones": list(self.restricted_zones),
                    },
                    "reasonCode": "NotAvailableForSubscription",
                }
            )
        capabilities = {"vCPUs": str(self.vcpus), "GPUs": str(self.gpus), **self.capabilities}
        return {
            "resourceType": "virtualMachines",
            "name": self.name,
            "tier": "Standard",
            "size": self.name.removeprefix("Standard_"),
            "family": self.family,
            "locations": [location],
            "locationInfo": [{"location": location, "zones": list(self.zones), "zoneDetails": []}],
            "capabilities": [
                {"name": name, "value": value} for name, value in capabilities.items()
            ],
            "restrictions": restrictions,
        }


def default_skus() -> dict[str, Sku]:
    """Return a region with a handful of GPU sizes, by name in lower case."""
    return by_name(
        [
            Sku("Standard_NC4as_T4_v3", "Standard NCASv3_T4 Family", 4, 1),
            Sku("Standard_NC6s_v3", "standardNCSv3Family", 6, 1, zones=("1",)),
            Sku("Standard_NC24ads_A100_v4", "standardNCADSA100v4Family", 24, 1),
            Sku("Standard_NC48ads_A100_v4", "standardNCADSA100v4Family", 48, 2),
            Sku("Standard_NC96ads_A100_v4", "standardNCADSA100v4Family", 96, 4),
            Sku("Standard_NC40ads_H100_v5", "StandardNCadsH100v5Family", 40, 1, zones=("2", "3")),
            Sku("Standard_ND96isr_H100_v5", "standardNDSH100v5Family", 96, 8, zones=()),
            Sku("Standard_D4s_v5", "standardDSv5Family", 4),
        ]
    )


def by_name(skus: Iterable[Sku]) -> dict[str, Sku]:
    """Return `skus` by their names in lower case: Azure does not care about case."""
    return {sku.name.lower(): sku for sku in skus}
