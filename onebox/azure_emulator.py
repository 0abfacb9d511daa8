"""The emulated Azure, as a process of this machine.

It is part of the tests, which onebox does not import: it is started by its command line, and only
where the repository is whole.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from onebox import places
from onebox.cloud import Cloud
from onebox.errors import OneboxError
from onebox.processes import Program

MODULE: Final = "tests.emulators.azure"
NAME: Final = "azure-emulator"

SUBSCRIPTION: Final = "00000000-0000-0000-0000-000000000001"
RESOURCE_GROUP: Final = "group"
CLUSTER: Final = "cluster"
"""The one cluster that the emulator has (tests/emulators/azure/state.py)."""

CREATE_SECONDS: Final = 1.0
DELETE_SECONDS: Final = 1.0
"""1 s each beside what the real node takes, about as long: minutes, as of Azure, show no more."""

READY_DEADLINE_SECONDS: Final = 60.0
"""Serves 0.3 s after its start (2026-11-25); a guess far above that."""

HOST: Final = "127.0.0.1"
_OK: Final = 200


def require(repository: Path) -> None:
    """Check that the emulator is there, before anything is started that would wait for it.

    Raises:
        OneboxError: The repository's tests are not here.
    """
    entry = repository.joinpath(*MODULE.split("."), "__main__.py")
    if not entry.exists():
        raise OneboxError(
            f"the emulator of Azure is not here: {entry} is missing",
            "use a whole checkout of the repository, or `up --cloud onebox`",
        )


def program(cloud: Cloud) -> Program:
    """Return the emulator, with the node agent behind its agent pools."""
    return Program(
        name=NAME,
        command=[
            sys.executable,
            "-m",
            MODULE,
            f"--host={HOST}",
            f"--port={places.PORT_AZURE}",
            f"--node-agent={places.AGENT_URL}",
            f"--create-seconds={CREATE_SECONDS}",
            f"--delete-seconds={DELETE_SECONDS}",
            *(f"--quota={quota}" for quota in cloud.quotas),
        ],
        listens=((HOST, places.PORT_AZURE),),
    )


def worker_environment() -> dict[str, str]:
    """Return the worker's settings that make Azure's SDK talk to the emulator."""
    return {
        "KAITO_PROVISIONER": "aks",
        "KAITO_AZURE_ENDPOINT": places.AZURE_URL,
        "KAITO_AZURE_SUBSCRIPTION": SUBSCRIPTION,
        "KAITO_AZURE_RESOURCE_GROUP": RESOURCE_GROUP,
        "KAITO_AZURE_CLUSTER": CLUSTER,
    }


def is_serving() -> bool:
    """Say whether it answers for its cluster."""
    request = urllib.request.Request(  # noqa: S310 - our own http URLs
        f"{cluster_url()}?api-version=2025-01-01", headers={"Authorization": "Bearer emulator"}
    )
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310 - as above
            return bool(answer.status == _OK)
    except (urllib.error.URLError, OSError):
        return False


def cluster_url() -> str:
    """Return the cluster's address at the emulated Resource Manager."""
    return (
        f"{places.AZURE_URL}/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}"
        f"/providers/Microsoft.ContainerService/managedClusters/{CLUSTER}"
    )
