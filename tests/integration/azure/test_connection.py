"""Provisioners of agent pools as a worker makes them from its settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from azure.identity.aio import DefaultAzureCredential, WorkloadIdentityCredential

from activities.clients.azure.emulated import EmulatorCredential
from activities.provisioners import MachineRequest
from activities.provisioners.azure_connection import connect_aks, connect_aks_arc
from activities.provisioners.azure_settings import AzureSettings
from tests.emulators.azure import CLUSTER, RESOURCE_GROUP, SUBSCRIPTION, AzureEmulator, Call
from tests.integration.azure.parts import NAME, VM_SIZE


@pytest.mark.parametrize("connect", [connect_aks, connect_aks_arc])
async def test_a_pod_is_who_its_identity_says(tmp_path: Path, connect: type) -> None:
    settings = AzureSettings(
        SUBSCRIPTION,
        RESOURCE_GROUP,
        CLUSTER,
        tenant_id="tenant",
        client_id="client",
        token_file=str(tmp_path / "token"),
    )
    provisioner = connect(settings)
    assert isinstance(provisioner._credential, WorkloadIdentityCredential)
    await provisioner.close()


async def test_elsewhere_this_machines_login_counts() -> None:
    provisioner = connect_aks(AzureSettings(SUBSCRIPTION, RESOURCE_GROUP, CLUSTER))
    assert isinstance(provisioner._credential, DefaultAzureCredential)
    await provisioner.close()


async def test_an_emulator_is_asked_without_any_identity_and_in_its_clusters_region(
    azure: AzureEmulator,
) -> None:
    provisioner = connect_aks(
        AzureSettings(SUBSCRIPTION, RESOURCE_GROUP, CLUSTER, endpoint=azure.base_url)
    )
    assert isinstance(provisioner._credential, EmulatorCredential)
    await provisioner.launch(MachineRequest(NAME, VM_SIZE))
    assert [call.call for call in azure.ledger.calls] == [
        Call.GET_CLUSTER,
        Call.LIST_SKUS,
        Call.LIST_USAGES,
        Call.PUT_POOL,
    ]
    await provisioner.close()
