"""AKS: a NodeClaim becomes an agent pool of one node.

Quota and availability are read before anything is asked for, since Azure takes seconds to minutes
to refuse what its own lists already exclude. They only ever rule out: who may not read them, or
gets no answer in time, asks and hears it from Azure.
"""

from __future__ import annotations

from typing import Final

from activities.clients.azure import AgentPools, PoolSpec
from activities.clients.azure.pool_view import PoolView
from activities.provisioners.azure_offers import AzureOffers
from activities.provisioners.azure_pools import (
    AgentPoolProvisioner,
    Closeable,
    labels_of_pool,
    tags_of_pool,
    taints_of_pool,
)
from activities.provisioners.base import SPOT, MachineRequest
from planner.pool_names import pool_name

MIN_OS_DISK_GIB: Final = 30
MAX_OS_DISK_GIB: Final = 2048
"""What AKS accepts as `osDiskSizeGB` (learn.microsoft.com/rest/api/aks/agent-pools); more than the
largest is asked for as the largest, and the node then says what it has."""


class AksProvisioner(AgentPoolProvisioner):
    """See `Provisioner`."""

    name = "aks"

    def __init__(
        self,
        pools: AgentPools,
        offers: AzureOffers | None = None,
        *,
        view: PoolView | None = None,
        credential: Closeable | None = None,
    ) -> None:
        """Take also what is known before asking; None: nothing."""
        super().__init__(pools, view=view, credential=credential)
        self._offers = offers

    async def _check_offer(self, request: MachineRequest) -> None:
        if self._offers is not None:
            await self._offers.check(
                request.instance_type,
                zones=_zone_numbers(request),
                is_spot=request.capacity_type == SPOT,
            )

    def _spec(self, request: MachineRequest) -> PoolSpec:
        disk = request.disk_gib
        return PoolSpec(
            name=pool_name(request.name),
            vm_size=request.instance_type,
            labels=labels_of_pool(request),
            taints=taints_of_pool(request),
            tags=tags_of_pool(request),
            is_spot=request.capacity_type == SPOT,
            zones=_zone_numbers(request),
            os_disk_size_gib=(
                None if disk is None else min(max(disk, MIN_OS_DISK_GIB), MAX_OS_DISK_GIB)
            ),
        )

    async def close(self) -> None:
        """Stop reading, and close the connections."""
        if self._offers is not None:
            await self._offers.close()
        await super().close()


def _zone_numbers(request: MachineRequest) -> list[str]:
    """Return zones as AKS asks for them: Nodes say `eastus-1`, AKS says `1`."""
    return sorted({zone.rpartition("-")[2] for zone in request.zones})
