"""Quota and VM sizes, as the subscription may use them."""

from __future__ import annotations

import pytest

from activities.clients.azure import AzureFailed
from activities.clients.azure.agent_pools import AksAgentPools
from activities.clients.azure.compute import AzureCompute
from api.errors import AccessDenied
from planner.azure_errors import judge
from tests.emulators.azure import AzureEmulator, Call, Refuse
from tests.emulators.azure.errors import forbidden
from tests.integration.azure.parts import VM_SIZE, spec

FAMILY = "standardncadsa100v4family"


async def test_quota_counts_what_stands_and_what_is_allowed(
    compute: AzureCompute, aks: AksAgentPools, azure: AzureEmulator
) -> None:
    azure.knobs.quotas = {"standardNCADSA100v4Family": 48, "lowPriorityCores": 24}
    await aks.begin_create(spec("ws1"), key="k")
    await aks.begin_create(spec("ws2", is_spot=True), key="k")

    usages = await compute.list_usages("eastus", key="k")

    assert (usages[FAMILY].used, usages[FAMILY].limit, usages[FAMILY].remaining) == (24, 48, 24)
    assert usages["lowprioritycores"].remaining == 0
    assert usages["cores"].used == 24


async def test_a_size_says_where_this_subscription_may_have_it(
    compute: AzureCompute, azure: AzureEmulator
) -> None:
    azure.cloud.skus[VM_SIZE.lower()].restricted_zones = ("3",)
    azure.cloud.skus["standard_nc6s_v3"].is_restricted = True

    skus = await compute.list_skus("eastus", key="k")

    a100 = skus[VM_SIZE.lower()]
    assert (a100.zones, a100.is_restricted) == (("1", "2"), False)
    assert (a100.vcpu_count, a100.gpu_count) == (24, 1)
    assert a100.family.lower() == FAMILY
    assert skus["standard_nc6s_v3"].is_restricted
    assert skus["standard_nc6s_v3"].restriction == "NotAvailableForSubscription"
    assert skus["standard_nd96isr_h100_v5"].zones == ()


async def test_a_region_without_sizes_is_empty(compute: AzureCompute) -> None:
    assert await compute.list_skus("nowhere", key="k") == {}


async def test_a_missing_right_to_read_is_told_as_such(
    compute: AzureCompute, azure: AzureEmulator
) -> None:
    action = "Microsoft.Compute/locations/usages/read"
    azure.faults.add(Refuse(forbidden(action)), Call.LIST_USAGES)

    with pytest.raises(AzureFailed, match=action) as caught:
        await compute.list_usages("eastus", key="k")

    assert judge(caught.value.failure).error is AccessDenied
