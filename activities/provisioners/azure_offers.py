"""What Azure's own lists say before anything is asked for: VM sizes of the region, and quota.

They rule out and never promise. A missing right to read them, or an answer that takes too long, is
no obstacle: the request itself tells then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

from activities.clients.azure import AzureFailed, SkuFacts, Usage
from api.errors import InsufficientCapacity, QuotaExceeded

SKUS_MAX_AGE_SECONDS: Final = 3600.0
"""1 h. A guess: a subscription's access to a size changes by a support request."""

USAGES_MAX_AGE_SECONDS: Final = 2.0
"""2 s: a hundred machines asked for together read the quota once; what was given back counts
soon after."""

UNREADABLE_SECONDS: Final = 300.0
"""5 min without trying again what could not be read. A guess: rights are granted by people."""

PATIENCE_SECONDS: Final = 3.0
"""3 s for either list; without it, Azure is asked for the machine. Quota takes well below 1 s; the
sizes take 10 to 20 s (reports), so that the first request of a process does without them."""

_ALL_ON_DEMAND: Final = "cores"
_ALL_SPOT: Final = "lowprioritycores"
"""Names of quotas over all sizes, as Azure writes them, in lower case."""

_log = logging.getLogger(__name__)

T = TypeVar("T")


class OfferReader(Protocol):
    """What of `AzureCompute` is used here."""

    async def list_usages(self, location: str, *, key: str) -> dict[str, Usage]:
        """Return the vCPU quotas of a region by name, in lower case."""

    async def list_skus(self, location: str, *, key: str) -> dict[str, SkuFacts]:
        """Return the VM sizes of a region by name, in lower case."""


class AzureOffers:
    """Says no where Azure's lists do."""

    def __init__(
        self,
        compute: OfferReader,
        find_location: Callable[[], Awaitable[str]],
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        usages_max_age_seconds: float = USAGES_MAX_AGE_SECONDS,
    ) -> None:
        """Take who reads, and who knows the region.

        Args:
            compute: Reads the lists.
            find_location: Asked once; the same region for all.
            patience_seconds: See the constant, as of the next.
            usages_max_age_seconds: For how long a quota that was read counts.
        """
        self._compute = compute
        self._find_location = find_location
        self._location = ""
        self._patience_seconds = patience_seconds
        self._skus = _Shared(self._read_skus, SKUS_MAX_AGE_SECONDS)
        self._usages = _Shared(self._read_usages, usages_max_age_seconds)

    async def check(self, vm_size: str, *, zones: Sequence[str], is_spot: bool) -> None:
        """Do nothing when the lists don't exclude the machine, or can't be read.

        Raises:
            InsufficientCapacity: the region, or this subscription, has no such machine there.
            QuotaExceeded: it would exceed the vCPUs that the subscription may have.
        """
        skus = await self._skus.get(self._patience_seconds)
        if not skus:
            return
        sku = skus.get(vm_size.lower())
        _check_size(sku, vm_size, self._location, zones)
        usages = await self._usages.get(self._patience_seconds)
        if sku is None or not usages:
            return
        for name in [_ALL_SPOT] if is_spot else [sku.family.lower(), _ALL_ON_DEMAND]:
            usage = usages.get(name)
            if usage is not None and usage.remaining < sku.vcpu_count:
                raise QuotaExceeded(
                    f"{sku.name} needs {sku.vcpu_count} vCPUs, and of the quota {usage.name} in "
                    f"{self._location} {usage.used} of {usage.limit} are used; ask Azure for more "
                    "quota, or give machines back"
                )

    async def close(self) -> None:
        """Stop reading."""
        await self._skus.close()
        await self._usages.close()

    async def _read_skus(self) -> dict[str, SkuFacts]:
        return await self._compute.list_skus(await self._region(), key="offers")

    async def _read_usages(self) -> dict[str, Usage]:
        return await self._compute.list_usages(await self._region(), key="offers")

    async def _region(self) -> str:
        self._location = self._location or await self._find_location()
        return self._location


def _check_size(sku: SkuFacts | None, vm_size: str, location: str, zones: Sequence[str]) -> None:
    if sku is None:
        raise InsufficientCapacity(f"SkuNotAvailable: {location} has no VM size {vm_size}")
    if sku.is_restricted:
        raise InsufficientCapacity(
            f"{sku.restriction or 'NotAvailableForSubscription'}: this subscription may not use "
            f"{vm_size} in {location}"
        )
    missing = sorted(set(zones) - set(sku.zones))
    if missing:
        raise InsufficientCapacity(
            f"AvailabilityZoneNotSupported: {vm_size} is not offered in zone {', '.join(missing)} "
            f"of {location}"
        )


class _Shared(Generic[T]):
    """One reading for all who ask meanwhile, kept for a while; None when there is none in time."""

    def __init__(
        self, read: Callable[[], Awaitable[Mapping[str, T]]], max_age_seconds: float
    ) -> None:
        self._read = read
        self._max_age_seconds = max_age_seconds
        self._task: asyncio.Task[Mapping[str, T] | None] | None = None
        self._began_at = 0.0
        self._good_until = 0.0

    async def get(self, patience_seconds: float) -> Mapping[str, T] | None:
        now = asyncio.get_running_loop().time()
        if self._task is None or (self._task.done() and now > self._good_until):
            self._task, self._began_at = asyncio.create_task(self._try()), now
        # Counted from the beginning of the reading: who asks next must not wait all over again.
        remaining = max(0.0, self._began_at + patience_seconds - now)
        done, _ = await asyncio.wait({self._task}, timeout=remaining)
        return self._task.result() if done else None

    async def _try(self) -> Mapping[str, T] | None:
        loop = asyncio.get_running_loop()
        try:
            found = await self._read()
        except AzureFailed as failed:
            _log.warning("machines are asked for without knowing what there is: %s", failed)
            self._good_until = loop.time() + UNREADABLE_SECONDS
            return None
        self._good_until = self._began_at + self._max_age_seconds
        return found

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
