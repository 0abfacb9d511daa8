"""Who we are to Azure; nothing is asked before somebody calls."""

from __future__ import annotations

from pathlib import Path

from activities.clients.azure.credentials import default_credential, workload_identity


async def test_a_pods_identity_needs_no_more_than_its_token_file(tmp_path: Path) -> None:
    credential = workload_identity(
        tenant_id="tenant", client_id="client", token_file_path=str(tmp_path / "token")
    )
    await credential.close()


async def test_a_sovereign_clouds_identity_has_its_own_authority(tmp_path: Path) -> None:
    credential = workload_identity(
        tenant_id="tenant",
        client_id="client",
        token_file_path=str(tmp_path / "token"),
        authority="https://login.chinacloudapi.cn",
    )
    await credential.close()


async def test_a_developers_login_is_looked_for_only_when_it_is_needed() -> None:
    await default_credential().close()
