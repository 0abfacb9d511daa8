"""Real nodes of onebox behind emulated agent pools: a pool has come when its nodes have joined.

The node agent starts kubelet and containerd under the name, labels, taints and provider id that AKS
would give. It also keeps what each pool was, so that an emulator that was killed finds its pools
again: the real Azure forgets none either.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from tests.emulators.azure import errors
from tests.emulators.azure.errors import Refused
from tests.emulators.azure.ledger import PoolRecord
from tests.emulators.azure.server import AzureEmulator
from tests.emulators.azure.skus import Sku, by_name
from tests.emulators.azure.state import Cluster, Pool

POLL_SECONDS: Final = 0.25
REQUEST_SECONDS: Final = 10.0
"""10 s for the agent's answer, which comes in milliseconds; a guess far above that."""

JOIN_SECONDS: Final = 240.0
LEAVE_SECONDS: Final = 120.0
"""The agent itself gives up on a node after 180 s; an end takes 1 to 5 s. Guesses above both."""

TAG_EMULATOR: Final = "azure-emulator"
TAG_POOL: Final = "azure-emulator-pool"

ONEBOX_SKUS: Final = (
    Sku("onebox.small", "standardOneboxSmallFamily", 4, 1),
    Sku("onebox.large", "standardOneboxLargeFamily", 8, 2),
)
"""What onebox's nodes are in the platform's catalogue, as VM sizes: only on those do models run on
CPUs. A family each, so that one's quota can be used up while the other's is not."""

log = logging.getLogger(__name__)


class AgentFailed(Exception):
    """The node agent refused, or its node did not come or go; in its own words."""


class OneboxNodes:
    """Makes and removes the nodes of one emulated Azure."""

    def __init__(self, azure: AzureEmulator, agent_url: str) -> None:
        """Stand behind its pools.

        Args:
            azure: Gets onebox's instance types as VM sizes, too.
            agent_url: Of the node agent, such as http://127.0.0.1:7070.
        """
        self._cloud = azure.cloud
        self._nodes_url = f"{agent_url.rstrip('/')}/v1/nodes"
        self._cloud.skus |= by_name(ONEBOX_SKUS)
        self._cloud.on_pool_created = self._join
        self._cloud.on_pool_deleted = self._leave

    async def adopt(self) -> list[str]:
        """Take over the pools whose nodes an earlier emulator made; return their names."""
        _, found = await self._call("GET", "", query={"tag": f"{TAG_EMULATOR}=yes"})
        adopted = []
        for node in found["nodes"]:
            kept = json.loads(node["tags"][TAG_POOL])
            cluster = self._cloud.clusters[kept["kind"], kept["cluster"].lower()]
            if node["state"] != "deleting" and kept["name"] not in cluster.pools:
                self._take_over(cluster, kept, is_well=node["state"] != "failed")
                adopted.append(kept["name"])
        return sorted(adopted)

    def _take_over(self, cluster: Cluster, kept: Mapping[str, Any], *, is_well: bool) -> None:
        properties = kept["properties"]
        record = PoolRecord(
            cluster.name,
            kept["name"],
            properties["vmSize"],
            properties.get("scaleSetPriority") or "Regular",
            tuple(properties.get("availabilityZones") or ()),
            int(properties.get("count") or 1),
            kept["tags"],
            self._cloud.now(),
        )
        pool = Pool(cluster, kept["name"], properties, kept["tags"], kept["extra"], record)
        # It was counted in when it was asked for; whatever the quota is now, it is there.
        pool.holds_quota = cluster.kind == "aks"
        if is_well:
            pool.become("Succeeded")
        else:
            pool.become("Failed", errors.late_internal_error())
        cluster.pools[pool.name] = pool
        self._cloud.ledger.pools.append(record)

    # --- What a pool's operations wait for --------------------------------------------------------

    async def _join(self, pool: Pool) -> None:
        sku = self._cloud.skus[pool.vm_size.lower()]
        provider_ids = pool.node_provider_ids()
        for name, provider_id in zip(node_names(pool), provider_ids, strict=True):
            status, answer = await self._call(
                "PUT",
                name,
                body={
                    "instanceType": pool.vm_size,
                    "gpuCount": sku.gpus,
                    "providerID": provider_id,
                    "labels": labels_of_nodes(pool),
                    "taints": taints_of_nodes(pool),
                    "tags": {TAG_EMULATOR: "yes", TAG_POOL: _record_of(pool)},
                },
            )
            if status == 409 and answer["error"]["code"] == "InsufficientCapacity":
                log.warning("%s: %s", name, answer["error"]["message"])
                raise Refused(errors.allocation_failed())
            if status >= 400:
                raise AgentFailed(f"{name}: {answer['error']['message']}")
        async with asyncio.timeout(JOIN_SECONDS):
            for name in node_names(pool):
                await self._await_running(name)

    async def _await_running(self, name: str) -> None:
        while True:
            status, machine = await self._call("GET", name)
            if status == 200 and machine["state"] == "running":
                return
            if status == 404 or machine["state"] not in {"creating", "running"}:
                raise AgentFailed(f"{name} did not come up: {machine}")
            await asyncio.sleep(POLL_SECONDS)

    async def _leave(self, pool: Pool) -> None:
        # Also after a create that failed or was aborted: it may have got that far.
        for name in node_names(pool):
            await self._call("DELETE", name)
        async with asyncio.timeout(LEAVE_SECONDS):
            for name in node_names(pool):
                await self._await_gone(name)

    async def _await_gone(self, name: str) -> None:
        while True:
            status, _ = await self._call("GET", name)
            if status == 404:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _call(
        self,
        method: str,
        name: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        url = f"{self._nodes_url}/{name}" if name else self._nodes_url
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url, json=body, params=query) as response,
        ):
            return response.status, await response.json()


def node_names(pool: Pool) -> list[str]:
    """Return the names that AKS gives the nodes of a pool."""
    return [f"aks-{pool.name}-12345678-vmss{index:06}" for index in range(pool.count)]


def labels_of_nodes(pool: Pool) -> dict[str, str]:
    """Return the pool's labels with AKS' own, as far as anybody looks at them."""
    region = pool.cluster.location
    zones = pool.properties.get("availabilityZones") or []
    own = {
        "agentpool": pool.name,
        "kubernetes.azure.com/agentpool": pool.name,
        "kubernetes.azure.com/cluster": pool.cluster.node_resource_group,
        "kubernetes.azure.com/mode": "user",
        "topology.kubernetes.io/region": region,
        # AKS' way to say that a machine is in no zone.
        "topology.kubernetes.io/zone": f"{region}-{zones[0]}" if zones else "0",
    }
    if pool.is_spot:
        own["kubernetes.azure.com/scalesetpriority"] = "spot"
    return {**pool.labels, **own}


def taints_of_nodes(pool: Pool) -> list[dict[str, str]]:
    """Return the pool's taints as Kubernetes writes them, with the one of spot pools."""
    spot = ["kubernetes.azure.com/scalesetpriority=spot:NoSchedule"] if pool.is_spot else []
    return [_taint(text) for text in dict.fromkeys([*pool.taints, *spot])]


def _taint(text: str) -> dict[str, str]:
    assignment, _, effect = text.rpartition(":")
    key, _, value = assignment.partition("=")
    return {"key": key, "value": value, "effect": effect}


def _record_of(pool: Pool) -> str:
    return json.dumps(
        {
            "kind": pool.cluster.kind,
            "cluster": pool.cluster.name,
            "name": pool.name,
            "properties": pool.properties,
            "tags": pool.tags,
            "extra": pool.extra,
        }
    )
