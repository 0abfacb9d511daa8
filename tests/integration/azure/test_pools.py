"""Agent pools through the real SDK: asked for, watched, given back; AKS and Arc alike."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from activities.clients.azure import AgentPools, AzureFailed, OperationState
from activities.clients.azure.agent_pools import AksAgentPools
from planner.azure_errors import judge
from tests.emulators.azure import (
    CATALOGUE,
    AzureEmulator,
    Call,
    Cancel,
    FailLate,
    Hang,
    LoseAnswer,
    LoseRequest,
    Refuse,
)
from tests.emulators.azure.errors import arc_pool_not_found, cluster_not_found
from tests.integration.azure.parts import NAME, TAGS, Clients, gone, over, spec


async def test_a_pool_that_is_asked_for_comes(pools: AgentPools, azure: AzureEmulator) -> None:
    begun = await pools.begin_create(spec(), key="k")

    assert begun.created
    assert (await over(pools, begun.token)).state is OperationState.SUCCEEDED
    pool = await pools.find(NAME, key="k")
    assert pool is not None
    assert pool.provisioning_state == "Succeeded"
    assert pool.has_tags(TAGS)
    assert pool.tag("kaito.sh/nodeclaim") == NAME
    assert pool.labels == {"kaito.sh/workspace": "chat"}
    assert [pool.name for pool in azure.ledger.alive()] == [NAME]


async def test_asking_again_while_it_comes_begins_nothing(
    pools: AgentPools, azure: AzureEmulator
) -> None:
    azure.faults.add(Hang())
    await pools.begin_create(spec(), key="k")

    again = await pools.begin_create(spec(), key="k")

    assert not again.created
    assert again.token == ""
    assert azure.ledger.accepted_creates() == {NAME: 1}


async def test_an_answer_that_was_lost_buys_nothing_twice(
    pools: AgentPools, azure: AzureEmulator
) -> None:
    azure.faults.add(LoseAnswer())
    with pytest.raises(AzureFailed, match="Unreachable"):
        await pools.begin_create(spec(), key="k")

    again = await pools.begin_create(spec(), key="k")

    assert not again.created
    assert azure.ledger.accepted_creates() == {NAME: 1}


async def test_a_request_that_was_lost_can_be_sent_again(
    pools: AgentPools, azure: AzureEmulator
) -> None:
    azure.faults.add(LoseRequest())
    with pytest.raises(AzureFailed, match="Unreachable"):
        await pools.begin_create(spec(), key="k")

    assert (await pools.begin_create(spec(), key="k")).created


async def test_a_pool_is_gone_when_azure_says_not_found(
    pools: AgentPools, azure: AzureEmulator
) -> None:
    begun = await pools.begin_create(spec(), key="k")
    await over(pools, begun.token)

    ending = await pools.begin_delete(NAME, key="k")

    assert ending.token
    pool = await pools.find(NAME, key="k")
    assert pool is not None
    assert pool.provisioning_state == "Deleting"
    assert (await over(pools, ending.token)).state is OperationState.SUCCEEDED
    assert await pools.find(NAME, key="k") is None
    assert azure.ledger.alive() == []


async def test_ending_a_pool_that_is_not_there_is_no_error(pools: AgentPools) -> None:
    assert (await pools.begin_delete(NAME, key="k")).token == ""


async def test_a_delete_whose_answer_was_lost_can_be_sent_again(
    pools: AgentPools, azure: AzureEmulator
) -> None:
    begun = await pools.begin_create(spec(), key="k")
    await over(pools, begun.token)
    azure.faults.add(LoseAnswer(), Call.DELETE_POOL)
    with pytest.raises(AzureFailed, match="Unreachable"):
        await pools.begin_delete(NAME, key="k")

    await pools.begin_delete(NAME, key="k")

    await gone(pools, NAME)
    assert len(azure.ledger.of(NAME)) == 1


async def test_only_pools_with_our_tags_are_listed_over_all_pages(
    pools: AgentPools, azure: AzureEmulator
) -> None:
    azure.knobs.page_size = 2
    for name in ("wsc", "wsa", "wsb", "wsd"):
        tags = {**TAGS, "kaito.sh/workspace": "other"} if name == "wsd" else TAGS
        await pools.begin_create(spec(name, tags=tags), key="k")

    found = await pools.list({"kaito.sh/workspace": "chat"}, key="k")

    assert [pool.name for pool in found] == ["wsa", "wsb", "wsc"]


async def test_an_operation_that_fails_late_says_why_and_so_does_its_pool(
    pools: AgentPools, azure: AzureEmulator
) -> None:
    azure.faults.add(FailLate(CATALOGUE["zonal-allocation-failed"]))
    begun = await pools.begin_create(spec(), key="k")

    status = await over(pools, begun.token)

    assert status.state is OperationState.FAILED
    assert status.failure is not None
    assert judge(status.failure).code == "ZonalAllocationFailed"
    pool = await pools.find(NAME, key="k")
    assert pool is not None
    assert pool.provisioning_state == "Failed"
    assert pool.failure is not None
    assert judge(pool.failure).error is judge(status.failure).error


async def test_an_operation_that_hangs_is_running(pools: AgentPools, azure: AzureEmulator) -> None:
    azure.faults.add(Hang())
    begun = await pools.begin_create(spec(), key="k")

    status = await pools.poll(begun.token, key="k")

    assert status.state is OperationState.RUNNING
    assert status.retry_after_seconds == azure.knobs.retry_after_seconds


async def test_an_operation_may_end_as_canceled(pools: AgentPools, azure: AzureEmulator) -> None:
    azure.faults.add(Cancel())
    begun = await pools.begin_create(spec(), key="k")

    status = await over(pools, begun.token)

    assert status.state is OperationState.CANCELED
    assert status.failure is not None


async def test_an_operation_that_azure_forgot_is_told_from_one_that_runs(
    pools: AgentPools, azure: AzureEmulator
) -> None:
    begun = await pools.begin_create(spec(), key="k")
    azure.cloud.operations.clear()

    assert (await pools.poll(begun.token, key="k")).state is OperationState.FORGOTTEN


async def test_a_token_of_something_else_is_refused(pools: AgentPools) -> None:
    with pytest.raises(ValueError, match="no token of an operation"):
        await pools.poll("bm90IGEgdG9rZW4=", key="k")


@pytest.mark.parametrize(
    "endpoint",
    [
        {"cluster_name": "elsewhere"},
        {"resource_group": "elsewhere"},
        {"subscription_id": "00000000-0000-0000-0000-00000000ffff"},
    ],
    ids=lambda endpoint: next(iter(endpoint)),
)
@pytest.mark.parametrize("service", ["aks", "arc"])
async def test_a_cluster_that_is_not_there_never_counts_as_a_pool_that_is_gone(
    clients: Clients, service: str, endpoint: dict[str, str]
) -> None:
    pools: AgentPools = getattr(clients, service)(**endpoint)

    for call in (
        pools.find(NAME, key="k"),
        pools.begin_delete(NAME, key="k"),
        pools.list({}, key="k"),
    ):
        with pytest.raises(AzureFailed) as caught:
            await call
        assert caught.value.failure.status == 404


async def test_resource_managers_word_on_a_missing_pool_is_checked(
    pools: AgentPools, azure: AzureEmulator
) -> None:
    # It names the pool, and means the cluster: a list would fail then, too.
    azure.faults.add(Refuse(arc_pool_not_found(NAME)), Call.GET_POOL)
    azure.faults.add(Refuse(cluster_not_found("cluster")), Call.LIST_POOLS)
    with pytest.raises(AzureFailed, match="ResourceNotFound"):
        await pools.find(NAME, key="k")

    azure.faults.add(Refuse(arc_pool_not_found(NAME)), Call.GET_POOL)
    assert await pools.find(NAME, key="k") is None


# --- What AKS alone has ---------------------------------------------------------------------------


async def test_a_stopped_cluster_refuses_changes_and_still_tells_its_pools(
    aks: AksAgentPools, azure: AzureEmulator
) -> None:
    begun = await aks.begin_create(spec(), key="k")
    await over(aks, begun.token)
    azure.cloud.clusters["aks", "cluster"].power_state = "Stopped"

    with pytest.raises(AzureFailed, match="Stopped"):
        await aks.begin_create(spec("ws1"), key="k")
    with pytest.raises(AzureFailed, match="Stopped"):
        await aks.begin_delete(NAME, key="k")

    assert [pool.name for pool in await aks.list(TAGS, key="k")] == [NAME]


async def test_a_pool_that_is_coming_goes_once_its_operation_is_aborted(
    aks: AksAgentPools, azure: AzureEmulator
) -> None:
    azure.faults.add(Hang())
    begun = await aks.begin_create(spec(), key="k")
    with pytest.raises(AzureFailed, match="in progress create"):
        await aks.begin_delete(NAME, key="k")

    await aks.abort(NAME, key="k")
    assert (await aks.poll(begun.token, key="k")).state is OperationState.CANCELED
    await aks.begin_delete(NAME, key="k")

    await gone(aks, NAME)
    assert azure.ledger.alive() == []


async def test_aborting_for_a_pool_that_is_gone_is_no_error(aks: AksAgentPools) -> None:
    await aks.abort(NAME, key="k")


async def test_spot_zones_and_disk_are_asked_for(aks: AksAgentPools, azure: AzureEmulator) -> None:
    asked = spec(is_spot=True, zones=["2"], os_disk_size_gib=300, os_sku="AzureLinux")
    await aks.begin_create(asked, key="k")

    pool = await aks.find(NAME, key="k")
    assert pool is not None
    assert pool.is_spot
    assert pool.zones == ("2",)
    sent = azure.cloud.clusters["aks", "cluster"].pools[NAME].properties
    assert sent["osDiskSizeGB"] == 300
    assert sent["osSKU"] == "AzureLinux"
    assert sent["scaleSetEvictionPolicy"] == "Delete"
    assert sent["nodeTaints"] == ["sku=gpu:NoSchedule"]


async def test_many_pools_come_side_by_side(
    make_pools: Callable[[], AgentPools], azure: AzureEmulator
) -> None:
    pools = make_pools()
    names = [f"ws{index}" for index in range(20)]

    tokens = [(await pools.begin_create(spec(name), key=name)).token for name in names]

    for token in tokens:
        assert (await over(pools, token)).state is OperationState.SUCCEEDED
    assert azure.ledger.orphans(set(names)) == []
    assert azure.ledger.duplicates("kaito.sh_nodeclaim") == []
