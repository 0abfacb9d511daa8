"""`python -m worker` with the role `webhook`, alone and beside others."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from activities.clients.kubernetes import SECRETS, KubernetesClient
from tests.harness.cluster import Cluster
from tests.harness.processes import release_port, reserve_port
from tests.harness.temporal_server import TemporalServer
from tests.harness.waiting import eventually
from tests.integration.webhook.conftest import bad_workspace, dry_run, until_asked
from tests.integration.worker.conftest import StartWorker, WorkerProcess
from worker.webhook.registration import CONFIGURATION_NAME, CONFIGURATIONS
from worker.webhook.sources import SECRET_NAME

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest_asyncio.fixture
async def worker_of(
    cluster: Cluster, kube: KubernetesClient, namespace: str, tmp_path: Path
) -> AsyncIterator[StartWorker]:
    """Return the way to start a worker; its webhook is called at a port of its own."""
    started: list[WorkerProcess] = []
    ports: list[int] = []

    def start(name: str = "worker", **variables: str) -> WorkerProcess:
        ports.append(reserve_port())
        process = WorkerProcess(
            name,
            tmp_path,
            **{
                "KUBECONFIG": str(cluster.kubeconfig),
                "KAITO_LEASE_NAMESPACE": namespace,
                "KAITO_WATCH_NAMESPACE": namespace,
                "KAITO_PROVISIONER": "onebox",
                "KAITO_ONEBOX_ENDPOINT": "http://127.0.0.1:1",
                "KAITO_WEBHOOK_HOST": "127.0.0.1",
                "KAITO_WEBHOOK_PORT": str(ports[-1]),
                "KAITO_WEBHOOK_URL": f"https://127.0.0.1:{ports[-1]}",
                **variables,
            },
        )
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.remove()
    for port in ports:
        release_port(port)
    await kube.delete(CONFIGURATIONS, CONFIGURATION_NAME)


async def test_the_webhook_alone_needs_no_temporal(
    worker_of: StartWorker, kube: KubernetesClient, namespace: str
) -> None:
    worker = worker_of(KAITO_ROLES="webhook", TEMPORAL_ADDRESS="127.0.0.1:1")
    await worker.until_ready()
    await until_asked(kube, namespace)
    refusal = await dry_run(kube, bad_workspace(namespace), namespace)
    assert refusal is not None
    assert "resource.instanceType" in refusal.message
    _, metrics = await worker.page("/metrics")
    assert 'kaito_webhook_requests_total{outcome="denied"}' in metrics
    assert "kaito_webhook_is_registered 1.0" in metrics
    assert "kaito_webhook_certificate_expiry_timestamp_seconds" in metrics
    assert await kube.find(SECRETS, SECRET_NAME, namespace)
    assert "started: webhook" in worker.log.read_text()


async def test_it_runs_beside_every_other_role_and_stops_in_order(
    worker_of: StartWorker,
    kube: KubernetesClient,
    namespace: str,
    temporal_server: TemporalServer,
) -> None:
    worker = worker_of(
        KAITO_ROLES="workflows,activities,watcher,webhook", TEMPORAL_ADDRESS=temporal_server.address
    )
    await worker.until_ready()
    await until_asked(kube, namespace)
    started_at = time.monotonic()
    assert await worker.stop(seconds=25) == 0
    assert time.monotonic() - started_at < 15
    lines = [json.loads(line) for line in worker.log.read_text().splitlines()]
    assert lines[-1]["message"] == "stopped"


async def test_without_the_role_nothing_is_registered(
    worker_of: StartWorker, kube: KubernetesClient, temporal_server: TemporalServer
) -> None:
    worker = worker_of(TEMPORAL_ADDRESS=temporal_server.address)
    await worker.until_ready()
    assert await kube.find(CONFIGURATIONS, CONFIGURATION_NAME) is None
    assert "kaito_webhook" not in (await worker.page("/metrics"))[1]


async def test_it_is_not_ready_before_the_api_server_trusts_it(
    worker_of: StartWorker, kube: KubernetesClient, namespace: str
) -> None:
    foreign = {"metadata": {"name": SECRET_NAME}, "data": {"tls.crt": "bm9uZQ=="}}
    await kube.create(SECRETS, foreign, namespace)
    worker = worker_of(KAITO_ROLES="webhook")

    async def answers() -> bool:
        worker.check()
        return "somebody else's" in (await worker.page("/readyz"))[1]

    await eventually(answers, what="saying what is wrong")
    assert (await worker.page("/readyz"))[0] == 503
    assert (await worker.page("/healthz"))[0] == 200
    await kube.delete(SECRETS, SECRET_NAME, namespace)
    await worker.until_ready()


async def test_a_taken_port_ends_the_start(worker_of: StartWorker) -> None:
    first = worker_of(KAITO_ROLES="webhook")
    await first.until_ready()
    address = "https://127.0.0.1:"
    port = first.log.read_text().partition(address)[2][:5]
    second = worker_of("second", KAITO_ROLES="webhook", KAITO_WEBHOOK_PORT=port)
    assert await second.until_it_ends() == 2
    assert f"port {port} on 127.0.0.1 can't be used" in second.log_tail()
