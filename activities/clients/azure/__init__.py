"""Azure, the one importer of its SDK: agent pools (AKS and Arc), quota, VM sizes.

    clients (agent_pools, arc_pools, compute)   what can be asked
      caller     the door of every call: deadline, client request id, throttle, errors
      operations long-running operations: a token that outlives the process, and one look at a time

Nothing is decided here: a refusal comes out as `AzureFailed` with Azure's answer taken apart, and
`planner.azure_errors` says what it means. The SDK's own retries, redirects and registration of
resource providers are off: they would hide from the workflow what happened, and when.

This module and its `errors`, `models`, `limits` import no SDK, so that they cost nothing where
there is no Azure; the clients are imported from their own modules.
"""

from __future__ import annotations

from activities.clients.azure.errors import AzureFailed
from activities.clients.azure.models import (
    AgentPools,
    AzureEndpoint,
    Begun,
    ClusterFacts,
    OperationState,
    OperationStatus,
    Pool,
    PoolSpec,
    SkuFacts,
    Usage,
    tag_name,
)

__all__ = [
    "AgentPools",
    "AzureEndpoint",
    "AzureFailed",
    "Begun",
    "ClusterFacts",
    "OperationState",
    "OperationStatus",
    "Pool",
    "PoolSpec",
    "SkuFacts",
    "Usage",
    "tag_name",
]
