"""An emulator of Azure's API: it imitates Azure, errors and all, and judges nothing.

    AzureEmulator (server)  paths, headers, status codes  ── the real SDK talks to it
      Cloud (state)         clusters, pools, operations, quota, capacity
        Ledger              every request, every pool that ever was: what tests judge by
        Faults, errors      what goes wrong, to which call, how often, in Azure's own words
        on_pool_created     hooks: what stands behind a pool (nothing, kwok nodes, real nodes)

`python -m tests.emulators.azure --port 8080` runs it alone.
"""

from __future__ import annotations

from tests.emulators.azure.errors import CATALOGUE, ArmError
from tests.emulators.azure.faults import (
    Call,
    Cancel,
    FailLate,
    Hang,
    LoseAnswer,
    LoseRequest,
    Refuse,
    Slow,
    Stall,
)
from tests.emulators.azure.server import AzureEmulator
from tests.emulators.azure.state import CLUSTER, RESOURCE_GROUP, SUBSCRIPTION, Knobs, Pool
from tests.emulators.azure.throttle import AksThrottle

__all__ = [
    "CATALOGUE",
    "CLUSTER",
    "RESOURCE_GROUP",
    "SUBSCRIPTION",
    "AksThrottle",
    "ArmError",
    "AzureEmulator",
    "Call",
    "Cancel",
    "FailLate",
    "Hang",
    "Knobs",
    "LoseAnswer",
    "LoseRequest",
    "Pool",
    "Refuse",
    "Slow",
    "Stall",
]
