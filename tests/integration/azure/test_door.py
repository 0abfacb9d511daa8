"""The door of every call: its deadline, its request id, and no retry but ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError

from activities.clients.azure import AzureEndpoint, AzureFailed
from activities.clients.azure.agent_pools import AksAgentPools
from activities.clients.azure.caller import Caller, client_request_id
from activities.clients.azure.limits import Deadlines
from api.errors import AccessDenied, ClusterUnavailable, Throttled
from planner.azure_errors import judge
from tests.emulators.azure import (
    CATALOGUE,
    CLUSTER,
    RESOURCE_GROUP,
    SUBSCRIPTION,
    AksThrottle,
    AzureEmulator,
    Call,
    Hang,
    Refuse,
    Stall,
)
from tests.emulators.azure.errors import aks_throttled, arm_throttled
from tests.harness.waiting import eventually
from tests.integration.azure.parts import NAME, Clients, StaticCredential, spec

SHORT = Deadlines(read_seconds=1.0, write_seconds=1.0, skus_seconds=1.0)
"""Long enough for a busy machine to connect."""

Send = Callable[[Clients, str], Awaitable[Any]]


async def _poll(clients: Clients, service: str) -> None:
    begun = await getattr(clients, service)().begin_create(spec(), key="k")
    await getattr(clients, service)(SHORT).poll(begun.token, key="k")


def _pools(method: str, *arguments: Any) -> Send:
    async def send(clients: Clients, service: str) -> None:
        await getattr(getattr(clients, service)(SHORT), method)(*arguments, key="k")

    return send


EVERY_POOL_CALL: dict[Call, Send] = {
    Call.PUT_POOL: _pools("begin_create", spec()),
    Call.GET_POOL: _pools("find", NAME),
    Call.LIST_POOLS: _pools("list", {}),
    Call.DELETE_POOL: _pools("begin_delete", NAME),
    Call.GET_OPERATION: _poll,
}
ONLY_AKS: dict[Call, Send] = {
    Call.GET_CLUSTER: _pools("get_cluster"),
    Call.ABORT_POOL: _pools("abort", NAME),
}


async def _usages(clients: Clients, service: str) -> None:
    await clients.compute(SHORT).list_usages("eastus", key="k")


async def _skus(clients: Clients, service: str) -> None:
    await clients.compute(SHORT).list_skus("eastus", key="k")


COMPUTE: dict[Call, Send] = {Call.LIST_USAGES: _usages, Call.LIST_SKUS: _skus}

EVERY_CALL = [
    pytest.param("aks", call, send, id=f"aks-{call}")
    for call, send in {**EVERY_POOL_CALL, **ONLY_AKS, **COMPUTE}.items()
] + [pytest.param("arc", call, send, id=f"arc-{call}") for call, send in EVERY_POOL_CALL.items()]


def test_no_call_of_the_api_is_left_out() -> None:
    assert {*EVERY_POOL_CALL, *ONLY_AKS, *COMPUTE} == set(Call) - {Call.UNKNOWN}


@pytest.mark.parametrize(("service", "call", "send"), EVERY_CALL)
async def test_every_call_has_a_deadline_and_a_request_id(
    clients: Clients, azure: AzureEmulator, service: str, call: Call, send: Send
) -> None:
    azure.faults.add(Stall(60), call)
    began_at = time.monotonic()

    with pytest.raises(AzureFailed, match="no answer within") as caught:
        await send(clients, service)

    assert time.monotonic() - began_at < 5
    assert judge(caught.value.failure).error is ClusterUnavailable
    (record,) = azure.ledger.calls_of(call)

    async def is_given_up() -> bool:
        return record.is_given_up

    await eventually(is_given_up, what="the server's notice that the client hung up")
    assert all(record.client_request_id for record in azure.ledger.calls)


@pytest.mark.parametrize(("service", "call", "send"), EVERY_CALL)
async def test_no_call_is_repeated_behind_our_back(
    clients: Clients, azure: AzureEmulator, service: str, call: Call, send: Send
) -> None:
    azure.faults.add(Refuse(CATALOGUE["internal-error"]), call)

    with pytest.raises(AzureFailed) as caught:
        await send(clients, service)

    assert caught.value.failure.status == 500
    assert caught.value.request_id
    assert len(azure.ledger.calls_of(call)) == 1


async def test_a_provider_that_is_not_registered_is_not_registered_by_stealth(
    aks: AksAgentPools, azure: AzureEmulator
) -> None:
    azure.faults.add(Refuse(CATALOGUE["provider-not-registered"]))

    with pytest.raises(AzureFailed):
        await aks.begin_create(spec(), key="k")

    assert [record.call for record in azure.ledger.calls] == [Call.PUT_POOL]


async def test_the_request_id_is_the_same_for_the_same_intention(
    clients: Clients, azure: AzureEmulator
) -> None:
    azure.faults.add(Refuse(CATALOGUE["internal-error"]))
    for process in (clients.aks(), clients.aks()):
        try:
            await process.begin_create(spec(), key="claim-uid/1")
        except AzureFailed:
            continue

    ids = [record.client_request_id for record in azure.ledger.calls]
    assert ids == [client_request_id("claim-uid/1", "create")] * 2
    assert client_request_id("claim-uid/2", "create") not in ids


async def test_a_pause_that_aks_asked_for_is_kept_for_that_pool_alone(
    aks: AksAgentPools, azure: AzureEmulator
) -> None:
    azure.faults.add(Refuse(aks_throttled(1)))
    with pytest.raises(AzureFailed) as refused:
        await aks.begin_create(spec(), key="k")
    assert refused.value.retry_after_seconds == 1
    assert judge(refused.value.failure).error is Throttled

    with pytest.raises(AzureFailed) as kept_back:
        await aks.begin_create(spec(), key="k")
    assert judge(kept_back.value.failure).error is Throttled
    assert len(azure.ledger.calls_of(Call.PUT_POOL)) == 1
    assert (await aks.begin_create(spec("ws1"), key="k")).created
    assert await aks.find(NAME, key="k") is None

    await asyncio.sleep(1.1)
    assert (await aks.begin_create(spec(), key="k")).created


async def test_a_pause_that_resource_manager_asked_for_is_kept_for_that_kind_of_call(
    aks: AksAgentPools, azure: AzureEmulator
) -> None:
    azure.faults.add(Refuse(arm_throttled(30)))
    with pytest.raises(AzureFailed):
        await aks.begin_create(spec(), key="k")

    with pytest.raises(AzureFailed, match="Throttled"):
        await aks.begin_create(spec("ws1"), key="k")
    assert await aks.find(NAME, key="k") is None
    assert len(azure.ledger.calls_of(Call.PUT_POOL)) == 1


async def test_the_documented_limit_on_looks_at_operations_is_met_by_a_pause(
    aks: AksAgentPools, azure: AzureEmulator
) -> None:
    azure.throttle = AksThrottle()
    azure.faults.add(Hang())
    begun = await aks.begin_create(spec(), key="k")

    async def look_forever() -> None:
        while True:
            await aks.poll(begun.token, key="k")

    with pytest.raises(AzureFailed) as caught:
        await look_forever()

    assert caught.value.retry_after_seconds == 1
    looks = len(azure.ledger.calls_of(Call.GET_OPERATION))
    with pytest.raises(AzureFailed):
        await aks.poll(begun.token, key="k")
    assert len(azure.ledger.calls_of(Call.GET_OPERATION)) == looks


class NoCredential(StaticCredential):
    """A pod whose identity was taken away."""

    async def get_token(self, *scopes: str, **options: Any) -> Any:
        raise ClientAuthenticationError("AADSTS700213: No matching federated identity record")


async def test_without_a_token_nothing_is_asked(azure: AzureEmulator) -> None:
    endpoint = AzureEndpoint(SUBSCRIPTION, RESOURCE_GROUP, CLUSTER, base_url=azure.base_url)
    pools = AksAgentPools(Caller(endpoint, NoCredential()))

    with pytest.raises(AzureFailed, match="AADSTS700213") as caught:
        await pools.find(NAME, key="k")
    await pools.close()

    assert judge(caught.value.failure).error is AccessDenied
    assert azure.ledger.calls == []


async def test_an_azure_that_is_not_there_is_unreachable() -> None:
    endpoint = AzureEndpoint(SUBSCRIPTION, RESOURCE_GROUP, CLUSTER, base_url="http://127.0.0.1:9")
    pools = AksAgentPools(Caller(endpoint, StaticCredential()))

    with pytest.raises(AzureFailed, match="Unreachable") as caught:
        await pools.find(NAME, key="k")
    await pools.close()

    assert judge(caught.value.failure).error is ClusterUnavailable


@pytest.mark.parametrize(
    "base_url", ["http://management.azure.com", "http://10.0.0.1:8080", "ftp://x", "x", ""]
)
def test_a_token_goes_nowhere_unencrypted(base_url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        AzureEndpoint(SUBSCRIPTION, RESOURCE_GROUP, CLUSTER, base_url=base_url)


def test_a_sovereign_cloud_has_its_own_address_and_token() -> None:
    endpoint = AzureEndpoint(
        SUBSCRIPTION, RESOURCE_GROUP, CLUSTER, base_url="https://management.chinacloudapi.cn"
    )
    assert endpoint.scope == "https://management.chinacloudapi.cn/.default"
