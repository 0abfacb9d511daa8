"""Every error of the catalogue, through the real SDK, lands on the right class."""

from __future__ import annotations

import pytest

from activities.clients.azure import AgentPools, AzureFailed
from api.errors import (
    AccessDenied,
    ClusterUnavailable,
    Conflict,
    InsufficientCapacity,
    InvalidWorkspace,
    PlatformError,
    ProviderFailed,
    QuotaExceeded,
    Throttled,
)
from planner.azure_errors import Verdict, judge
from tests.emulators.azure import CATALOGUE, AzureEmulator, FailLate, Refuse
from tests.integration.azure.parts import NAME, Clients, over, spec

EXPECTED: dict[str, type[PlatformError]] = {
    "family-quota": QuotaExceeded,
    "regional-quota": QuotaExceeded,
    "compute-family-quota": QuotaExceeded,
    "compute-spot-quota": QuotaExceeded,
    "nested-quota": QuotaExceeded,
    "too-many-pools": QuotaExceeded,
    "subnet-full": QuotaExceeded,
    "zonal-allocation-failed": InsufficientCapacity,
    "overconstrained-zonal": InsufficientCapacity,
    "zone-not-supported": InsufficientCapacity,
    "allocation-failed": InsufficientCapacity,
    "overconstrained": InsufficientCapacity,
    "sku-not-available": InsufficientCapacity,
    "size-not-allowed": InsufficientCapacity,
    "capacity-heavy-usage": InsufficientCapacity,
    "invalid-vm-size": InvalidWorkspace,
    "invalid-tag-names": ProviderFailed,
    "property-change": ProviderFailed,
    "invalid-token": AccessDenied,
    "expired-token": AccessDenied,
    "forbidden": AccessDenied,
    "disallowed-by-policy": AccessDenied,
    "provider-not-registered": AccessDenied,
    "subscription-not-found": AccessDenied,
    "group-not-found": ProviderFailed,
    "cluster-not-found": ProviderFailed,
    "pool-not-found": ProviderFailed,
    "own-operation-in-progress": Conflict,
    "another-operation-in-progress": Conflict,
    "etag-mismatch": Conflict,
    "preempted": Conflict,
    "canceled": ProviderFailed,
    "cluster-stopped": ProviderFailed,
    "aks-throttled": Throttled,
    "arm-throttled": Throttled,
    "late-throttled": Throttled,
    "node-bootstrap-failed": ProviderFailed,
    "late-internal-error": ProviderFailed,
    "internal-error": ClusterUnavailable,
    "bad-gateway": ClusterUnavailable,
    "service-unavailable": ClusterUnavailable,
}

ENDS_OPERATIONS = [
    name
    for name, error in CATALOGUE.items()
    # By itself; or a refusal that has been seen at the end of operations, too.
    if error.status == 200
    or EXPECTED[name] in {QuotaExceeded, InsufficientCapacity}
    or name == "forbidden"
]


def test_the_catalogue_is_expected_to_the_last_entry() -> None:
    assert set(EXPECTED) == set(CATALOGUE)


async def refusal(pools: AgentPools) -> Verdict:
    with pytest.raises(AzureFailed) as caught:
        await pools.begin_create(spec(), key="k")
    return judge(caught.value.failure)


@pytest.mark.parametrize("service", ["aks", "arc"])
@pytest.mark.parametrize(
    "name",
    [
        name
        for name, error in CATALOGUE.items()
        # A create that is refused for a pool that is there is no error: see test_pools.
        if error.status not in {200, 412}
    ],
)
async def test_a_refusal_lands_on_the_right_class(
    clients: Clients, azure: AzureEmulator, service: str, name: str
) -> None:
    azure.faults.add(Refuse(CATALOGUE[name]))

    verdict = await refusal(getattr(clients, service)())

    assert verdict.error is EXPECTED[name]
    assert azure.ledger.pools == []


@pytest.mark.parametrize("service", ["aks", "arc"])
@pytest.mark.parametrize("name", ["family-quota", "forbidden", "internal-error"])
async def test_a_refusal_is_told_by_its_code_and_words_and_never_as_json(
    clients: Clients, azure: AzureEmulator, service: str, name: str
) -> None:
    error = CATALOGUE[name]
    azure.faults.add(Refuse(error))

    with pytest.raises(AzureFailed) as caught:
        await getattr(clients, service)().begin_create(spec(), key="k")

    failure = caught.value.failure
    assert (failure.code, failure.message) == (error.code, error.message)
    for told in (judge(failure).message, str(caught.value)):
        assert error.code in told
        assert "{" not in told
        assert '"' not in told


@pytest.mark.parametrize("service", ["aks", "arc"])
@pytest.mark.parametrize("name", ENDS_OPERATIONS)
async def test_the_end_of_an_operation_lands_on_the_right_class(
    clients: Clients, azure: AzureEmulator, service: str, name: str
) -> None:
    azure.faults.add(FailLate(CATALOGUE[name]))
    pools: AgentPools = getattr(clients, service)()
    begun = await pools.begin_create(spec(), key="k")

    status = await over(pools, begun.token)

    assert status.failure is not None
    verdict = judge(status.failure)
    assert verdict.error is EXPECTED[name]
    # Whoever lost the token reads the same from the pool itself.
    pool = await pools.find(NAME, key="k")
    assert pool is not None
    assert pool.failure is not None
    assert judge(pool.failure).error is EXPECTED[name]
