"""Machines of NodeClaims: ask for one, wait until it is a usable node, give it back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from activities.clients.kubernetes import NODES
from activities.context import ActivityContext
from activities.errors import implements
from activities.node_claim.asking import finish
from activities.node_claim.progress import Progress
from activities.node_claim.reading import (
    find_claim,
    find_node,
    gpu_count_of,
    machine_request,
)
from activities.provisioners import Machine
from activities.waiting import Deadline, Done, Still, wait_until
from api import contracts
from api import payloads as p
from api.errors import DeadlineExceeded, NotReadyYet, ProviderFailed
from planner.claim_makers import objection_to_provisioner
from planner.node_claims import missing_for_initialized
from planner.world import NodeFacts

REGISTRATION_DEADLINE_SECONDS: Final = 600
"""10 min from the provider's word that the machine runs until its node joins. A guess: AKS says so
only once the node joined; elsewhere an operating system starts, which takes 1 to 3 min."""

TERMINATE_AGAIN_SECONDS: Final = 5.0
"""5 s until a machine's end is asked for again that has not begun to end: a provider refuses while
another operation runs. As slow as a list of the provider's may be old."""


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
        self._require_makers_own(claim)
        request = machine_request(claim)
        machine = await finish(
            self._ctx.provisioner.launch(request), f"asking for {request.instance_type}"
        )
        return p.LaunchResult(
            provider_id=machine.provider_id,
            created=machine.created,
            operation_token=machine.operation,
        )

    @implements(contracts.await_node_initialized)
    async def await_node_initialized(
        self, payload: p.AwaitInitializedInput
    ) -> p.AwaitInitializedResult:
        """See the contract."""
        name = payload.claim.name
        claim = await find_claim(self._ctx, payload.claim)
        if claim is None:
            raise NotReadyYet(f"NodeClaim {name} is gone")
        gpu_count = gpu_count_of(self._ctx, machine_request(claim).instance_type)
        registration = Registration(name)
        progress = Progress(self._ctx, payload.claim)

        async def check() -> Done[str] | Still:
            machine = await self._ctx.provisioner.observe(name, payload.operation_token)
            if machine is None:
                raise ProviderFailed(f"the machine of {name} vanished while it was starting")
            if machine.state == "failed":
                raise machine.error or ProviderFailed(
                    f"the machine of {name} failed: {machine.message}"
                )
            node = find_node(self._ctx, name, machine.provider_id)
            missing = missing_for_initialized(node, gpu_count)
            if node is not None and not missing:
                return Done(node.name)
            registration.judge(machine, node)
            await progress.tell(machine, node)
            return Still(missing if node else f"machine {machine.state} {machine.message}".rstrip())

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
        claim = await find_claim(self._ctx, payload.claim)
        if claim is not None:
            self._require_makers_own(claim)
        provider_id, was_there = "", False
        ask_at = asyncio.get_running_loop().time()

        async def check() -> Done[None] | Still:
            nonlocal provider_id, was_there, ask_at
            machine = await self._ctx.provisioner.observe(name)
            if machine is not None:
                provider_id, was_there = machine.provider_id, True
                now = asyncio.get_running_loop().time()
                if machine.state != "deleting" and now >= ask_at:
                    await finish(self._ctx.provisioner.terminate(name), f"ending machine {name}")
                    ask_at = now + TERMINATE_AGAIN_SECONDS
                return Still(f"machine {name} is {machine.state} {machine.message}".rstrip())
            # The provider says NotFound, so a Node that is still there has no machine behind it.
            # With provisioning off there is no provider that could say so.
            node = find_node(self._ctx, name, provider_id)
            if node is not None and self._ctx.settings.platform.provisions_nodes:
                was_there = True
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
        return p.TeardownResult(removed=[f"machine/{name}"] if was_there else [])

    def _require_makers_own(self, claim: Mapping[str, Any]) -> None:
        objection = objection_to_provisioner(claim, self._ctx.provisioner.name)
        if objection:
            raise ProviderFailed(objection)


class Registration:
    """Tells a machine that is slow from one that is stuck.

    While its provider still works on it, a machine is slow, and only the whole wait is limited.
    One that runs by its provider's word and never became a node is stuck.
    """

    def __init__(self, name: str) -> None:
        """Take the claim's name."""
        self._name = name
        self._running_since: float | None = None

    def judge(self, machine: Machine, node: NodeFacts | None) -> None:
        """Look at the machine.

        Raises:
            DeadlineExceeded: it is stuck. Counted from when this worker first saw it run.
        """
        if machine.state != "running" or node is not None:
            self._running_since = None
            return
        now = asyncio.get_running_loop().time()
        if self._running_since is None:
            self._running_since = now
        if now - self._running_since >= REGISTRATION_DEADLINE_SECONDS:
            raise DeadlineExceeded(
                f"the machine of {self._name} runs since {REGISTRATION_DEADLINE_SECONDS} s, as its "
                "provider says, and never joined the cluster: it is stuck, not slow. The kubelet's "
                "log on the machine has the cause."
            )
