"""Token buckets as AKS documents them; off unless a test asks for them.

Source: learn.microsoft.com/azure/aks/quotas-skus-regions, "Throttling limits on AKS resource
provider APIs", read 2026-11-25: PUT AgentPool 20 then 1 a minute, for each pool; operation status
200 then 2 a second, a subscription; GET ManagedCluster 60 then 1 a second; all other APIs 60 then
1 a second, a subscription.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from tests.emulators.azure.faults import Call

_LIMITS: Final[dict[Call, tuple[str, float, float]]] = {
    Call.PUT_POOL: ("put", 20, 1 / 60),
    Call.GET_OPERATION: ("operation", 200, 2),
    Call.GET_CLUSTER: ("cluster", 60, 1),
    Call.GET_POOL: ("other", 60, 1),
    Call.LIST_POOLS: ("other", 60, 1),
    Call.DELETE_POOL: ("other", 60, 1),
    Call.ABORT_POOL: ("other", 60, 1),
}
"""Bucket, its size, its refill in requests a second. Compute's calls have limits of their own."""


@dataclass
class AksThrottle:
    """Counts requests; says how long to wait when there were too many."""

    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, call: Call, pool: str, now_seconds: float) -> int | None:
        """Return None when the request may pass, else the seconds of Retry-After."""
        if call not in _LIMITS:
            return None
        bucket, size, refill = _LIMITS[call]
        key = f"{bucket}/{pool}" if call is Call.PUT_POOL else bucket
        left, at_seconds = self._left.get(key, (size, now_seconds))
        left = min(size, left + (now_seconds - at_seconds) * refill)
        if left < 1:
            self._left[key] = (left, now_seconds)
            return math.ceil((1 - left) / refill)
        self._left[key] = (left - 1, now_seconds)
        return None
