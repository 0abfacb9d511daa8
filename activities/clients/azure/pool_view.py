"""One list of pools for everybody in this process who waits for one.

AKS lets a subscription read pools 60 times at once and then once a second (all "other" calls
together; learn.microsoft.com/azure/aks/quotas-skus-regions, read 2026-11-25). A hundred waits that
look every 5 s would ask 20 times a second. One list tells them all.
"""

from __future__ import annotations

import asyncio
from typing import Final

from activities.clients.azure.models import AgentPools, Pool

MAX_AGE_SECONDS: Final = 4.0
"""4 s: a list every 4 s is a quarter of what AKS refills; a machine takes minutes to come."""

VIEW_KEY: Final = "pool-view"
"""The lists belong to no single intention."""


class PoolView:
    """Answers from a list that is at most `MAX_AGE_SECONDS` old.

    A pool that is not in the list may be younger than it, so "there is none" is asked anew.
    """

    def __init__(self, pools: AgentPools, *, max_age_seconds: float = MAX_AGE_SECONDS) -> None:
        """Take the client that reads."""
        self._pools = pools
        self._max_age_seconds = max_age_seconds
        self._listing: asyncio.Task[dict[str, Pool]] | None = None
        self._began_at = 0.0

    async def find(self, name: str, *, key: str) -> Pool | None:
        """Return the pool, at most so old, or None when the provider says that there is none.

        Raises:
            AzureFailed: the pools could not be listed, or this one not be read.
        """
        # Whoever is cancelled must not take the list from the others.
        found = await asyncio.shield(self._current())
        return found.get(name) or await self._pools.find(name, key=key)

    def _current(self) -> asyncio.Task[dict[str, Pool]]:
        listing = self._listing
        if listing is None or not self._is_usable(listing):
            self._began_at = asyncio.get_running_loop().time()
            listing = self._listing = asyncio.create_task(self._list())
            # Its askers may all be gone when it fails, and asyncio would complain of nobody's loss.
            listing.add_done_callback(_has_succeeded)
        return listing

    def _is_usable(self, listing: asyncio.Task[dict[str, Pool]]) -> bool:
        if not listing.done():
            return True
        age_seconds = asyncio.get_running_loop().time() - self._began_at
        return _has_succeeded(listing) and age_seconds <= self._max_age_seconds

    async def _list(self) -> dict[str, Pool]:
        return {pool.name: pool for pool in await self._pools.list({}, key=VIEW_KEY)}


def _has_succeeded(listing: asyncio.Task[dict[str, Pool]]) -> bool:
    return not listing.cancelled() and listing.exception() is None
