"""Which of Azure's clusters gets agent pools, and who we are; `worker/settings.py` reads it."""

from __future__ import annotations

from dataclasses import dataclass

from activities.clients.azure.models import PUBLIC_CLOUD_URL


@dataclass(frozen=True)
class AzureSettings:
    """Of one cluster; the identity's four are those that AKS puts into a pod's environment."""

    subscription: str
    resource_group: str
    cluster: str
    location: str = ""
    """Region of the nodes; empty: the cluster's own."""
    endpoint: str = PUBLIC_CLOUD_URL
    """Azure Resource Manager. An address without TLS is an emulator's, on this very machine."""
    custom_location: str = ""
    """AKS Arc: resource id of the custom location of new pools; empty: the cluster's own."""
    tenant_id: str = ""
    client_id: str = ""
    token_file: str = ""
    authority: str = ""

    @property
    def has_workload_identity(self) -> bool:
        """Whether the pod has an identity of its own; else this machine's login counts."""
        return bool(self.tenant_id and self.client_id and self.token_file)
