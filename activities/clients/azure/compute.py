"""Quota and VM sizes of a region."""

from __future__ import annotations

from typing import Any

from azure.mgmt.compute import models as sdk
from azure.mgmt.compute.aio import ComputeManagementClient

from activities.clients.azure.caller import Caller, UnusedCredential, sdk_text
from activities.clients.azure.models import SkuFacts, Usage


class AzureCompute:
    """Reads; buys nothing. The right to read may be missing where the right to buy is not."""

    def __init__(self, caller: Caller) -> None:
        """Take the door."""
        self._caller = caller
        self._sdk = ComputeManagementClient(
            credential=UnusedCredential(),
            subscription_id=caller.endpoint.subscription_id,
            **caller.client_options(),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._caller.close()

    async def list_usages(self, location: str, *, key: str) -> dict[str, Usage]:
        """Return the vCPU quotas of a region by name, in lower case.

        Raises:
            AzureFailed: also when the right to read them is missing.
        """

        async def send(options: dict[str, Any]) -> list[sdk.Usage]:
            return [one async for one in self._sdk.usage.list(location, **options)]

        found = await self._caller.call(
            f"read the quota of {location}", send, key=key, verb="usages", bucket="compute"
        )
        return {
            (one.name.value or "").lower(): Usage(
                one.name.value or "", one.current_value, one.limit
            )
            for one in found
        }

    async def list_skus(self, location: str, *, key: str) -> dict[str, SkuFacts]:
        """Return the VM sizes of a region by name, in lower case: Azure ignores case.

        Raises:
            AzureFailed: also when the right to read them is missing.
        """

        async def send(options: dict[str, Any]) -> list[sdk.ResourceSku]:
            found = self._sdk.resource_skus.list(filter=f"location eq '{location}'", **options)
            return [one async for one in found if one.resource_type == "virtualMachines"]

        found = await self._caller.call(
            f"read the VM sizes of {location}",
            send,
            key=key,
            verb="skus",
            bucket="compute",
            deadline_seconds=self._caller.deadlines.skus_seconds,
        )
        return {sku.name.lower(): sku for sku in (_facts(one, location) for one in found)}


def _facts(sku: sdk.ResourceSku, location: str) -> SkuFacts:
    capabilities = {one.name: one.value for one in sku.capabilities or []}
    zones: set[str] = set()
    for info in sku.location_info or []:
        if (info.location or "").lower() == location.lower():
            zones |= set(info.zones or [])
    restriction = ""
    is_restricted = False
    for one in sku.restrictions or []:
        restriction = sdk_text(one.reason_code)
        if one.type == "Location":
            is_restricted = True
        elif one.restriction_info is not None:
            zones -= set(one.restriction_info.zones or [])
    return SkuFacts(
        name=sku.name or "",
        family=sku.family or "",
        vcpu_count=_count(capabilities.get("vCPUs")),
        gpu_count=_count(capabilities.get("GPUs")),
        zones=tuple(sorted(zones)),
        is_restricted=is_restricted,
        restriction=restriction,
    )


def _count(value: str | None) -> int:
    return int(value) if value is not None and value.isdigit() else 0
