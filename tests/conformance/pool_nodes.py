"""The Nodes behind emulated agent pools: they join when a pool has come and leave when it goes."""

from __future__ import annotations

from tests.emulators.azure import AzureEmulator, Pool
from tests.harness.cluster import Cluster


class PoolNodes:
    """Makes kwok nodes that look as the cloud provider writes them."""

    def __init__(self, azure: AzureEmulator, cluster: Cluster) -> None:
        """Stand behind the pools of one emulated Azure."""
        self._skus = azure.cloud.skus
        self._cluster = cluster
        self.joins = True
        """False: machines start, and their kubelets never reach the cluster."""
        self.gpus_show = True
        azure.cloud.on_pool_created = self._join
        azure.cloud.on_pool_deleted = self._leave

    async def _join(self, pool: Pool) -> None:
        if not self.joins:
            return
        sku = self._skus[pool.vm_size.lower()]
        for name, provider_id in zip(_node_names(pool), pool.node_provider_ids(), strict=True):
            await self._cluster.create_kwok_node(
                name,
                gpu_count=sku.gpus if self.gpus_show else 0,
                labels={
                    "node.kubernetes.io/instance-type": pool.vm_size,
                    "kubernetes.azure.com/agentpool": pool.name,
                    **pool.labels,
                },
                taints=[_taint(text) for text in pool.taints],
                provider_id=provider_id,
            )

    async def _leave(self, pool: Pool) -> None:
        for name in _node_names(pool):
            await self._cluster.delete_node(name)


def _node_names(pool: Pool) -> list[str]:
    return [f"aks-{pool.name}-12345678-vmss{index:06}" for index in range(pool.count)]


def _taint(text: str) -> dict[str, str]:
    assignment, _, effect = text.rpartition(":")
    key, _, value = assignment.partition("=")
    return {"key": key, "value": value, "effect": effect}
