"""Workers that die at random points of create and delete, and the cloud's books afterwards.

Claims live and end through the real NodeClaimWorkflow and the real activities, on a real Temporal
server, a real API server and the emulated Azure. A death is an error at a call to the cloud, before
or after it was carried out, with everything forgotten that the process had in memory.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from temporalio.client import Client

from activities.clients.azure import AgentPools, Begun, OperationStatus, Pool, PoolSpec
from activities.clients.kubernetes import NODE_CLAIMS, NODES, KubernetesClient
from activities.context import open_context
from activities.node_claim.reading import LABEL_NODE_CLAIM
from activities.provisioners import Machine, MachineRequest
from activities.provisioners.aks import AksProvisioner
from presets.loader import load_catalogue
from tests.conformance.claim_workflows import tell, workers
from tests.conformance.conftest import claim_object
from tests.conformance.pool_nodes import PoolNodes
from tests.conformance.subjects import Aks
from tests.emulators.azure import AzureEmulator, Knobs
from tests.harness.cluster import Cluster
from tests.integration.azure.parts import Clients

CRASH_PROBABILITY = 0.2
"""At each call to the cloud: a claim's life has about ten, so that two or three hit it."""

CLAIMS_AT_A_TIME = 16

MAX_LIFE_SECONDS = 3.0
"""Before a claim is deleted: sometimes before its machine was asked for, sometimes long after."""

END_SECONDS = 90.0

T = TypeVar("T")


class WorkerDied(Exception):
    """The process is no more; Temporal gives its activity to another one."""


@dataclass
class Deaths:
    """Decides when a worker dies."""

    wanted_count: int
    random: random.Random
    points: list[str] = field(default_factory=list)
    """Where each died, in order."""
    on_death: Callable[[], None] = lambda: None

    @property
    def are_over(self) -> bool:
        return len(self.points) >= self.wanted_count

    async def around(self, point: str, call: Coroutine[Any, Any, T]) -> T:
        """Carry out a call; die before it, after it, or not at all."""
        fate = self.random.random()
        if not self.are_over and fate < CRASH_PROBABILITY:
            if fate < CRASH_PROBABILITY / 2:
                call.close()
                self._die(f"before {point}")
            await call
            self._die(f"after {point}")
        return await call

    def _die(self, point: str) -> None:
        self.points.append(point)
        self.on_death()
        raise WorkerDied(point)


class MortalPools:
    """Agent pools whose asker may die at every call."""

    def __init__(self, pools: AgentPools, deaths: Deaths) -> None:
        self._pools = pools
        self._deaths = deaths

    async def begin_create(self, spec: PoolSpec, *, key: str) -> Begun:
        return await self._deaths.around("create", self._pools.begin_create(spec, key=key))

    async def begin_delete(self, name: str, *, key: str) -> Begun:
        return await self._deaths.around("delete", self._pools.begin_delete(name, key=key))

    async def abort(self, name: str, *, key: str) -> None:
        await self._deaths.around("abort", self._pools.abort(name, key=key))

    async def poll(self, token: str, *, key: str) -> OperationStatus:
        return await self._deaths.around("poll", self._pools.poll(token, key=key))

    async def find(self, name: str, *, key: str) -> Pool | None:
        return await self._deaths.around("find", self._pools.find(name, key=key))

    async def list(self, tags: Mapping[str, str], *, key: str) -> list[Pool]:
        # One list serves all waits: a death here would be everybody's.
        return await self._pools.list(tags, key=key)

    async def close(self) -> None:
        await self._pools.close()


class MortalProvisioner:
    """Begins anew with an empty memory whenever its process died."""

    name = "aks"

    def __init__(self, pools: AgentPools, deaths: Deaths) -> None:
        self._pools = MortalPools(pools, deaths)
        self._deaths = deaths
        deaths.on_death = self._begin
        self._begin()

    def _begin(self) -> None:
        self._provisioner = AksProvisioner(self._pools)

    async def launch(self, request: MachineRequest) -> Machine:
        return await self._deaths.around("launch", self._provisioner.launch(request))

    async def observe(self, name: str, operation: str = "") -> Machine | None:
        return await self._provisioner.observe(name, operation)

    async def terminate(self, name: str) -> None:
        await self._deaths.around("terminate", self._provisioner.terminate(name))

    async def list_owned(self, tags: Mapping[str, str]) -> list[str]:
        return await self._provisioner.list_owned(tags)

    async def close(self) -> None:
        await self._provisioner.close()


@dataclass(frozen=True)
class CrashReport:
    """What was left, and what it took."""

    crash_points: list[str]
    claim_count: int
    bought_count: int
    bought_twice: list[str]
    """Names under which more than one pool was ever bought."""
    duplicate_count: int
    """Pairs of pools that stood at one time for one claim."""
    orphans: list[str]
    """Pools that nobody wants and that are there."""
    claims_left: list[str]
    nodes_left: list[str]


async def crash_run(
    cluster: Cluster, temporal: Client, *, crash_count: int, seed: int = 1
) -> CrashReport:
    """Let claims live and end until so many workers died; return what the books say."""
    deaths = Deaths(crash_count, random.Random(seed))  # noqa: S311 - no secret
    async with AsyncExitStack() as stack:
        knobs = Knobs(create_seconds=0.6, delete_seconds=0.3)
        azure = await stack.enter_async_context(AzureEmulator(knobs))
        subject = Aks(azure, PoolNodes(azure, cluster))
        kube = await stack.enter_async_context(cluster.client())
        ctx = await stack.enter_async_context(
            open_context(subject.settings(), kube, load_catalogue())
        )
        pools = Clients(azure, stack).aks()
        mortal = replace(ctx, provisioner=MortalProvisioner(pools, deaths))
        await stack.enter_async_context(workers(temporal, mortal))
        claims: list[str] = []

        async def lives() -> None:
            while not deaths.are_over:
                claims.append(f"ws{uuid.UUID(int=deaths.random.getrandbits(128)).hex[:10]}")
                await _live(temporal, kube, claims[-1], subject.instance_type, deaths.random)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(CLAIMS_AT_A_TIME, crash_count)):
                group.create_task(lives())
        bought = azure.ledger.accepted_creates()
        return CrashReport(
            crash_points=deaths.points,
            claim_count=len(claims),
            bought_count=sum(bought.values()),
            bought_twice=sorted(name for name, count in bought.items() if count > 1),
            duplicate_count=len(azure.ledger.duplicates("kaito.sh_nodeclaim")),
            orphans=azure.ledger.orphans(set()),
            claims_left=[name for name in claims if await kube.find(NODE_CLAIMS, name)],
            nodes_left=[
                node["metadata"]["name"]
                for node in await kube.list(NODES)
                if node["metadata"].get("labels", {}).get(LABEL_NODE_CLAIM) in claims
            ],
        )


async def _live(
    temporal: Client, kube: KubernetesClient, name: str, instance_type: str, chance: random.Random
) -> None:
    """Make a claim, delete it after a while, and wait until its workflow is over."""
    obj = claim_object(name, instance_type, f"owner-{name}", provisioner=Aks.name)
    created = await kube.create(NODE_CLAIMS, obj)
    uid = created["metadata"]["uid"]
    await tell(temporal, name, uid)
    await asyncio.sleep(chance.random() * MAX_LIFE_SECONDS)
    await kube.delete(NODE_CLAIMS, name)
    handle = await tell(temporal, name, uid, is_deleting=True)
    async with asyncio.timeout(END_SECONDS):
        await handle.result()
