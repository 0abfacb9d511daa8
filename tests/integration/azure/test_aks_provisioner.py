"""AKS as a provisioner: what it asks Azure for, what it knows before, and what refusals become."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from activities.clients.azure import AzureFailed
from activities.clients.azure.agent_pools import AksAgentPools
from activities.errors import to_application_error
from activities.provisioners import SPOT, MachineRequest
from activities.provisioners.aks import AksProvisioner
from activities.provisioners.azure_offers import AzureOffers
from activities.provisioners.azure_pools import OPERATION_LOOK_SPACING_SECONDS
from api import names
from api.conditions import NodeClaimCondition
from api.errors import (
    BY_REASON,
    InsufficientCapacity,
    PlatformError,
    QuotaExceeded,
    Remedy,
)
from api.payloads import NodeClaimRef, Problem, ReportNodeClaimInput
from planner.azure_errors import judge, read_failure
from planner.node_claims import render_node_claim_status
from tests.emulators.azure import (
    CATALOGUE,
    AksThrottle,
    AzureEmulator,
    Call,
    Cancel,
    FailLate,
    Hang,
    LoseAnswer,
    Refuse,
    Stall,
)
from tests.harness.waiting import eventually
from tests.integration.azure.parts import NAME, VM_SIZE, Clients, spec

REFUSALS = sorted(name for name, error in CATALOGUE.items() if error.status != 200)


def request_of(name: str = NAME, **fields: object) -> MachineRequest:
    settings: dict[str, object] = {
        "name": name,
        "instance_type": VM_SIZE,
        "labels": {
            names.LABEL_WORKSPACE: "chat",
            names.LABEL_MANAGED_BY: names.MANAGED_BY,
            names.LABEL_INSTANCE_TYPE: VM_SIZE,
            names.LABEL_NODE_POOL: names.NODE_POOL,
        },
        "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
        "tags": {names.LABEL_WORKSPACE_UID: "owner"},
        "claim_uid": "claim-uid",
        **fields,
    }
    return MachineRequest(**settings)  # type: ignore[arg-type] # a test's own fields


@pytest.fixture
def provisioner(aks: AksAgentPools) -> AksProvisioner:
    return AksProvisioner(aks)


@pytest.fixture
def careful(clients: Clients, aks: AksAgentPools) -> AksProvisioner:
    """Reads quota and sizes first."""

    async def find_location() -> str:
        return (await aks.get_cluster(key="location")).location

    return AksProvisioner(
        aks,
        AzureOffers(
            clients.compute(), find_location, patience_seconds=1.0, usages_max_age_seconds=0.0
        ),
    )


async def test_a_pool_carries_what_the_claim_asks_for(
    provisioner: AksProvisioner, azure: AzureEmulator
) -> None:
    await provisioner.launch(
        request_of(capacity_type=SPOT, zones=["eastus-2", "eastus-1"], disk_gib=300)
    )

    pool = azure.cloud.clusters["aks", "cluster"].pools[NAME]
    # Azure refuses labels of Kubernetes' own domains.
    assert pool.labels == {names.LABEL_WORKSPACE: "chat", names.LABEL_NODE_POOL: names.NODE_POOL}
    assert pool.taints == ["sku=gpu:NoSchedule"]
    assert pool.tags == {"kaito.sh_workspace-uid": "owner", "kaito.sh_nodeclaim": NAME}
    assert pool.is_spot
    assert pool.properties["availabilityZones"] == ["1", "2"]
    assert pool.properties["osDiskSizeGB"] == 300
    assert pool.count == 1


@pytest.mark.parametrize(("asked", "given"), [(1, 30), (5000, 2048)])
async def test_a_disk_is_within_what_azure_takes(
    provisioner: AksProvisioner, azure: AzureEmulator, asked: int, given: int
) -> None:
    await provisioner.launch(request_of(disk_gib=asked))
    pool = azure.cloud.clusters["aks", "cluster"].pools[NAME]
    assert pool.properties["osDiskSizeGB"] == given


async def test_a_launch_is_one_request_and_it_says_whose_it_is(
    provisioner: AksProvisioner, azure: AzureEmulator
) -> None:
    await provisioner.launch(request_of())
    (call,) = azure.ledger.calls
    assert call.call is Call.PUT_POOL
    assert call.client_request_id


async def test_a_claim_with_a_long_name_gets_a_pool_and_is_found_by_its_own_name(
    provisioner: AksProvisioner, azure: AzureEmulator
) -> None:
    request = request_of("a-claim-that-somebody-wrote-by-hand")
    await provisioner.launch(request)
    assert await provisioner.observe(request.name) is not None
    assert await provisioner.list_owned(request.tags) == [request.name]
    assert len(azure.ledger.alive()[0].name) <= 12


# --- Refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFUSALS)
async def test_every_refusal_gets_its_class_its_condition_and_its_next_action(
    provisioner: AksProvisioner, azure: AzureEmulator, name: str
) -> None:
    azure.faults.add(Refuse(CATALOGUE[name]))
    expected = judge(read_failure(CATALOGUE[name].status, CATALOGUE[name].body()))
    with pytest.raises((AzureFailed, PlatformError)) as refused:
        await provisioner.launch(request_of())
    error = to_application_error(refused.value)

    assert error is not None
    if name != "etag-mismatch":  # Azure's word that there is one already: an answer, no refusal.
        assert error.type == expected.error.reason()
        assert expected.words[:40] in error.message
    is_fast = BY_REASON[str(error.type)].remedy is Remedy.FAST_RETRY
    assert error.non_retryable is not is_fast
    status = render_node_claim_status(
        ReportNodeClaimInput(
            claim=NodeClaimRef(name=NAME),
            problem=Problem(reason=str(error.type), message=error.message),
        ),
        {},
        datetime.now(tz=UTC),
    )
    assert status is not None
    (ready,) = (one for one in status["conditions"] if one["type"] == NodeClaimCondition.READY)
    assert (ready["status"], ready["reason"]) == ("False", error.type)
    assert azure.ledger.alive() == []


async def test_azures_pause_is_the_activitys_pause(
    provisioner: AksProvisioner, azure: AzureEmulator
) -> None:
    azure.faults.add(Refuse(CATALOGUE["aks-throttled"]))
    with pytest.raises(AzureFailed) as refused:
        await provisioner.launch(request_of())
    error = to_application_error(refused.value)
    assert error is not None
    assert error.type == "Throttled"
    assert error.next_retry_delay == timedelta(seconds=refused.value.retry_after_seconds or 0)
    assert error.next_retry_delay > timedelta(0)


@pytest.mark.parametrize("effect", [FailLate(CATALOGUE["late-throttled"]), Cancel()])
async def test_what_would_pass_by_itself_is_shown_where_it_ended_a_machine(
    provisioner: AksProvisioner, azure: AzureEmulator, effect: FailLate | Cancel
) -> None:
    azure.faults.add(effect)
    launched = await provisioner.launch(request_of())
    failed = await eventually(
        lambda: provisioner.observe(NAME, launched.operation),
        what="the failure",
        accept=lambda machine: machine is not None and machine.state == "failed",
    )
    assert failed is not None
    assert failed.error is not None
    assert failed.error.remedy is Remedy.SLOW_RETRY


async def test_an_answer_that_was_lost_buys_one(
    provisioner: AksProvisioner, azure: AzureEmulator
) -> None:
    azure.faults.add(LoseAnswer())
    with pytest.raises(AzureFailed):
        await provisioner.launch(request_of())
    assert not (await provisioner.launch(request_of())).created
    assert azure.ledger.accepted_creates() == {NAME: 1}


async def test_a_strangers_pool_of_the_name_that_failed_is_left_alone(
    provisioner: AksProvisioner, aks: AksAgentPools, azure: AzureEmulator
) -> None:
    azure.faults.add(FailLate(CATALOGUE["allocation-failed"], after_seconds=0.0))
    await aks.begin_create(spec(tags={"kaito.sh/nodeclaim": "another"}), key="k")
    with pytest.raises(Exception, match="NodeClaim another's"):
        await provisioner.launch(request_of())
    assert azure.ledger.calls_of(Call.DELETE_POOL) == []


# --- Slow and stuck -------------------------------------------------------------------------------


async def test_an_operation_that_hangs_is_slow_and_can_be_ended(
    provisioner: AksProvisioner, azure: AzureEmulator
) -> None:
    azure.faults.add(Hang())
    launched = await provisioner.launch(request_of())

    seen = await provisioner.observe(NAME, launched.operation)
    assert seen is not None
    assert (seen.state, seen.message) == ("creating", "(Azure's operation runs)")

    await provisioner.terminate(NAME)
    await eventually(
        lambda: provisioner.observe(NAME), what="its end", accept=lambda machine: machine is None
    )
    assert azure.ledger.alive() == []
    assert len(azure.ledger.calls_of(Call.ABORT_POOL)) == 1


async def test_operations_are_looked_at_in_turn_and_not_by_everybody(
    provisioner: AksProvisioner, azure: AzureEmulator
) -> None:
    azure.faults.add(Hang(), times=None)
    tokens = {
        f"ws{index}": (await provisioner.launch(request_of(f"ws{index}"))).operation
        for index in range(20)
    }
    await asyncio.gather(*(provisioner.observe(name, token) for name, token in tokens.items()))
    assert len(azure.ledger.calls_of(Call.GET_OPERATION)) == 1
    assert OPERATION_LOOK_SPACING_SECONDS >= 0.5  # AKS refills two a second.


async def test_a_stopped_cluster_deletes_nothing_and_says_so(
    provisioner: AksProvisioner, azure: AzureEmulator
) -> None:
    await provisioner.launch(request_of())
    await asyncio.sleep(2 * azure.knobs.create_seconds)
    azure.cloud.clusters["aks", "cluster"].power_state = "Stopped"
    with pytest.raises(AzureFailed, match="Stopped"):
        await provisioner.terminate(NAME)
    assert await provisioner.list_owned({names.LABEL_WORKSPACE_UID: "owner"}) == [NAME]
    assert await provisioner.observe(NAME) is not None


# --- What is known before asking ------------------------------------------------------------------


async def test_quota_that_is_used_up_is_told_without_asking_for_a_machine(
    careful: AksProvisioner, azure: AzureEmulator
) -> None:
    azure.knobs.quotas["standardNCADSA100v4Family"] = 24
    await careful.launch(request_of())
    with pytest.raises(QuotaExceeded, match="standardNCADSA100v4Family in eastus 24 of 24"):
        await careful.launch(request_of("ws2"))
    assert len(azure.ledger.calls_of(Call.PUT_POOL)) == 1
    # Our own machine fills the quota, and is found all the same.
    assert not (await careful.launch(request_of())).created


async def test_spot_has_a_quota_of_its_own(careful: AksProvisioner, azure: AzureEmulator) -> None:
    azure.knobs.quotas["lowPriorityCores"] = 10
    with pytest.raises(QuotaExceeded, match="lowPriorityCores"):
        await careful.launch(request_of(capacity_type=SPOT))
    assert (await careful.launch(request_of())).created


async def test_a_size_or_zone_that_is_not_to_be_had_is_told_without_asking(
    careful: AksProvisioner, azure: AzureEmulator
) -> None:
    azure.cloud.skus[VM_SIZE.lower()].restricted_zones = ("2",)
    with pytest.raises(InsufficientCapacity, match="not offered in zone 2 of eastus"):
        await careful.launch(request_of(zones=["eastus-2"]))
    with pytest.raises(InsufficientCapacity, match="has no VM size Standard_NC0"):
        await careful.launch(request_of(instance_type="Standard_NC0"))
    assert azure.ledger.calls_of(Call.PUT_POOL) == []


async def test_a_size_that_is_closed_to_the_subscription_is_told_without_asking(
    careful: AksProvisioner, azure: AzureEmulator
) -> None:
    azure.cloud.skus[VM_SIZE.lower()].is_restricted = True
    with pytest.raises(InsufficientCapacity, match="NotAvailableForSubscription"):
        await careful.launch(request_of())


@pytest.mark.parametrize("call", [Call.LIST_USAGES, Call.LIST_SKUS])
@pytest.mark.parametrize("effect", [Refuse(CATALOGUE["forbidden"]), Stall(30)], ids=["no", "slow"])
async def test_lists_that_can_not_be_read_are_no_obstacle(
    careful: AksProvisioner, azure: AzureEmulator, call: Call, effect: Refuse | Stall
) -> None:
    azure.faults.add(effect, call, times=None)
    assert (await careful.launch(request_of())).created
    await careful.close()


async def test_a_hundred_launches_read_each_list_once_and_are_not_throttled(
    careful: AksProvisioner, azure: AzureEmulator
) -> None:
    azure.throttle = AksThrottle()
    azure.knobs.max_pools = 200
    await asyncio.gather(*(careful.launch(request_of(f"ws{index}")) for index in range(100)))
    await asyncio.gather(*(careful.observe(f"ws{index}") for index in range(100)))
    assert len(azure.ledger.calls_of(Call.LIST_SKUS)) == 1
    assert len(azure.ledger.calls_of(Call.LIST_USAGES)) <= 10
    assert len(azure.ledger.alive()) == 100


async def test_a_wait_that_looks_often_asks_for_its_young_pool_once(
    provisioner: AksProvisioner, azure: AzureEmulator
) -> None:
    azure.faults.add(Hang(), times=None)
    await provisioner.observe("wsother")  # Makes the list, which knows nothing of what comes.
    azure.ledger.calls.clear()
    await provisioner.launch(request_of())
    for _ in range(20):
        assert await provisioner.observe(NAME) is not None
    assert len(azure.ledger.calls_of(Call.GET_POOL)) == 1
    assert azure.ledger.calls_of(Call.LIST_POOLS) == []
