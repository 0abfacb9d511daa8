"""What a claim tells while its machine takes long; a quick one is told once, at the end."""

from __future__ import annotations

import logging
from typing import Final

from activities.clients.kubernetes import ApiError
from activities.context import ActivityContext
from activities.node_claim.claim import write_status
from activities.provisioners import Machine
from activities.waiting import Deadline
from api import payloads as p
from planner.world import NodeFacts

SHOWN_AFTER_SECONDS: Final = 20
"""20 s: onebox's machines are ready before, so they cost no write more; a cloud's take minutes, and
two writes more (Launched, Registered)."""

_log = logging.getLogger(__name__)


class Progress:
    """Writes Launched and Registered for one claim, each once."""

    def __init__(self, ctx: ActivityContext, claim: p.NodeClaimRef) -> None:
        """Take whose progress it is."""
        self._ctx = ctx
        self._claim = claim
        self._passed = Deadline("until progress is shown", SHOWN_AFTER_SECONDS, "")
        self._told: bool | None = None

    async def tell(self, machine: Machine, node: NodeFacts | None) -> None:
        """Write how far the machine is, if that is news and the wait was long."""
        has_joined = node is not None
        if self._told is has_joined or self._passed.passed_seconds() < self._passed.seconds:
            return
        report = p.ReportNodeClaimInput(
            claim=self._claim,
            launched=True,
            registered=has_joined,
            provider_id=machine.provider_id,
            node_name=node.name if node is not None else "",
        )
        try:
            await write_status(self._ctx, report)
        except ApiError as error:
            # The machine matters more than the words about it.
            _log.info("the progress of NodeClaim %s was not written: %s", self._claim.name, error)
            return
        self._told = has_joined
