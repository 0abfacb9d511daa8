"""Who we are to Azure."""

from __future__ import annotations

from azure.core.credentials_async import AsyncTokenCredential
from azure.identity.aio import DefaultAzureCredential, WorkloadIdentityCredential


def workload_identity(
    *, tenant_id: str, client_id: str, token_file_path: str, authority: str = ""
) -> AsyncTokenCredential:
    """Return the credential of a pod: its service account's token, exchanged for Azure's.

    Args:
        tenant_id: Of the identity.
        client_id: Of the identity.
        token_file_path: Where the kubelet keeps the service account's token fresh.
        authority: Of a sovereign cloud; empty: the public one.
    """
    options = {"authority": authority} if authority else {}
    return WorkloadIdentityCredential(
        tenant_id=tenant_id, client_id=client_id, token_file_path=token_file_path, **options
    )


def default_credential() -> AsyncTokenCredential:
    """Return whatever this machine is logged in with: a developer's, or a pod's by its environment.

    The interactive ways are off: nobody would see them ask.
    """
    return DefaultAzureCredential(exclude_interactive_browser_credential=True)
