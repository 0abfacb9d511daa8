"""What a NodeClaim asks for, and the Node that came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from activities.clients.kubernetes import NODE_CLAIMS
from activities.context import ActivityContext
from activities.provisioners import MachineRequest
from api import names
from api.payloads import NodeClaimRef
from planner import facts
from planner.world import NodeFacts

TAG_KEYS = (
    names.LABEL_WORKSPACE,
    names.LABEL_WORKSPACE_NAMESPACE,
    names.LABEL_WORKSPACE_UID,
    names.LABEL_MANAGED_BY,
)
"""Ownership labels of a claim that its machine carries as tags."""


async def find_claim(ctx: ActivityContext, ref: NodeClaimRef) -> dict[str, Any] | None:
    """Return the claim, past every cache; None too when it is another uid's."""
    obj = await ctx.cluster.find(NODE_CLAIMS, ref.name)
    if obj is None or (ref.uid and obj["metadata"]["uid"] != ref.uid):
        return None
    return obj


def machine_request(claim: Mapping[str, Any]) -> MachineRequest:
    """Return what the claim asks its provider for."""
    labels = claim["metadata"].get("labels") or {}
    instance_type = facts.claim_facts(claim).instance_type
    return MachineRequest(
        name=claim["metadata"]["name"],
        instance_type=instance_type,
        labels={**labels, names.LABEL_INSTANCE_TYPE: instance_type},
        taints=claim["spec"].get("taints") or (),
        tags={key: labels[key] for key in TAG_KEYS if key in labels},
    )


def find_node(ctx: ActivityContext, provider_id: str) -> NodeFacts | None:
    """Return the Node that the machine became, once it joined."""
    for obj in ctx.informers.nodes.list():
        if obj["spec"].get("providerID") == provider_id:
            return facts.node_facts(obj)
    return None


def gpu_count_of(ctx: ActivityContext, instance_type: str) -> int:
    """Return the GPUs that a node of this type must show; at least 1 for a type not listed."""
    known = ctx.catalogue.instance_type(instance_type)
    return 1 if known is None else known.gpu_count
