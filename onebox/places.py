"""Where things lie on disk and on the network, in one place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent

BRIDGE: Final = "kaito0"
HOST_ADDRESS: Final = "10.89.0.1"
NODE_NETWORK_PREFIX: Final = "10.89.0."
NODE_NETWORK_BITS: Final = 24
POD_NETWORK: Final = "10.244.0.0/16"
SERVICE_NETWORK: Final = "10.96.0.0/16"
KUBERNETES_SERVICE_ADDRESS: Final = "10.96.0.1"
DNS_ADDRESS: Final = "10.96.0.10"

PORT_API_SERVER: Final = 6443
PORT_ETCD: Final = 2379
PORT_ETCD_PEER: Final = 2380
PORT_CONTROLLER_MANAGER: Final = 10257
PORT_SCHEDULER: Final = 10259
PORT_REGISTRY: Final = 5000
PORT_AGENT: Final = 7070
PORT_AZURE: Final = 7080
PORT_TEMPORAL: Final = 7233
PORT_TEMPORAL_UI: Final = 8233
PORT_WORKER: Final = 8090
PORT_WEBHOOK: Final = 9443

API_SERVER: Final = f"https://{HOST_ADDRESS}:{PORT_API_SERVER}"
REGISTRY: Final = f"{HOST_ADDRESS}:{PORT_REGISTRY}"
REGISTRY_URL: Final = f"http://{REGISTRY}"
AGENT_URL: Final = f"http://127.0.0.1:{PORT_AGENT}"
AZURE_URL: Final = f"http://127.0.0.1:{PORT_AZURE}"
TEMPORAL_ADDRESS: Final = f"127.0.0.1:{PORT_TEMPORAL}"
TEMPORAL_UI_URL: Final = f"http://127.0.0.1:{PORT_TEMPORAL_UI}"
WORKER_URL: Final = f"http://127.0.0.1:{PORT_WORKER}"


def cache() -> Path:
    """Return the folder of what is costly to make and keyed by version; it outlives `down`."""
    chosen = os.environ.get("KAITO_CACHE", "")
    return Path(chosen).absolute() if chosen else Path.home() / ".cache" / "kaito-onebox"


def run() -> Path:
    """Return the folder of this installation's state; `down` empties it, except for the logs."""
    chosen = os.environ.get("KAITO_RUN", "")
    return Path(chosen).absolute() if chosen else REPOSITORY / ".run"


def log() -> Path:
    """Return the folder of every program's log."""
    return run() / "log"


def kubeconfig() -> Path:
    """Return the administrator's kubeconfig."""
    return run() / "admin.kubeconfig"
