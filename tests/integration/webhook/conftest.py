"""Webhooks in this process, called by a real API server over HTTPS on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest_asyncio

from activities.clients.kubernetes import WORKSPACES, ApiError, KubernetesClient
from tests import gen
from tests.harness.cluster import Cluster
from tests.harness.processes import release_port, reserve_port
from tests.harness.waiting import eventually
from worker.metrics import Metrics
from worker.webhook.certificates import Lifetimes
from worker.webhook.judge import Judge
from worker.webhook.metrics import Outcome, WebhookMetrics
from worker.webhook.registration import (
    CONFIGURATION_NAME,
    CONFIGURATIONS,
    Address,
    Registration,
)
from worker.webhook.server import WebhookServer
from worker.webhook.sources import CertificateSecret, CertificateSource
from worker.webhook.webhook import Timing, Webhook

QUICK = Timing(check_seconds=0.2, retry_seconds=0.1, linger_seconds=0.0)


@dataclass
class Replica:
    """One webhook that runs."""

    webhook: Webhook
    server: WebhookServer
    metrics: Metrics
    task: asyncio.Task[None]
    port: int

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})

    def count(self, outcome: Outcome | None = None) -> int:
        """Return how many requests ended so, or in any way."""
        found = 0.0
        for one in Outcome if outcome is None else [outcome]:
            labels = {"outcome": one}
            found += (
                self.metrics.registry.get_sample_value("kaito_webhook_requests_total", labels) or 0
            )
        return int(found)

    async def until_in_force(self) -> None:
        async def is_well() -> bool:
            if self.task.done():
                self.task.result()
            return not self.webhook.complaints()

        await eventually(is_well, what="the webhook being in force")

    async def until_it_complains(self, words: str) -> None:
        async def text() -> str:
            if self.task.done():
                self.task.result()
            return "\n".join(self.webhook.complaints())

        await eventually(text, accept=lambda found: words in found, what=f"saying {words!r}")


StartReplica = Callable[..., Replica]


@pytest_asyncio.fixture
async def kube(cluster: Cluster) -> AsyncIterator[KubernetesClient]:
    async with cluster.client() as connected:
        yield connected


@pytest_asyncio.fixture
async def replicas(kube: KubernetesClient, namespace: str) -> AsyncIterator[StartReplica]:
    """Return the way to start a replica; at the end all are stopped and unregistered.

    `called_at` is the port that API servers call, where it is not the replica's own.
    """
    started: list[Replica] = []

    def start(
        *,
        called_at: int = 0,
        source: CertificateSource | None = None,
        lifetimes: Lifetimes | None = None,
        account: KubernetesClient | None = None,
        timing: Timing = QUICK,
    ) -> Replica:
        port = reserve_port()
        metrics = Metrics()
        numbers = WebhookMetrics(metrics.registry)
        url = f"https://127.0.0.1:{called_at or port}"
        address = Address(service="kaito-webhook", namespace=namespace, url=url)
        judge = Judge(gen.settings(), gen.catalogue())
        server = WebhookServer(judge, numbers, host="127.0.0.1", port=port)
        server.reserve()
        client = account or kube
        webhook = Webhook(
            source or CertificateSecret(client, namespace, address.hosts, lifetimes or Lifetimes()),
            server,
            Registration(client, address),
            numbers,
            timing=timing,
        )
        task = asyncio.create_task(webhook.run())
        replica = Replica(webhook, server, metrics, task, port)
        started.append(replica)
        return replica

    yield start
    for replica in started:
        await replica.stop()
        release_port(replica.port)
    await kube.delete(CONFIGURATIONS, CONFIGURATION_NAME)


@pytest_asyncio.fixture
async def replica(
    replicas: StartReplica, kube: KubernetesClient, namespace: str
) -> AsyncIterator[Replica]:
    """Return one replica that the API server asks."""
    one = replicas()
    await one.until_in_force()
    await until_asked(kube, namespace)
    yield one


@asynccontextmanager
async def balanced(replicas: Sequence[Replica]) -> AsyncIterator[int]:
    """Yield a port whose connections go to the replicas in turn, as those of a Service do."""
    turn = itertools.cycle(replicas)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", next(turn).port)
        await asyncio.gather(_copy(reader, ours), _copy(theirs, writer))

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    yield int(server.sockets[0].getsockname()[1])
    server.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await source.read(65536):
            target.write(block)
            await target.drain()
    target.close()


BAD_TYPE = "onebox.small2"


def bad_workspace(namespace: str, **changes: Any) -> dict[str, Any]:
    """Return a Workspace that only the catalogue's rules refuse."""
    return gen.workspace_object(namespace=namespace, instance_type=BAD_TYPE, **changes)


async def dry_run(
    kube: KubernetesClient, body: Mapping[str, Any], namespace: str
) -> ApiError | None:
    """Create a Workspace without storing it; return the refusal, if it is refused."""
    try:
        await kube._request(
            "POST",
            WORKSPACES.path(namespace),
            "create",
            WORKSPACES.plural,
            query={"dryRun": "All"},
            body=body,
        )
    except ApiError as error:
        return error
    return None


async def until_asked(kube: KubernetesClient, namespace: str) -> None:
    """Wait until the API server has taken a new registration into use."""
    await eventually(
        lambda: dry_run(kube, bad_workspace(namespace, name="probe"), namespace),
        accept=lambda refusal: refusal is not None and refusal.status == 422,
        what="the API server asking",
    )


async def post(
    kube: KubernetesClient, body: Mapping[str, Any], namespace: str
) -> aiohttp.ClientResponse:
    """Create a Workspace and return the whole answer."""
    return await kube._send(
        "POST",
        WORKSPACES.path(namespace),
        "create",
        WORKSPACES.plural,
        body=body,
        timeout=aiohttp.ClientTimeout(total=10),
    )


async def create_with_warnings(
    kube: KubernetesClient, body: Mapping[str, Any], namespace: str
) -> list[str]:
    """Create a Workspace and return the warnings that a user is shown."""
    response = await post(kube, body, namespace)
    assert response.status == 201, await response.text()
    return response.headers.getall("Warning", [])
