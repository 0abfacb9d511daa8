"""The emulated Azure itself: quota, capacity, limits, hooks, and what it does not let pass."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from activities.clients.azure import AzureFailed, OperationState
from activities.clients.azure.agent_pools import AksAgentPools
from planner.azure_errors import judge
from tests.emulators.azure import AzureEmulator, Call, Hang, Pool
from tests.integration.azure.parts import VM_SIZE, over, spec


async def test_quota_is_taken_by_a_pool_and_given_back_with_it(
    aks: AksAgentPools, azure: AzureEmulator
) -> None:
    azure.knobs.quotas = {"standardNCADSA100v4Family": 24}
    begun = await aks.begin_create(spec("ws1"), key="k")
    with pytest.raises(AzureFailed, match="ErrCode_InsufficientVCPUQuota"):
        await aks.begin_create(spec("ws2"), key="k")
    await over(aks, begun.token)

    await over(aks, (await aks.begin_delete("ws1", key="k")).token)

    assert (await aks.begin_create(spec("ws2"), key="k")).created


async def test_capacity_runs_out_late(aks: AksAgentPools, azure: AzureEmulator) -> None:
    azure.knobs.capacity[VM_SIZE.lower()] = 1
    first = await aks.begin_create(spec("ws1"), key="k")
    assert (await over(aks, first.token)).state is OperationState.SUCCEEDED

    second = await aks.begin_create(spec("ws2"), key="k")

    assert (await over(aks, second.token)).state is OperationState.FAILED
    pool = await aks.find("ws2", key="k")
    assert pool is not None
    assert pool.failure is not None
    assert judge(pool.failure).code == "AllocationFailed"
    assert azure.ledger.orphans({"ws1"}) == ["ws2"]


async def test_hooks_stand_behind_the_pools(aks: AksAgentPools, azure: AzureEmulator) -> None:
    seen: list[str] = []

    async def created(pool: Pool) -> None:
        seen.append(f"+{pool.name} {pool.node_provider_ids()[0].rsplit('/', 2)[-1]}")

    async def deleted(pool: Pool) -> None:
        seen.append(f"-{pool.name}")

    azure.cloud.on_pool_created, azure.cloud.on_pool_deleted = created, deleted
    await over(aks, (await aks.begin_create(spec("ws1"), key="k")).token)
    await over(aks, (await aks.begin_delete("ws1", key="k")).token)

    assert seen == ["+ws1 0", "-ws1"]


async def test_one_operation_at_a_time_when_azure_is_so_minded(
    aks: AksAgentPools, azure: AzureEmulator
) -> None:
    azure.knobs.concurrent_operations = 1
    azure.faults.add(Hang())
    await aks.begin_create(spec("ws1"), key="k")

    with pytest.raises(AzureFailed, match=r"Another agentpool operation \(ws1 - Creating\)"):
        await aks.begin_create(spec("ws2"), key="k")


async def test_a_cluster_has_so_many_pools_and_no_more(
    aks: AksAgentPools, azure: AzureEmulator
) -> None:
    azure.knobs.max_pools = 2
    await aks.begin_create(spec("ws1"), key="k")

    with pytest.raises(AzureFailed, match="maximum number of agent pools"):
        await aks.begin_create(spec("ws2"), key="k")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": "Ws1"}, "InvalidParameter"),
        ({"name": "ws12345678901"}, "InvalidParameter"),
        ({"vm_size": "Standard_NC0"}, "InvalidParameter"),
        ({"labels": {"node.kubernetes.io/instance-type": "x"}}, "InvalidParameter"),
        ({"zones": ["4"]}, "AvailabilityZoneNotSupported"),
    ],
    ids=str,
)
async def test_a_pool_that_is_not_well_written_is_refused(
    aks: AksAgentPools, azure: AzureEmulator, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(AzureFailed) as caught:
        await aks.begin_create(spec(**changes), key="k")

    assert caught.value.failure.code == code
    assert azure.ledger.pools == []


async def test_nobody_is_served_without_a_token_or_a_version(azure: AzureEmulator) -> None:
    path = "/subscriptions/x/providers/Microsoft.Compute/skus"
    async with aiohttp.ClientSession(azure.base_url) as session:
        async with session.get(f"{path}?api-version=2021-07-01") as answer:
            assert answer.status == 401
        headers = {"Authorization": "Bearer token"}
        async with session.get(path, headers=headers) as answer:
            assert answer.status == 400
        async with session.get("/nowhere?api-version=1", headers=headers) as answer:
            assert answer.status == 404
    assert [record.call for record in azure.ledger.calls] == [
        Call.LIST_SKUS,
        Call.LIST_SKUS,
        Call.UNKNOWN,
    ]
