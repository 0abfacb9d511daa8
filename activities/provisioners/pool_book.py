"""The shared list of pools, with what was asked for by name since.

A machine's wait looks again whenever any Node changes. A pool that is younger than the list would
be asked for each time: a dozen waits then use up what AKS refills in a minute.
"""

from __future__ import annotations

import asyncio

from activities.clients.azure import Pool
from activities.clients.azure.pool_view import PoolView


class PoolBook(PoolView):
    """See `PoolView`; a pool that it had to ask for is known until the next list."""

    async def find(self, name: str, *, key: str) -> Pool | None:
        """See `PoolView`."""
        listed = await asyncio.shield(self._current())
        if name not in listed:
            pool = await self._pools.find(name, key=key)
            if pool is None:
                return None
            listed.setdefault(name, pool)
        return listed[name]
