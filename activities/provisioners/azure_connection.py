"""Provisioners of agent pools, connected to Azure.

Imported only where such a provisioner is configured: Azure's SDK takes a second to load.
"""

from __future__ import annotations

from activities.clients.azure import AzureEndpoint
from activities.clients.azure.agent_pools import AksAgentPools
from activities.clients.azure.arc_pools import ArcAgentPools
from activities.clients.azure.caller import Caller
from activities.clients.azure.compute import AzureCompute
from activities.clients.azure.credentials import default_credential, workload_identity
from activities.clients.azure.emulated import Credential, EmulatorCredential
from activities.provisioners.aks import AksProvisioner
from activities.provisioners.aks_arc import AksArcProvisioner
from activities.provisioners.azure_offers import AzureOffers
from activities.provisioners.azure_settings import AzureSettings


def connect_aks(settings: AzureSettings) -> AksProvisioner:
    """Return the provisioner of one AKS cluster; nothing is asked yet."""
    caller, credential = _open(settings)
    pools = AksAgentPools(caller)

    async def find_location() -> str:
        return settings.location or (await pools.get_cluster(key="location")).location

    offers = AzureOffers(AzureCompute(caller), find_location)
    return AksProvisioner(pools, offers, credential=credential)


def connect_aks_arc(settings: AzureSettings) -> AksArcProvisioner:
    """Return the provisioner of one connected cluster; nothing is asked yet."""
    caller, credential = _open(settings)
    pools = ArcAgentPools(caller, custom_location_id=settings.custom_location)
    return AksArcProvisioner(pools, credential=credential)


def _open(settings: AzureSettings) -> tuple[Caller, Credential]:
    endpoint = AzureEndpoint(
        subscription_id=settings.subscription,
        resource_group=settings.resource_group,
        cluster_name=settings.cluster,
        base_url=settings.endpoint,
    )
    credential = _credential(settings, is_emulator=not endpoint.is_encrypted)
    return Caller(endpoint, credential), credential


def _credential(settings: AzureSettings, *, is_emulator: bool) -> Credential:
    if is_emulator:
        return EmulatorCredential()
    if settings.has_workload_identity:
        return workload_identity(
            tenant_id=settings.tenant_id,
            client_id=settings.client_id,
            token_file_path=settings.token_file,
            authority=settings.authority,
        )
    return default_credential()
