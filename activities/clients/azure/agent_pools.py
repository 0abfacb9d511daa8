"""Agent pools of an AKS cluster, and the cluster itself."""

from __future__ import annotations

from typing import Any, Final

from azure.core import MatchConditions
from azure.mgmt.containerservice import models as sdk
from azure.mgmt.containerservice.aio import ContainerServiceClient

from activities.clients.azure import pool_answers
from activities.clients.azure.caller import (
    CallClass,
    Caller,
    UnusedCredential,
)
from activities.clients.azure.errors import AzureFailed
from activities.clients.azure.models import ClusterFacts, Pool, PoolSpec, tag_name
from activities.clients.azure.operations import OneLook
from activities.clients.azure.pool_calls import PoolCalls
from planner.azure_errors import AzureFailure, read_failure

NO_SPOT_PRICE_LIMIT: Final = -1.0
"""Pay up to the on-demand price; the machine is then evicted for want of capacity only."""


class AksAgentPools(PoolCalls[sdk.AgentPool]):
    """See `AgentPools`. A create never changes a pool that is there: the request says so."""

    def __init__(self, caller: Caller) -> None:
        """Take the door."""
        super().__init__(caller)
        self._only_if_missing = {"match_condition": MatchConditions.IfMissing}
        endpoint = caller.endpoint
        client = ContainerServiceClient(
            credential=UnusedCredential(),
            subscription_id=endpoint.subscription_id,
            **caller.client_options(),
        )
        self._operations = client.agent_pools
        self._clusters = client.managed_clusters
        self._cluster = (endpoint.resource_group, endpoint.cluster_name)

    async def get_cluster(self, *, key: str) -> ClusterFacts:
        """Return the managed cluster.

        Raises:
            AzureFailed: also when there is none, which settings must explain.
        """

        async def send(options: dict[str, Any]) -> sdk.ManagedCluster:
            endpoint = self._caller.endpoint
            return await self._clusters.get(
                endpoint.resource_group, endpoint.cluster_name, **options
            )

        found = await self._caller.call(
            "read the cluster", send, key=key, verb="get-cluster", bucket="cluster"
        )
        properties = found.properties or sdk.ManagedClusterProperties()
        return ClusterFacts(
            name=found.name or "",
            location=found.location,
            provisioning_state=properties.provisioning_state or "",
            node_resource_group=properties.node_resource_group or "",
        )

    async def abort(self, name: str, *, key: str) -> None:
        """See `AgentPools`; a pool that is gone has nothing to stop."""

        async def send(options: dict[str, Any]) -> None:
            await self._operations.begin_abort_latest_operation(
                *self._cluster, name, polling=OneLook(**options), **options
            )

        try:
            await self._caller.call(
                f"abort the operation on agent pool {name}",
                send,
                key=key,
                verb="abort",
                bucket="other",
                call_class=CallClass.WRITE,
            )
        except AzureFailed as failed:
            if not pool_answers.is_missing(failed.failure):
                raise

    def _model(self, spec: PoolSpec) -> sdk.AgentPool:
        return sdk.AgentPool(_body(spec))

    def _empty_model(self) -> sdk.AgentPool:
        return sdk.AgentPool()

    def _list_models(self, options: dict[str, Any]) -> Any:
        return self._operations.list(*self._cluster, **options)

    def _pool(self, found: sdk.AgentPool) -> Pool:
        properties = found.properties or sdk.AgentPoolManagedClusterAgentPoolProfileProperties()
        return Pool(
            name=found.name or "",
            vm_size=properties.vm_size or "",
            count=properties.count or 0,
            provisioning_state=properties.provisioning_state or "",
            tags=dict(properties.tags or {}),
            labels=dict(properties.node_labels or {}),
            zones=tuple(properties.availability_zones or ()),
            is_spot=properties.scale_set_priority == "Spot",
            failure=_failure(properties),
        )


def _body(spec: PoolSpec) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "count": spec.count,
        "vmSize": spec.vm_size,
        "osType": "Linux",
        "osSKU": spec.os_sku,
        "mode": "User",
        "type": "VirtualMachineScaleSets",
        "enableAutoScaling": False,
        "nodeLabels": dict(spec.labels),
        "nodeTaints": list(spec.taints),
        "tags": {tag_name(key): value for key, value in spec.tags.items()},
    }
    if spec.zones:
        properties["availabilityZones"] = list(spec.zones)
    if spec.os_disk_size_gib is not None:
        properties["osDiskSizeGB"] = spec.os_disk_size_gib
    if spec.subnet_id:
        properties["vnetSubnetID"] = spec.subnet_id
    if spec.is_spot:
        properties |= {
            "scaleSetPriority": "Spot",
            "scaleSetEvictionPolicy": "Delete",
            "spotMaxPrice": NO_SPOT_PRICE_LIMIT,
        }
    return {"properties": properties}


def _failure(properties: Any) -> AzureFailure | None:
    status = properties.status
    error = status.provisioning_error if status is not None else None
    return None if error is None else read_failure(200, error.as_dict())
