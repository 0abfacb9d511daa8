"""Agent pools with onebox's nodes behind them, against an agent that starts no real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from tests.emulators.azure import CLUSTER, AzureEmulator, Knobs, Pool, errors
from tests.emulators.azure.onebox_nodes import OneboxNodes
from tests.harness.loopback import LoopbackServer

NAME = "ws1"
NODE = f"aks-{NAME}-12345678-vmss000000"
QUICK = Knobs(create_seconds=0, delete_seconds=0, quotas={"standardOneboxSmallFamily": 4})


class Agent(LoopbackServer):
    """Answers as the node agent does; its machines are dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.machines: dict[str, dict[str, Any]] = {}
        self.state = "running"
        """What becomes of a machine that is asked for."""
        self.is_full = False
        self.was_asked = asyncio.Event()

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/nodes", self._list)
        app.router.add_put("/v1/nodes/{name}", self._put)
        app.router.add_get("/v1/nodes/{name}", self._get)
        app.router.add_delete("/v1/nodes/{name}", self._delete)
        return app

    async def _list(self, request: web.Request) -> web.Response:
        key, _, value = request.query["tag"].partition("=")
        found = [one for one in self.machines.values() if one["tags"].get(key) == value]
        return web.json_response({"nodes": found})

    async def _put(self, request: web.Request) -> web.Response:
        if self.is_full:
            return _refusal(409, "InsufficientCapacity")
        body = {**await request.json(), "state": self.state}
        machine = self.machines.setdefault(request.match_info["name"], body)
        self.was_asked.set()
        return web.json_response(machine)

    async def _get(self, request: web.Request) -> web.Response:
        found = self.machines.get(request.match_info["name"])
        return _refusal(404, "NotFound") if found is None else web.json_response(found)

    async def _delete(self, request: web.Request) -> web.Response:
        gone = self.machines.pop(request.match_info["name"], None)
        return _refusal(404, "NotFound") if gone is None else web.json_response(gone, status=202)


def _refusal(status: int, code: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": "no"}}, status=status)


@pytest_asyncio.fixture
async def agent() -> AsyncIterator[Agent]:
    async with Agent() as running:
        yield running


def emulator(agent: Agent) -> tuple[AzureEmulator, OneboxNodes]:
    azure = AzureEmulator(QUICK)
    return azure, OneboxNodes(azure, agent.base_url)


async def create(azure: AzureEmulator, name: str = NAME, **more: Any) -> Pool:
    properties = {
        "vmSize": "onebox.small",
        "count": 1,
        "nodeLabels": {"apps": "chat"},
        "nodeTaints": ["sku=gpu:NoSchedule"],
        "tags": {"owner": "me"},
        **more,
    }
    cluster = azure.cloud.clusters["aks", CLUSTER]
    _, pool = azure.cloud.put_pool(cluster, name, {"properties": properties}, client_request_id="1")
    await over(pool)
    return pool


async def delete(azure: AzureEmulator, name: str = NAME) -> None:
    cluster = azure.cloud.clusters["aks", CLUSTER]
    pool = azure.cloud.delete_pool(cluster, name, client_request_id="2")
    assert pool is not None
    await over(pool)


async def over(pool: Pool) -> None:
    assert pool.operation is not None
    assert pool.operation.task is not None
    async with asyncio.timeout(5):
        await pool.operation.task


async def test_a_pool_is_a_node_as_aks_would_make_it(agent: Agent) -> None:
    azure, _ = emulator(agent)
    pool = await create(azure)
    assert pool.state == "Succeeded"
    ((name, machine),) = agent.machines.items()
    assert name == NODE
    assert machine["providerID"] == pool.node_provider_ids()[0]
    assert (machine["instanceType"], machine["gpuCount"]) == ("onebox.small", 1)
    assert machine["taints"] == [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]
    labels = machine["labels"]
    assert labels["apps"] == "chat"
    assert labels["agentpool"] == labels["kubernetes.azure.com/agentpool"] == NAME
    assert labels["topology.kubernetes.io/zone"] == "0"


async def test_a_gpu_size_of_azure_shows_its_own_number_of_gpus(agent: Agent) -> None:
    azure, _ = emulator(agent)
    await create(azure, vmSize="Standard_NC96ads_A100_v4", availabilityZones=["2"])
    assert agent.machines[NODE]["gpuCount"] == 4
    assert agent.machines[NODE]["labels"]["topology.kubernetes.io/zone"] == "eastus-2"


async def test_a_spot_pool_has_azures_label_and_taint_once(agent: Agent) -> None:
    azure, _ = emulator(agent)
    taint = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
    await create(azure, scaleSetPriority="Spot", nodeTaints=[taint])
    assert agent.machines[NODE]["labels"]["kubernetes.azure.com/scalesetpriority"] == "spot"
    assert agent.machines[NODE]["taints"] == [
        {"key": "kubernetes.azure.com/scalesetpriority", "value": "spot", "effect": "NoSchedule"}
    ]


async def test_each_node_of_a_pool_is_made_and_removed(agent: Agent) -> None:
    azure, _ = emulator(agent)
    await create(azure, vmSize="onebox.large", count=2)
    assert sorted(agent.machines) == [NODE, NODE[:-1] + "1"]
    await delete(azure)
    assert agent.machines == {}
    assert azure.ledger.alive() == []


async def test_a_node_that_does_not_come_up_fails_the_pool_and_goes_with_it(agent: Agent) -> None:
    azure, _ = emulator(agent)
    agent.state = "failed"
    pool = await create(azure)
    assert pool.state == "Failed"
    await delete(azure)
    assert agent.machines == {}


async def test_a_full_machine_is_a_region_without_capacity(agent: Agent) -> None:
    azure, _ = emulator(agent)
    agent.is_full = True
    pool = await create(azure)
    assert (pool.state, pool.error) == ("Failed", errors.allocation_failed())
    await delete(azure)
    assert azure.ledger.alive() == []


async def test_an_aborted_create_leaves_no_node_once_its_pool_is_deleted(agent: Agent) -> None:
    azure, _ = emulator(agent)
    agent.state = "creating"
    creating = asyncio.create_task(create(azure))
    async with asyncio.timeout(5):
        await agent.was_asked.wait()
    azure.cloud.abort_pool(azure.cloud.clusters["aks", CLUSTER], NAME)
    await asyncio.gather(creating, return_exceptions=True)
    await delete(azure)
    assert agent.machines == {}


async def test_a_new_emulator_finds_the_pools_of_the_one_that_was_killed(agent: Agent) -> None:
    old, _ = emulator(agent)
    before = await create(old)
    azure, nodes = emulator(agent)
    assert await nodes.adopt() == [NAME]
    after = azure.cloud.clusters["aks", CLUSTER].pools[NAME]
    assert (after.state, after.tags, after.labels) == ("Succeeded", before.tags, before.labels)
    assert after.properties == before.properties
    with pytest.raises(Exception, match="quota"):
        await create(azure, "ws2")
    assert await nodes.adopt() == []
    await delete(azure)
    assert agent.machines == {}


@pytest.mark.parametrize(("state", "pools"), [("failed", ["Failed"]), ("deleting", [])])
async def test_what_was_not_well_is_not_found_well_again(
    agent: Agent, state: str, pools: list[str]
) -> None:
    old, _ = emulator(agent)
    await create(old)
    agent.machines[NODE]["state"] = state
    azure, nodes = emulator(agent)
    await nodes.adopt()
    found = azure.cloud.clusters["aks", CLUSTER].pools
    assert [pool.state for name, pool in found.items() if name != "system"] == pools
