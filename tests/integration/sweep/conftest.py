"""A sweep's activities on a real API server, a real Temporal server and the harness's cloud."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from kubernetes.aio import client as kubernetes_sdk
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from activities.clients.kubernetes import EVENTS, NODE_CLAIMS, WORKSPACES, KubernetesClient
from activities.context import ActivityContext, ActivitySettings, open_context
from activities.provisioners import MachineRequest
from activities.sweep.sweeping import Sweeping
from api import names
from api import payloads as p
from planner.strays import GRACE
from planner.world import PlatformSettings
from presets.loader import load_catalogue
from tests import gen
from tests.harness.cluster import Cluster
from tests.harness.node_cloud import NodeCloud
from tests.harness.temporal_server import TemporalServer


@pytest_asyncio.fixture
async def kube(cluster: Cluster) -> AsyncIterator[KubernetesClient]:
    async with cluster.client() as connected:
        yield connected


@pytest_asyncio.fixture
async def dead_kube() -> AsyncIterator[KubernetesClient]:
    """The API server of a cluster that was stopped: nobody answers at its address."""
    connected = KubernetesClient(kubernetes_sdk.Configuration(host="http://127.0.0.1:1"))
    yield connected
    await connected.close()


@pytest_asyncio.fixture
async def cloud(cluster: Cluster) -> AsyncIterator[NodeCloud]:
    async with NodeCloud(cluster, boot_seconds=0.05) as running:
        yield running


@pytest_asyncio.fixture
async def temporal(temporal_server: TemporalServer) -> Client:
    return await temporal_server.connect()


@pytest_asyncio.fixture
async def ctx(
    kube: KubernetesClient, cloud: NodeCloud, namespace: str
) -> AsyncIterator[ActivityContext]:
    settings = ActivitySettings(
        platform=PlatformSettings(provisioner="onebox"),
        onebox_endpoint=cloud.endpoint,
        # What other tests left behind is none of ours.
        watch_namespace=namespace,
    )
    async with open_context(settings, kube, load_catalogue()) as opened:
        yield opened


class Observed:
    """Keeps what an observer is told."""

    def __init__(self) -> None:
        self.looks: list[tuple[dict[p.StrayKind, int], list[str]]] = []
        self.repairs: list[tuple[p.StrayKind, p.RepairOutcome]] = []

    def found_strays(self, counts: Mapping[p.StrayKind, int], blind_spots: Sequence[str]) -> None:
        self.looks.append((dict(counts), list(blind_spots)))

    def repaired_stray(self, kind: p.StrayKind, outcome: p.RepairOutcome) -> None:
        self.repairs.append((kind, outcome))


class World:
    """One namespace with Workspaces, claims and machines; some of them without each other."""

    def __init__(self, ctx: ActivityContext, temporal: Client, namespace: str) -> None:
        self.ctx, self.temporal, self.namespace = ctx, temporal, namespace
        self.kube = ctx.cluster
        self.observed = Observed()
        self._claims: list[str] = []

    # --- making -----------------------------------------------------------------------------

    async def make_workspace(self, name: str = "chat") -> p.WorkspaceRef:
        """Create a Workspace that nothing holds."""
        made = await self.kube.create(
            WORKSPACES, gen.workspace_object(namespace=self.namespace, name=name), self.namespace
        )
        return p.WorkspaceRef(namespace=self.namespace, name=name, uid=made["metadata"]["uid"])

    async def drop_workspace(self, ref: p.WorkspaceRef) -> None:
        """Delete a Workspace; nothing holds it."""
        await self.kube.delete(WORKSPACES, ref.name, ref.namespace)

    async def make_claim(self, owner: p.WorkspaceRef) -> str:
        """Create a claim that nothing holds."""
        name = f"ws{uuid.uuid4().hex[:10]}"
        await self.kube.create(
            NODE_CLAIMS,
            {
                "apiVersion": NODE_CLAIMS.api_version,
                "kind": NODE_CLAIMS.kind,
                "metadata": {"name": name, "labels": labels_for(owner)},
                "spec": {
                    "nodeClassRef": {
                        "group": names.NODE_CLASS_GROUP,
                        "kind": names.NODE_CLASS_KIND_ONEBOX,
                        "name": "default",
                    },
                    "requirements": [],
                },
            },
        )
        self._claims.append(name)
        return name

    async def make_machine(self, owner: p.WorkspaceRef, name: str = "") -> str:
        """Buy a machine, as a claim's workflow does."""
        name = name or f"ws{uuid.uuid4().hex[:10]}"
        await self.ctx.provisioner.launch(
            MachineRequest(name=name, instance_type="onebox.small", tags=labels_for(owner))
        )
        return name

    async def clean_up(self) -> None:
        """Remove what the next test's sweep would see."""
        for name in self._claims:
            await self.kube.delete(NODE_CLAIMS, name)
        async for one in self.temporal.list_workflows("ExecutionStatus = 'Running'"):
            await self.temporal.get_workflow_handle(one.id).terminate("the test is over")

    # --- sweeping ---------------------------------------------------------------------------

    def seen_by(self, ctx: ActivityContext) -> Sweeper:
        """Return a sweeper of another worker."""
        return Sweeper(ctx, self.temporal, self.observed)

    @property
    def sweeper(self) -> Sweeper:
        """Return a sweeper as this test's worker has it."""
        return self.seen_by(self.ctx)

    async def claim_exists(self, name: str) -> bool:
        """Say whether the API server has a claim that stays."""
        claim = await self.kube.find(NODE_CLAIMS, name)
        return claim is not None and "deletionTimestamp" not in claim["metadata"]

    async def events(self) -> list[tuple[str, str]]:
        """Return reason and object of the Events of this namespace."""
        found = await self.kube.list(EVENTS, self.namespace)
        return [(one["reason"], one["involvedObject"]["name"]) for one in found]


