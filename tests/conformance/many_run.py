"""Many claims at once against AKS as it throttles: how long until all are Ready, and gone again."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from temporalio.client import Client

from activities.clients.kubernetes import NODE_CLAIMS, KubernetesClient
from activities.context import open_context
from planner.facts import claim_facts
from presets.loader import load_catalogue
from tests.conformance.claim_workflows import tell, workers
from tests.conformance.conftest import claim_object
from tests.conformance.pool_nodes import PoolNodes
from tests.conformance.subjects import Aks
from tests.emulators.azure import AksThrottle, AzureEmulator, Knobs
from tests.harness.cluster import Cluster
from tests.harness.waiting import eventually

LOOK_SECONDS = 0.5

PATIENCE_SECONDS = 120.0
"""Beyond what a machine takes."""


@dataclass(frozen=True)
class ManyReport:
    """What it took."""

    ready_seconds: float
    """From the first claim to the last one's Ready."""
    gone_seconds: float
    """From the first delete to the end of the last workflow."""
    bought_count: int
    alive: list[str]
    throttled_count: int
    """Until all were Ready; giving back is throttled by design, at one call a second."""
    calls: Mapping[str, int]
    """To Azure, by kind, until all were Ready."""


async def many_run(
    cluster: Cluster, temporal: Client, *, claim_count: int, node_seconds: float
) -> ManyReport:
    """Make so many claims together, wait until all are Ready, and delete them together."""
    async with AsyncExitStack() as stack:
        knobs = Knobs(create_seconds=node_seconds, delete_seconds=0.5, max_pools=claim_count + 1)
        azure = await stack.enter_async_context(AzureEmulator(knobs, throttle=AksThrottle()))
        subject = Aks(azure, PoolNodes(azure, cluster))
        kube = await stack.enter_async_context(cluster.client())
        ctx = await stack.enter_async_context(
            open_context(subject.settings(), kube, load_catalogue())
        )
        await stack.enter_async_context(workers(temporal, ctx))
        claims = {f"ws{uuid.uuid4().hex[:10]}": "" for _ in range(claim_count)}

        async def begin(name: str) -> None:
            obj = claim_object(
                name, subject.instance_type, f"owner-{name}", provisioner=subject.name
            )
            claims[name] = (await kube.create(NODE_CLAIMS, obj))["metadata"]["uid"]
            await tell(temporal, name, claims[name])

        async def end(name: str) -> None:
            await kube.delete(NODE_CLAIMS, name)
            handle = await tell(temporal, name, claims[name], is_deleting=True)
            await handle.result()

        async def look() -> int:
            await asyncio.sleep(LOOK_SECONDS)
            return await _ready_count(kube, claims)

        began_at = time.monotonic()
        await asyncio.gather(*(begin(name) for name in claims))
        await eventually(
            look,
            seconds=node_seconds + PATIENCE_SECONDS,
            what=f"{claim_count} claims Ready",
            accept=lambda count: count == claim_count,
        )
        ready_at = time.monotonic()
        made = list(azure.ledger.calls)
        await asyncio.gather(*(end(name) for name in claims))
        return ManyReport(
            ready_seconds=ready_at - began_at,
            gone_seconds=time.monotonic() - ready_at,
            bought_count=len(azure.ledger.pools),
            alive=[pool.name for pool in azure.ledger.alive()],
            throttled_count=sum(record.status == 429 for record in made),
            calls=Counter(str(record.call) for record in made),
        )


async def _ready_count(kube: KubernetesClient, claims: Mapping[str, str]) -> int:
    found = [claim_facts(obj) for obj in await kube.list(NODE_CLAIMS)]
    return sum(claim.is_ready for claim in found if claim.name in claims)
