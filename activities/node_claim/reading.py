"""What a NodeClaim asks for, and the Node that came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from activities.clients.kubernetes import NODE_CLAIMS
from activities.context import ActivityContext
from activities.provisioners import ON_DEMAND, SPOT, MachineRequest
from api import names
from api.payloads import NodeClaimRef
from api.preset import parse_bytes
from planner import facts
from planner.fields import labels_of, mapping_at, objects_at, text_at, texts_at
from planner.pool_names import TAG_NODE_CLAIM, pool_name
from planner.world import NodeFacts

TAG_KEYS = (
    names.LABEL_WORKSPACE,
    names.LABEL_WORKSPACE_NAMESPACE,
    names.LABEL_WORKSPACE_UID,
    names.LABEL_MANAGED_BY,
)
"""Ownership labels of a claim that its machine carries as tags."""

LABEL_NODE_CLAIM: Final = TAG_NODE_CLAIM
"""On the Node: whose it is. Clouds tell a machine's providerID only once its Node has joined."""

LABEL_ZONE: Final = "topology.kubernetes.io/zone"

STORAGE_REQUESTS: Final = ("ephemeral-storage", "storage")
"""Resources by which a claim asks for disk; upstream's provisioner of agent pools reads the second
(facts, control plane B6.3)."""

_GIB: Final = 2**30


async def find_claim(ctx: ActivityContext, ref: NodeClaimRef) -> dict[str, Any] | None:
    """Return the claim, past every cache; None too when it is another uid's."""
    obj = await ctx.cluster.find(NODE_CLAIMS, ref.name)
    if obj is None or (ref.uid and obj["metadata"]["uid"] != ref.uid):
        return None
    return obj


def machine_request(claim: Mapping[str, Any]) -> MachineRequest:
    """Return what the claim asks its provider for."""
    name, labels = claim["metadata"]["name"], labels_of(claim)
    instance_type = facts.claim_facts(claim).instance_type
    return MachineRequest(
        name=name,
        instance_type=instance_type,
        labels={
            **labels,
            names.LABEL_INSTANCE_TYPE: instance_type,
            LABEL_NODE_CLAIM: pool_name(name),
        },
        taints=objects_at(claim, "spec", "taints"),
        tags={key: labels[key] for key in TAG_KEYS if key in labels},
        claim_uid=text_at(claim, "metadata", "uid"),
        capacity_type=_capacity_type(claim),
        zones=_required(claim, LABEL_ZONE),
        disk_gib=_disk_gib(claim),
    )


def _capacity_type(claim: Mapping[str, Any]) -> str:
    """Return spot where nothing else will do: who takes either gets what is sure to stay."""
    return SPOT if _required(claim, names.LABEL_CAPACITY_TYPE) == [SPOT] else ON_DEMAND


def _disk_gib(claim: Mapping[str, Any]) -> int | None:
    requests = mapping_at(claim, "spec", "resources", "requests")
    for resource in STORAGE_REQUESTS:
        try:
            size_bytes = parse_bytes(str(requests.get(resource, "0")))
        except ValueError:
            # In a unit that only a person writes: better the machine's own disk than none.
            continue
        if size_bytes:
            return -(-size_bytes // _GIB)
    return None


def _required(claim: Mapping[str, Any], key: str) -> list[str]:
    """Return the values of a requirement of the claim; empty when it has none of that key."""
    for requirement in objects_at(claim, "spec", "requirements"):
        if text_at(requirement, "key") == key and text_at(requirement, "operator") == "In":
            return list(texts_at(requirement, "values"))
    return []


def find_node(ctx: ActivityContext, name: str, provider_id: str = "") -> NodeFacts | None:
    """Return the Node that the machine of claim `name` became, once it joined."""
    for obj in ctx.informers.nodes.list():
        is_its = labels_of(obj).get(LABEL_NODE_CLAIM) == pool_name(name)
        if is_its or (provider_id and text_at(obj, "spec", "providerID") == provider_id):
            return facts.node_facts(obj)
    return None


def gpu_count_of(ctx: ActivityContext, instance_type: str) -> int:
    """Return the GPUs that a node of this type must show; at least 1 for a type not listed."""
    known = ctx.catalogue.instance_type(instance_type)
    return 1 if known is None else known.gpu_count
