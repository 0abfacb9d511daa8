"""AKS enabled by Arc: a NodeClaim becomes an agent pool on its owner's own machines.

There is no quota, no spot price, no zone and no disk to choose, and an operation can't be aborted:
a machine that is deleted while it comes goes once it has come.
"""

from __future__ import annotations

from activities.clients.azure import PoolSpec
from activities.provisioners.azure_pools import (
    AgentPoolProvisioner,
    labels_of_pool,
    tags_of_pool,
    taints_of_pool,
)
from activities.provisioners.base import SPOT, MachineRequest
from api.errors import InsufficientCapacity
from planner.pool_names import pool_name


class AksArcProvisioner(AgentPoolProvisioner):
    """See `Provisioner`."""

    name = "aks-arc"

    async def _check_offer(self, request: MachineRequest) -> None:
        if request.capacity_type == SPOT:
            raise InsufficientCapacity("AKS enabled by Arc has no spot machines")
        if request.zones:
            raise InsufficientCapacity("AKS enabled by Arc has no zones")

    def _spec(self, request: MachineRequest) -> PoolSpec:
        return PoolSpec(
            name=pool_name(request.name),
            vm_size=request.instance_type,
            labels=labels_of_pool(request),
            taints=taints_of_pool(request),
            tags=tags_of_pool(request),
        )
