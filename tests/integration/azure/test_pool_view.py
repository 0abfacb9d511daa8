"""A hundred waits read one list, and never more often than AKS allows."""

from __future__ import annotations

import asyncio

import pytest

from activities.clients.azure import AzureFailed
from activities.clients.azure.agent_pools import AksAgentPools
from activities.clients.azure.pool_view import PoolView
from tests.emulators.azure import CATALOGUE, AksThrottle, AzureEmulator, Call, Refuse, Stall
from tests.harness.waiting import eventually
from tests.integration.azure.parts import NAME, spec


async def test_a_hundred_claims_at_once_stay_within_what_aks_allows(
    aks: AksAgentPools, azure: AzureEmulator
) -> None:
    azure.throttle = AksThrottle()
    azure.knobs.max_pools = 101
    azure.knobs.create_seconds = 2.0
    names = [f"ws{index}" for index in range(100)]
    view = PoolView(aks, max_age_seconds=0.2)

    async def bring_up(name: str) -> None:
        await aks.begin_create(spec(name), key=name)
        await eventually(
            lambda: view.find(name, key=name),
            what=f"the coming of {name}",
            accept=lambda pool: pool is not None and pool.provisioning_state == "Succeeded",
        )

    await asyncio.gather(*(bring_up(name) for name in names))

    assert len(azure.ledger.alive()) == 100
    assert len(azure.ledger.calls_of(Call.LIST_POOLS)) < 60
    assert {record.status for record in azure.ledger.calls} <= {200, 201}


async def test_a_pool_younger_than_the_list_is_found(
    aks: AksAgentPools, azure: AzureEmulator
) -> None:
    view = PoolView(aks)
    assert await view.find(NAME, key="k") is None

    await aks.begin_create(spec(), key="k")

    assert await view.find(NAME, key="k") is not None
    assert len(azure.ledger.calls_of(Call.LIST_POOLS)) == 1


async def test_whoever_gives_up_leaves_the_list_to_the_others(
    aks: AksAgentPools, azure: AzureEmulator
) -> None:
    await aks.begin_create(spec(), key="k")
    azure.faults.add(Stall(0.3), Call.LIST_POOLS)
    view = PoolView(aks)
    first = asyncio.create_task(view.find(NAME, key="k"))
    second = asyncio.create_task(view.find(NAME, key="k"))
    await asyncio.sleep(0.1)

    first.cancel()

    assert await second is not None
    assert len(azure.ledger.calls_of(Call.LIST_POOLS)) == 1


async def test_a_list_that_failed_is_not_kept(aks: AksAgentPools, azure: AzureEmulator) -> None:
    azure.faults.add(Refuse(CATALOGUE["internal-error"]), Call.LIST_POOLS)
    view = PoolView(aks)
    with pytest.raises(AzureFailed):
        await view.find(NAME, key="k")

    assert await view.find(NAME, key="k") is None
