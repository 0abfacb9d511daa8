"""The step `nodes`: claims that exist, and nodes that are ready and show their GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from temporalio import activity

from activities.clients.kubernetes import HTTP_CONFLICT, NODE_CLAIMS, ApiError
from activities.context import ActivityContext
from activities.errors import implements
from activities.waiting import Deadline, Done, Still, wait_until
from activities.workspace.karpenter_claims import KarpenterClaims
from activities.workspace.reading import nodes_named, owned_by, read_revision
from api import contracts, names
from api import payloads as p
from api.errors import BY_REASON, NotReadyYet, ProviderFailed
from planner import facts
from planner.fields import conditions_of, text_at
from planner.hardware import accelerator_of
from planner.pod_facts import gpu_request
from planner.render import render_node_claim
from planner.render.resources import device_resource
from planner.times import time_from

ASKING_SECONDS: Final = 5
"""5 s that a failure may be older than the wait for nodes and still be an answer to its step: the
step made the claims first, and conditions tell whole seconds."""

OLD_FAILURE_SECONDS: Final = 10
"""10 s that an older failure gets to be taken back, after `retry` by the claim's own workflow (two
activities of 0.05 s; a guess). What stands there longer is how things are."""


def is_old_failure(obj: Mapping[str, Any], *, asked_at: datetime, now: datetime) -> bool:
    """Return whether a claim's failure is one of an earlier attempt, which may be over any moment.

    Args:
        obj: The NodeClaim.
        asked_at: When this attempt began to wait.
        now: The time.
    """
    if now - asked_at >= timedelta(seconds=OLD_FAILURE_SECONDS):
        return False
    oldest_answer = asked_at - timedelta(seconds=ASKING_SECONDS)
    moments = [
        time_from(text_at(condition, "lastTransitionTime"))
        for _, condition in conditions_of(obj)
        if text_at(condition, "status") == "False" and text_at(condition, "reason") in BY_REASON
    ]
    return bool(moments) and all(one is not None and one < oldest_answer for one in moments)


class Nodes:
    """Asks for nodes by NodeClaim and waits for them."""

    def __init__(self, ctx: ActivityContext) -> None:
        """Take what all activities share."""
        self._ctx = ctx

    @implements(contracts.ensure_node_claims)
    async def ensure_node_claims(
        self, payload: p.EnsureNodeClaimsInput
    ) -> p.EnsureNodeClaimsResult:
        """See the contract."""
        revision = await read_revision(self._ctx, payload)
        platform = self._ctx.settings.platform
        bodies = [
            render_node_claim(revision.workspace, claim, revision.preset, platform)
            for claim in payload.claims
        ]
        await KarpenterClaims(self._ctx).prepare(bodies)
        created = []
        for claim, body in zip(payload.claims, bodies, strict=True):
            try:
                await self._ctx.cluster.create(NODE_CLAIMS, body)
            except ApiError as error:
                if error.status != HTTP_CONFLICT:
                    raise
                await self._require_alive(claim.name)
            else:
                created.append(claim.name)
        return p.EnsureNodeClaimsResult(created=created)

    async def _require_alive(self, name: str) -> None:
        existing = await self._ctx.cluster.find(NODE_CLAIMS, name)
        if existing is None or existing["metadata"].get("deletionTimestamp"):
            raise NotReadyYet(f"NodeClaim {name} of an earlier attempt is still being deleted")

    @implements(contracts.release_surplus_claims)
    async def release_surplus_claims(self, payload: p.ReleaseClaimsInput) -> p.ReleaseClaimsResult:
        """See the contract."""
        ours = await self._ctx.cluster.list(NODE_CLAIMS, "", owned_by(payload.workspace))
        released = []
        for metadata in (claim["metadata"] for claim in ours):
            if metadata["name"] in payload.claim_names and not metadata.get("deletionTimestamp"):
                await self._ctx.cluster.delete(NODE_CLAIMS, metadata["name"], uid=metadata["uid"])
                released.append(metadata["name"])
        return p.ReleaseClaimsResult(released=sorted(released))

    @implements(contracts.await_nodes)
    async def await_nodes(self, payload: p.AwaitNodesInput) -> p.AwaitNodesResult:
        """See the contract."""
        workspace = (await read_revision(self._ctx, payload)).workspace
        wanted = len(payload.claim_names) + len(payload.existing_nodes)
        informers = self._ctx.informers
        device = device_resource(workspace)
        # Pods of the user's own may ask for no GPU at all; those of a model always ask for one.
        template = workspace.inference.template if workspace.inference is not None else None
        least = 1 if template is None else min(gpu_request(template), 1)
        karpenter = KarpenterClaims(self._ctx)

        async def check() -> Done[list[str]] | Still:
            ready: list[str] = []
            sentences: list[str] = []
            for name in payload.claim_names:
                obj = informers.node_claims.get(name)
                if obj is None:
                    sentences.append(await karpenter.missing(name))
                    continue
                node_name, sentence = self._look_at_claim(obj)
                (ready if node_name else sentences).append(node_name or sentence)
            for name in payload.existing_nodes:
                sentence = self._look_at_node(name, device, least)
                (sentences if sentence else ready).append(sentence or name)
            if len(ready) == wanted:
                return Done(sorted(ready))
            return Still(f"{len(ready)} of {wanted} nodes ready; {'; '.join(sorted(sentences))}")

        node_names = await wait_until(
            check,
            deadline=Deadline(
                "bringing up nodes",
                payload.deadline_seconds,
                "The cause is in the NodeClaim's conditions (kubectl describe nodeclaim).",
            ),
            informers=(informers.node_claims, informers.nodes),
            # Existing nodes carry no label of ours, so every node's change must wake us then.
            index_value=workspace.uid if not payload.existing_nodes else "*",
        )
        return p.AwaitNodesResult(node_names=node_names)

    def _look_at_claim(self, obj: dict[str, Any]) -> tuple[str, str]:
        """Return the ready node's name, or what is still missing."""
        claim = facts.claim_facts(obj)
        name = claim.name
        if claim.is_deleting:
            return "", f"{name}: being deleted"
        if claim.failure_reason:
            if is_old_failure(
                obj, asked_at=activity.info().scheduled_time, now=datetime.now(tz=UTC)
            ):
                return "", f"{name}: failed before this attempt; waiting for it to begin anew"
            cause = BY_REASON.get(claim.failure_reason, ProviderFailed)
            raise cause(f"NodeClaim {name} ({claim.instance_type}): {claim.failure_message}")
        if not claim.is_ready or not claim.node_name:
            return "", f"{name}: {claim.sentence}"
        nodes = nodes_named(self._ctx, [claim.node_name])
        accelerator = accelerator_of(claim.instance_type, self._ctx.catalogue, nodes)
        # Where nobody knows the instance type, one GPU is the least that a model server needs.
        gpu_count = 1 if accelerator is None else accelerator.count
        sentence = self._look_at_node(claim.node_name, names.GPU_RESOURCE, gpu_count)
        return ("", sentence) if sentence else (claim.node_name, "")

    def _look_at_node(self, name: str, device: str, count: int) -> str:
        """Return what keeps a node from being used, or an empty string."""
        obj = self._ctx.informers.nodes.get(name)
        if obj is None:
            return f"{name}: no such node yet"
        node = facts.node_facts(obj)
        if not node.is_ready:
            return f"{name}: not ready"
        shown = node.capacity_of(device)
        if shown < count:
            what = "GPUs" if device == names.GPU_RESOURCE else device
            return f"{name}: shows {shown} of {count} {what}"
        return ""
