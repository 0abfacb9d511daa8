"""Agent pools of an AKS cluster that Arc connects: on its owner's own machines."""

from __future__ import annotations

from typing import Any

from azure.mgmt.hybridcontainerservice import models as sdk
from azure.mgmt.hybridcontainerservice.aio import HybridContainerServiceMgmtClient

from activities.clients.azure.caller import Caller, UnusedCredential, sdk_text
from activities.clients.azure.models import Begun, Pool, PoolSpec, tag_name
from activities.clients.azure.pool_calls import PoolCalls
from planner.azure_errors import AzureFailure, Cause


class ArcAgentPools(PoolCalls[sdk.AgentPool]):
    """See `AgentPools`. Spot, zones and OS disks do not exist here; quota neither."""

    def __init__(self, caller: Caller, *, custom_location_id: str = "") -> None:
        """Take the door, and the custom location where pools are made (empty: the cluster's)."""
        super().__init__(caller)
        self._custom_location_id = custom_location_id
        endpoint = caller.endpoint
        self._operations = HybridContainerServiceMgmtClient(
            credential=UnusedCredential(),
            subscription_id=endpoint.subscription_id,
            **caller.client_options(),
        ).agent_pool
        resource = (
            f"subscriptions/{endpoint.subscription_id}/resourceGroups/{endpoint.resource_group}"
            f"/providers/Microsoft.Kubernetes/connectedClusters/{endpoint.cluster_name}"
        )
        self._cluster = (resource,)

    async def begin_create(self, spec: PoolSpec, *, key: str) -> Begun:
        """See `AgentPools`.

        This API has no "only if there is none": a pool that is there is looked for first. Between
        the look and the request another one may come; it then has the same name and settings, and
        the request changes nothing.
        """
        if await self.find(spec.name, key=key) is not None:
            return Begun()
        return await super().begin_create(spec, key=key)

    async def abort(self, name: str, *, key: str) -> None:
        """Do nothing: this API can't; a delete waits until the operation is over."""

    def _model(self, spec: PoolSpec) -> sdk.AgentPool:
        location = self._custom_location_id
        return sdk.AgentPool(
            properties=sdk.AgentPoolProperties(
                count=spec.count,
                vm_size=spec.vm_size,
                os_type="Linux",
                node_labels=dict(spec.labels),
                node_taints=list(spec.taints),
            ),
            tags={tag_name(key): value for key, value in spec.tags.items()},
            extended_location=(
                sdk.ExtendedLocation(type="CustomLocation", name=location) if location else None
            ),
        )

    def _empty_model(self) -> sdk.AgentPool:
        return sdk.AgentPool()

    def _list_models(self, options: dict[str, Any]) -> Any:
        return self._operations.list_by_provisioned_cluster(*self._cluster, **options)

    def _pool(self, found: sdk.AgentPool) -> Pool:
        properties = found.properties or sdk.AgentPoolProperties()
        return Pool(
            name=found.name or "",
            vm_size=properties.vm_size or "",
            count=properties.count or 0,
            provisioning_state=sdk_text(properties.provisioning_state),
            tags=dict(found.tags or {}),
            labels=dict(properties.node_labels or {}),
            failure=_failure(properties),
        )


def _failure(properties: sdk.AgentPoolProperties) -> AzureFailure | None:
    words = properties.status.error_message if properties.status is not None else None
    return AzureFailure(200, (Cause("", words),)) if words else None
