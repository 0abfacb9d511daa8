"""The NodeClaim object itself: read it, tell its conditions, let it go."""

from __future__ import annotations

from datetime import UTC, datetime

from activities.clients.kubernetes import NODE_CLAIMS
from activities.context import ActivityContext
from activities.errors import implements
from activities.node_claim.reading import find_claim
from api import contracts, names
from api import payloads as p
from planner import facts
from planner.node_claims import render_node_claim_status


class Claims:
    """Reads and writes NodeClaims."""

    def __init__(self, ctx: ActivityContext) -> None:
        """Take what all activities share."""
        self._ctx = ctx

    @implements(contracts.observe_node_claim)
    async def observe_node_claim(self, payload: p.NodeClaimRef) -> p.NodeClaimFacts:
        """See the contract."""
        # By name only: the workflow must learn of another uid under this name.
        obj = await self._ctx.cluster.find(NODE_CLAIMS, payload.name)
        if obj is None:
            return p.NodeClaimFacts()
        metadata = obj["metadata"]
        claim = facts.claim_facts(obj)
        node = self._ctx.informers.nodes.get(claim.node_name) if claim.node_name else None
        return p.NodeClaimFacts(
            found=True,
            uid=metadata["uid"],
            deleting=claim.is_deleting,
            has_finalizer=names.FINALIZER_NODE_CLAIM in (metadata.get("finalizers") or []),
            instance_type=claim.instance_type,
            launched=bool(claim.provider_id),
            # A node that was ready and is lost makes the claim not ready, whatever it says.
            ready=claim.is_ready and node is not None and facts.node_facts(node).is_ready,
            node_name=claim.node_name,
            provider_id=claim.provider_id,
        )

    @implements(contracts.report_node_claim)
    async def report_node_claim(self, payload: p.ReportNodeClaimInput) -> p.ReportResult:
        """See the contract."""
        return await write_status(self._ctx, payload)

    @implements(contracts.release_node_claim)
    async def release_node_claim(self, payload: p.NodeClaimRef) -> p.TeardownResult:
        """See the contract."""
        obj = await find_claim(self._ctx, payload)
        if obj is None:
            return p.TeardownResult()
        metadata = obj["metadata"]
        finalizers = metadata.get("finalizers") or []
        if names.FINALIZER_NODE_CLAIM not in finalizers:
            return p.TeardownResult()
        await self._ctx.cluster.merge_patch(
            NODE_CLAIMS,
            payload.name,
            {
                "metadata": {
                    "resourceVersion": metadata["resourceVersion"],
                    "finalizers": [one for one in finalizers if one != names.FINALIZER_NODE_CLAIM],
                }
            },
        )
        return p.TeardownResult(removed=[f"finalizer/{names.FINALIZER_NODE_CLAIM}"])


async def write_status(ctx: ActivityContext, report: p.ReportNodeClaimInput) -> p.ReportResult:
    """Write the claim's conditions, if they differ."""
    obj = await find_claim(ctx, report.claim)
    if obj is None:
        return p.ReportResult()
    node = ctx.informers.nodes.get(report.node_name) if report.node_name else None
    if node is not None:
        # A cloud's machine has its providerID only now; before, its provider's own name stood here.
        provider_id = facts.node_facts(node).provider_id or report.provider_id
        report = report.model_copy(update={"provider_id": provider_id})
    status = render_node_claim_status(
        report,
        obj.get("status") or {},
        datetime.now(tz=UTC),
        generation=obj["metadata"]["generation"],
    )
    if status is None:
        return p.ReportResult()
    await ctx.cluster.merge_patch(
        NODE_CLAIMS,
        report.claim.name,
        {"metadata": {"uid": obj["metadata"]["uid"]}, "status": status},
        subresource="status",
    )
    return p.ReportResult(written=True)
