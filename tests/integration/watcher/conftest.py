"""A watcher in this process, between a real API server and a real Temporal server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest_asyncio
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.clients.informer import Informer
from activities.clients.kubernetes import WORKSPACES, KubernetesClient
from activities.context import Informers
from api import names
from api.payloads import DesiredChanged
from tests.harness.cluster import Cluster
from tests.harness.temporal_server import TemporalServer
from tests.harness.waiting import eventually
from worker.metrics import Metrics
from worker.watcher.election import Elector, LeaseTiming
from worker.watcher.sender import Sender, TemporalDelivery
from worker.watcher.watcher import RESYNC_SECONDS, Watcher

QUICK = LeaseTiming(duration_seconds=3.0, renew_deadline_seconds=2.0, retry_seconds=0.2)
"""A Lease that tests need not wait long for."""


def workspace(name: str, namespace: str, **inference: Any) -> dict[str, Any]:
    """Build a Workspace that the API server accepts."""
    return {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": name, "namespace": namespace},
        "resource": {
            "instanceType": "onebox.small",
            "labelSelector": {"matchLabels": {"app": name}},
        },
        "inference": {"preset": {"name": "smollm2-135m-instruct"}, **inference},
    }


@dataclass
class Running:
    """One watcher that runs."""

    task: asyncio.Task[None]
    elector: Elector
    metrics: Metrics
    informers: Sequence[Informer]

    async def until_it_leads(self) -> None:
        async def leads() -> bool:
            if self.task.done():
                self.task.result()
            return self.elector.is_leader

        await eventually(leads, what="leading", seconds=30)

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@dataclass
class Station:
    """The two servers of a test, and what it asks of them."""

    cluster: Cluster
    temporal: TemporalServer
    namespace: str
    kube: KubernetesClient
    client: Client

    @asynccontextmanager
    async def watching(
        self,
        *,
        identity: str = "one",
        timing: LeaseTiming = QUICK,
        resync_seconds: float = RESYNC_SECONDS,
        informers: Sequence[Informer] | None = None,
    ) -> AsyncIterator[Running]:
        async with AsyncExitStack() as stack:
            kube = await stack.enter_async_context(self.cluster.client())
            followed = informers or Informers(kube, self.namespace).all
            for informer in followed:
                informer.start()
                stack.push_async_callback(informer.stop)
            metrics = Metrics()
            elector = Elector(kube, namespace=self.namespace, identity=identity, timing=timing)
            sender = Sender(
                TemporalDelivery(self.client), metrics, may_send=lambda: elector.is_leader
            )
            watcher = Watcher(followed, elector, sender, metrics, resync_seconds=resync_seconds)
            task = asyncio.create_task(watcher.run())
            try:
                yield Running(task, elector, metrics, followed)
            finally:
                task.cancel()
                await asyncio.wait({task})

    async def create(self, name: str, **inference: Any) -> dict[str, Any]:
        return await self.kube.create(
            WORKSPACES, workspace(name, self.namespace, **inference), self.namespace
        )

    async def edit(self, name: str, **spec: Any) -> dict[str, Any]:
        return await self.kube.merge_patch(WORKSPACES, name, spec, self.namespace)

    async def hints(self, name: str) -> list[DesiredChanged]:
        """Return the hints in the history of a Workspace's workflow."""
        return await self.hints_of(names.workspace_workflow_id(self.namespace, name))

    async def hints_of(self, workflow_id: str) -> list[DesiredChanged]:
        handle = self.client.get_workflow_handle(workflow_id)
        try:
            history = await handle.fetch_history()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return []
            raise
        found: list[DesiredChanged] = []
        for event in history.events:
            if event.HasField("workflow_execution_signaled_event_attributes"):
                signaled = event.workflow_execution_signaled_event_attributes
                assert signaled.signal_name == "desired_changed"
                found += await self.client.data_converter.decode(
                    signaled.input.payloads, [DesiredChanged]
                )
        return found

    async def until_hint(
        self,
        name: str,
        accept: Callable[[list[DesiredChanged]], bool] = bool,
        *,
        seconds: float = 30.0,
    ) -> list[DesiredChanged]:
        return await eventually(
            lambda: self.hints(name), accept=accept, what=f"a hint for {name}", seconds=seconds
        )

    async def status(self, name: str) -> str:
        """Return the status of a Workspace's workflow, or an empty string when there is none."""
        handle = self.client.get_workflow_handle(names.workspace_workflow_id(self.namespace, name))
        try:
            described = await handle.describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return ""
            raise
        return described.status.name if described.status else ""


@pytest_asyncio.fixture
async def station(
    cluster: Cluster, temporal_server: TemporalServer, namespace: str
) -> AsyncIterator[Station]:
    client = await temporal_server.connect()
    async with cluster.client() as kube:
        yield Station(cluster, temporal_server, namespace, kube, client)