class Sweeper:
    """Runs the two activities as a worker does."""

    def __init__(self, ctx: ActivityContext, temporal: Client, observed: Observed) -> None:
        self._sweeping = Sweeping(ctx, observed)
        self._environment = ActivityEnvironment(client=temporal)

    async def look(self, suspects: Sequence[p.Stray] = ()) -> p.FindStraysResult:
        """Find strays."""
        found: p.FindStraysResult = await self._environment.run(
            self._sweeping.find_strays, p.FindStraysInput(suspects=list(suspects))
        )
        return found

    async def look_later(self) -> dict[str, p.Stray]:
        """Find strays, and again when grace periods are over; returns the latter by name."""
        first = await self.look()
        aged = [
            one.model_copy(update={"first_seen_at": one.first_seen_at - GRACE - SECOND})
            for one in first.strays
            if one.first_seen_at is not None
        ]
        return by_name((await self.look(aged)).strays)

    async def repair(self, stray: p.Stray) -> p.RepairStrayResult:
        """Repair a stray."""
        result: p.RepairStrayResult = await self._environment.run(
            self._sweeping.repair_stray, p.RepairStrayInput(stray=stray)
        )
        return result


SECOND = timedelta(seconds=1)


def by_name(strays: Sequence[p.Stray]) -> dict[str, p.Stray]:
    """Return the gravest finding about each name: those that may lead to a deletion come first."""
    found: dict[str, p.Stray] = {}
    for one in strays:
        found.setdefault(one.name, one)
    return found


def labels_for(owner: p.WorkspaceRef) -> dict[str, str]:
    return {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_WORKSPACE: owner.name,
        names.LABEL_WORKSPACE_NAMESPACE: owner.namespace,
        names.LABEL_WORKSPACE_UID: owner.uid,
    }


@pytest_asyncio.fixture
async def world(ctx: ActivityContext, temporal: Client, namespace: str) -> AsyncIterator[World]:
    laid_out = World(ctx, temporal, namespace)
    yield laid_out
    await laid_out.clean_up()


@pytest.fixture
def blind_ctx(ctx: ActivityContext, dead_kube: KubernetesClient) -> ActivityContext:
    """The same worker after its cluster was stopped."""
    return replace(ctx, cluster=dead_kube)


def machine_stray(name: str, **changes: Any) -> p.Stray:
    """Return a machine whose deletion was decided a moment ago."""
    return p.Stray(
        kind=p.StrayKind.MACHINE_WITHOUT_CLAIM,
        action=p.StrayAction.DELETE,
        name=name,
        **changes,
    )
