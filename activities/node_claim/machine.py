"""Machines of NodeClaims: ask for one, wait until it is a usable node, give it back."""

from __future__ import annotations

from activities.clients.kubernetes import NODES
from activities.context import ActivityContext
from activities.errors import implements
from activities.node_claim.reading import (
    find_claim,
    find_node,
    gpu_count_of,
    machine_request,
)
from activities.waiting import Deadline, Done, Still, wait_until
from api import contracts
from api import payloads as p
from api.errors import NotReadyYet, ProviderFailed


class Machines:
    """Drives the provisioner for one claim at a time."""

    def __init__(self, ctx: ActivityContext) -> None:
        """Take what all activities share."""
        self._ctx = ctx

    @implements(contracts.launch_node)
    async def launch_node(self, payload: p.LaunchInput) -> p.LaunchResult:
        """See the contract."""
        claim = await find_claim(self._ctx, payload.claim)
        if claim is None or claim["metadata"].get("deletionTimestamp"):
            raise NotReadyYet(f"NodeClaim {payload.claim.name} is gone or going; nothing to launch")
        machine = await self._ctx.provisioner.launch(machine_request(claim))
        return p.LaunchResult(provider_id=machine.provider_id, created=machine.created)

    @implements(contracts.await_node_initialized)
    async def await_node_initialized(
        self, payload: p.AwaitInitializedInput
    ) -> p.AwaitInitializedResult:
        """See the contract."""
        name = payload.claim.name
        claim = await find_claim(self._ctx, payload.claim)
        if claim is None:
            raise NotReadyYet(f"NodeClaim {name} is gone")
        request = machine_request(claim)
        gpu_count = gpu_count_of(self._ctx, request.instance_type)

        async def check() -> Done[str] | Still:
            machine = await self._ctx.provisioner.observe(name)
            if machine is None:
                raise ProviderFailed(f"the machine of {name} vanished while it was starting")
            if machine.state == "failed":
                raise ProviderFailed(f"the machine of {name} failed: {machine.message}")
            node = find_node(self._ctx, machine.provider_id)
            if node is None:
                return Still(f"machine {machine.state}, not joined yet {machine.message}".rstrip())
            if not node.is_ready:
                return Still(f"node {node.name} joined, not ready yet")
            if node.gpu_capacity < gpu_count:
                return Still(f"node {node.name} shows {node.gpu_capacity} of {gpu_count} GPUs")
            return Done(node.name)

        node_name = await wait_until(
            check,
            deadline=Deadline(
                "a machine's way into the cluster",
                payload.deadline_seconds,
                "The provider's own log of the machine has the cause.",
            ),
            informers=(self._ctx.informers.nodes,),
        )
        return p.AwaitInitializedResult(node_name=node_name)

    @implements(contracts.terminate_node)
    async def terminate_node(self, payload: p.TerminateInput) -> p.TeardownResult:
        """See the contract."""
        name = payload.claim.name
        machine = await self._ctx.provisioner.observe(name)
        if machine is None and self._ctx.informers.nodes.get(name) is None:
            return p.TeardownResult()
        provider_id = machine.provider_id if machine is not None else ""
        await self._ctx.provisioner.terminate(name)

        async def check() -> Done[None] | Still:
            machine = await self._ctx.provisioner.observe(name)
            if machine is not None:
                return Still(f"machine {name} is {machine.state} {machine.message}".rstrip())
            # The provider says NotFound, so a Node that is still there has no machine behind it.
            node = find_node(self._ctx, provider_id) if provider_id else None
            if node is not None:
                await self._ctx.cluster.delete(NODES, node.name)
                return Still(f"machine {name} is gone, its Node {node.name} is being removed")
            return Done(None)

        await wait_until(
            check,
            deadline=Deadline(
                "giving a machine back",
                payload.deadline_seconds,
                "The provider's own log of the machine has the cause.",
            ),
            informers=(self._ctx.informers.nodes,),
            beat_seconds=1.0,
        )
        return p.TeardownResult(removed=[f"machine/{name}"])
