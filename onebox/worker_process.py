"""The platform's worker and the node agent, as processes of this machine."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from typing import Final

from onebox import azure_emulator, places
from onebox.cloud import Cloud
from onebox.cluster_dns import PLATFORM_NAMESPACE
from onebox.processes import Program

READY_DEADLINE_SECONDS: Final = 120.0
"""A worker is ready after about 5 s on an idle machine; a guess above that."""

HOST: Final = "127.0.0.1"
_OK: Final = 200


def agent(node_limit: int) -> Program:
    """Return the node agent."""
    return Program(
        name="agent",
        command=[sys.executable, "-m", "onebox", "agent", f"--node-limit={node_limit}"],
        listens=((HOST, places.PORT_AGENT),),
    )


def worker(cloud: Cloud) -> Program:
    """Return the worker with the settings of this machine and its cloud."""
    nodes = (
        azure_emulator.worker_environment()
        if cloud.is_azure
        else {"KAITO_PROVISIONER": "onebox", "KAITO_ONEBOX_ENDPOINT": places.AGENT_URL}
    )
    return Program(
        name="worker",
        command=[sys.executable, "-m", "worker"],
        listens=((HOST, places.PORT_WORKER), (HOST, places.PORT_WEBHOOK)),
        environment={
            "KUBECONFIG": str(places.kubeconfig()),
            "TEMPORAL_ADDRESS": places.TEMPORAL_ADDRESS,
            "TEMPORAL_NAMESPACE": "default",
            **nodes,
            "KAITO_IMAGE_REGISTRY": places.REGISTRY,
            "KAITO_REGISTRY_PLAIN_HTTP": "true",
            "KAITO_DEFAULT_INSTANCE_TYPE": "onebox.small",
            "KAITO_HTTP_PORT": str(places.PORT_WORKER),
            "KAITO_ROLES": "workflows,activities,watcher,webhook",
            # The API server is a process of this machine, so no Service stands between.
            "KAITO_WEBHOOK_HOST": HOST,
            "KAITO_WEBHOOK_PORT": str(places.PORT_WEBHOOK),
            "KAITO_WEBHOOK_URL": f"https://{HOST}:{places.PORT_WEBHOOK}",
            "KAITO_WEBHOOK_NAMESPACE": PLATFORM_NAMESPACE,
            "KAITO_LEASE_NAMESPACE": PLATFORM_NAMESPACE,
        },
    )


def answers(url: str) -> bool:
    """Say whether a URL of this machine answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own http URLs
            return bool(answer.status == _OK)
    except (urllib.error.URLError, OSError):
        return False
