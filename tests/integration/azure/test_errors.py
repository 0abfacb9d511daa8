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
from planner.azure_errors import Exhausts, Verdict, judge
from tests.emulators.azure import CATALOGUE, AzureEmulator, FailLate, Refuse
from tests.integration.azure.parts import NAME, Clients, over, spec

EXPECTED: dict[str, tuple[type[PlatformError], Exhausts]] = {
    "family-quota": (QuotaExceeded, Exhausts.FAMILY),
    "regional-quota": (QuotaExceeded, Exhausts.PRIORITY),
    "compute-family-quota": (QuotaExceeded, Exhausts.FAMILY),
    "compute-spot-quota": (QuotaExceeded, Exhausts.PRIORITY),
    "nested-quota": (QuotaExceeded, Exhausts.PRIORITY),
    "too-many-pools": (QuotaExceeded, Exhausts.EVERYTHING),
    "subnet-full": (QuotaExceeded, Exhausts.EVERYTHING),
    "zonal-allocation-failed": (InsufficientCapacity, Exhausts.ZONE),
    "overconstrained-zonal": (InsufficientCapacity, Exhausts.ZONE),
    "zone-not-supported": (InsufficientCapacity, Exhausts.ZONE),
    "allocation-failed": (InsufficientCapacity, Exhausts.SIZE),
    "overconstrained": (InsufficientCapacity, Exhausts.SIZE),
    "sku-not-available": (InsufficientCapacity, Exhausts.SIZE),
    "size-not-allowed": (InsufficientCapacity, Exhausts.SIZE),
    "capacity-heavy-usage": (InsufficientCapacity, Exhausts.EVERYTHING),
    "invalid-vm-size": (InvalidWorkspace, Exhausts.SIZE),
    "invalid-tag-names": (ProviderFailed, Exhausts.NOTHING),
    "property-change": (ProviderFailed, Exhausts.NOTHING),
    "invalid-token": (AccessDenied, Exhausts.EVERYTHING),
    "expired-token": (AccessDenied, Exhausts.EVERYTHING),
    "forbidden": (AccessDenied, Exhausts.EVERYTHING),
    "disallowed-by-policy": (AccessDenied, Exhausts.SIZE),
    "provider-not-registered": (AccessDenied, Exhausts.EVERYTHING),
    "subscription-not-found": (AccessDenied, Exhausts.EVERYTHING),
    "group-not-found": (ProviderFailed, Exhausts.EVERYTHING),
    "cluster-not-found": (ProviderFailed, Exhausts.EVERYTHING),
    "pool-not-found": (ProviderFailed, Exhausts.NOTHING),
    "own-operation-in-progress": (Conflict, Exhausts.NOTHING),
    "another-operation-in-progress": (Conflict, Exhausts.NOTHING),
    "etag-mismatch": (Conflict, Exhausts.NOTHING),
    "preempted": (Conflict, Exhausts.NOTHING),
    "canceled": (ProviderFailed, Exhausts.NOTHING),
    "cluster-stopped": (ProviderFailed, Exhausts.EVERYTHING),
    "aks-throttled": (Throttled, Exhausts.NOTHING),
    "arm-throttled": (Throttled, Exhausts.NOTHING),
    "late-throttled": (Throttled, Exhausts.NOTHING),
    "node-bootstrap-failed": (ProviderFailed, Exhausts.NOTHING),
    "late-internal-error": (ProviderFailed, Exhausts.NOTHING),
    "internal-error": (ClusterUnavailable, Exhausts.NOTHING),
    "bad-gateway": (ClusterUnavailable, Exhausts.NOTHING),
    "service-unavailable": (ClusterUnavailable, Exhausts.NOTHING),
}

ENDS_OPERATIONS = [
    name
    for name, error in CATALOGUE.items()
    # By itself; or a refusal that has been seen at the end of operations, too.
    if error.status == 200
    or EXPECTED[name][0] in {QuotaExceeded, InsufficientCapacity}
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

    assert (verdict.error, verdict.exhausts) == EXPECTED[name]
    assert azure.ledger.pools == []


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
    assert (verdict.error, verdict.exhausts) == EXPECTED[name]
    # Whoever lost the token reads the same from the pool itself.
    pool = await pools.find(NAME, key="k")
    assert pool is not None
    assert pool.failure is not None
    assert (judge(pool.failure).error, judge(pool.failure).exhausts) == EXPECTED[name]
