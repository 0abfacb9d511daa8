"""Claims that Karpenter serves: whether it can, and why one of them was taken away.

A claim of ours can't vanish while it is served by us: our finalizer holds it. Karpenter deletes
claims that it can't launch. A step that waits for a claim must not wait for one that is gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from temporalio import activity

from activities.clients.kubernetes import NODE_CLAIMS
from activities.context import ActivityContext
from activities.provisioners.karpenter import KarpenterProvisioner
from api.errors import InsufficientCapacity
from planner.fields import text_at

EVENT_SECONDS: Final = 5.0
"""5 s that an Event gets to arrive after its claim was deleted. Karpenter sends it first, but by a
queue of its own (a guess)."""


class KarpenterClaims:
    """Looks after the claims of one call of an activity; does nothing under other provisioners."""

    def __init__(
        self, ctx: ActivityContext, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take what all activities share."""
        self._cluster = ctx.cluster
        provisioner = ctx.provisioner
        self._karpenter = provisioner if isinstance(provisioner, KarpenterProvisioner) else None
        self._clock = clock
        self._gone_since: dict[str, float] = {}

    async def prepare(self, bodies: Iterable[Mapping[str, Any]]) -> None:
        """Return when the claims that are about to be made can be served.

        Raises:
            ProviderFailed: Karpenter or a node class is not there, or is not ready.
            NotReadyYet: a node class was made a moment ago.
            AccessDenied: the platform may not read or make it.
        """
        if self._karpenter is None:
            return
        for name in sorted({text_at(body, "spec", "nodeClassRef", "name") for body in bodies}):
            await self._karpenter.prepare(name)

    async def missing(self, name: str) -> str:
        """Return a sentence about a claim that was made and that the cache does not have.

        Raises:
            QuotaExceeded, InsufficientCapacity, AccessDenied, ProviderFailed: Karpenter took the
                claim away, for this reason.
        """
        asked = f"{name}: asked for"
        if self._karpenter is None:
            return asked
        if await self._cluster.find(NODE_CLAIMS, name) is not None:
            self._gone_since.pop(name, None)
            return asked
        refusal = await self._karpenter.find_refusal(name, since=_asked_at())
        if refusal is not None:
            raise type(refusal)(f"NodeClaim {name}: {refusal}")
        gone_since = self._gone_since.setdefault(name, self._clock())
        if self._clock() - gone_since < EVENT_SECONDS:
            return f"{name}: was taken away; looking for the reason"
        # Says ProviderFailed itself where that is it.
        await self._karpenter.prepare()
        raise InsufficientCapacity(
            f"NodeClaim {name}: Karpenter took it away and no Event says why; it does so when it "
            "has no capacity of the type, and after 15 min without a node"
        )


def _asked_at() -> datetime:
    """Return when the step that waits for the claims began: right after they were made."""
    return activity.info().scheduled_time.astimezone(UTC)
