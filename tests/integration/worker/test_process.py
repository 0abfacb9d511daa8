"""A worker process from its start to its end, through outages of what it depends on."""

from __future__ import annotations

import json
import signal
import time

import pytest
from temporalio.service import RPCError

from activities.clients.kubernetes import LEASES, WORKSPACES
from api import names
from tests.harness import binaries
from tests.harness.cluster import Cluster
from tests.harness.platform import worker_environment
from tests.harness.processes import Process
from tests.harness.temporal_server import TemporalServer
from tests.harness.waiting import eventually
from tests.integration.watcher.conftest import workspace
from tests.integration.worker.conftest import StartWorker, WorkerProcess
from worker.watcher.election import LEASE_NAME

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

WATCHER_ONLY = {"KAITO_ROLES": "watcher"}


async def _is_leader(worker: WorkerProcess) -> bool:
    return "kaito_watcher_is_leader 1.0" in (await worker.page("/metrics"))[1]


async def test_a_worker_starts_serves_its_pages_and_stops_in_order(
    workers: StartWorker, cluster: Cluster, namespace: str
) -> None:
    worker = workers()
    await worker.until_ready()
    assert await worker.page("/healthz") == (200, "ok\n")
    await eventually(lambda: _is_leader(worker), what="leading")
    _, metrics = await worker.page("/metrics")
    assert 'kaito_api_requests_total{resource="workspaces",verb="watch"}' in metrics
    assert 'kaito_watch_relists_total{resource="nodes"} 1.0' in metrics
    assert "temporal_worker_task_slots_available" in metrics, "the SDK's own numbers"

    started_at = time.monotonic()
    assert await worker.stop(seconds=25) == 0
    assert time.monotonic() - started_at < 20
    lines = [json.loads(line) for line in worker.log.read_text().splitlines()]
    assert lines[-1]["message"] == "stopped"
    async with cluster.client() as kube:
        lease = await kube.get(LEASES, LEASE_NAME, namespace)
    assert lease["spec"]["holderIdentity"] == ""


async def test_a_worker_that_is_still_starting_stops_at_once(workers: StartWorker) -> None:
    async with TemporalServer().running() as server:
        # Accepts connections and answers nothing: the start hangs in its first check.
        server.process.pause()
        worker = workers(TEMPORAL_ADDRESS=server.address)

        async def serves() -> bool:
            worker.check()
            return (await worker.page("/healthz"))[0] == 200

        await eventually(serves, what="its pages")
        status, text = await worker.page("/readyz")
        assert status == 503
        assert "starting" in text
        assert await worker.stop(seconds=10) == 0
        server.process.resume()


async def test_readiness_follows_temporal_and_the_worker_survives(workers: StartWorker) -> None:
    async with TemporalServer().running() as server:
        worker = workers(TEMPORAL_ADDRESS=server.address)
        await worker.until_ready()
        server.kill()
        await eventually(
            lambda: worker.page("/readyz"),
            accept=lambda page: page[0] == 503 and "Temporal does not answer" in page[1],
            what="not being ready",
        )
        assert (await worker.page("/healthz"))[0] == 200
        await server.start()
        await worker.until_ready()
        assert worker.starts_count == 1


async def test_readiness_follows_the_api_server_and_the_worker_survives(
    workers: StartWorker, cluster: Cluster, namespace: str
) -> None:
    worker = workers()
    await worker.until_ready()
    await cluster.stop_apiserver()
    try:
        await eventually(
            lambda: worker.page("/readyz"),
            accept=lambda page: page[0] == 503 and "API server does not answer" in page[1],
            what="not being ready",
        )
    finally:
        await cluster.start_apiserver()
    await worker.until_ready()
    await eventually(lambda: _is_leader(worker), what="leading again")


async def test_a_second_watcher_leads_after_the_first_was_killed(
    workers: StartWorker, cluster: Cluster, temporal_server: TemporalServer, namespace: str
) -> None:
    one, two = workers("one", **WATCHER_ONLY), workers("two", **WATCHER_ONLY)
    await one.until_ready()
    await two.until_ready()

    async def leaders() -> list[WorkerProcess]:
        return [worker for worker in (one, two) if await _is_leader(worker)]

    (leader,) = await eventually(leaders, what="a leader")
    survivor = two if leader is one else one
    leader.kill()
    async with cluster.client() as kube:
        await kube.create(WORKSPACES, workspace("orphan", namespace), namespace)
    # The Lease lasts 10 s, and candidates look every 2 s.
    await eventually(lambda: _is_leader(survivor), what="the other one leading", seconds=20)
    client = await temporal_server.connect()
    handle = client.get_workflow_handle(names.workspace_workflow_id(namespace, "orphan"))

    async def exists() -> bool:
        found = [
            execution.id async for execution in client.list_workflows(f"WorkflowId = '{handle.id}'")
        ]
        return bool(found)

    await eventually(exists, what="the hint by the new leader")


async def test_a_watcher_alone_needs_no_workflows_or_activities(workers: StartWorker) -> None:
    worker = workers(**WATCHER_ONLY)
    await worker.until_ready()
    assert "started: watcher" in worker.log.read_text()
    assert await worker.stop(seconds=20) == 0


async def test_roles_can_be_split_over_processes(workers: StartWorker) -> None:
    parts = [workers(role, KAITO_ROLES=role) for role in ("workflows", "activities", "watcher")]
    for part in parts:
        await part.until_ready()
    for part in parts:
        assert await part.stop(seconds=20) == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_many_stops_all_end_with_zero(workers: StartWorker, how: signal.Signals) -> None:
    """The SDK is known to crash some interpreters on their way out; ours leaves before that."""
    for index in range(3):
        worker = workers(f"worker-{index}", **WATCHER_ONLY)
        await worker.until_ready()
        worker.send(how)
        assert await worker.until_it_ends(seconds=20) == 0


async def test_a_versioned_worker_takes_work_once_its_version_is_current(
    workers: StartWorker, namespace: str, cluster: Cluster
) -> None:
    # A server of its own: a current version would bind the task queue for all other tests.
    async with TemporalServer().running() as server:
        worker = workers(
            TEMPORAL_ADDRESS=server.address,
            TEMPORAL_DEPLOYMENT_NAME="kaito",
            TEMPORAL_WORKER_BUILD_ID="v1",
        )
        await worker.until_ready()
        promote = Process(
            "promote",
            [
                binaries.installed("temporal"),
                *("worker", "deployment", "set-current-version", "--yes"),
                *("--deployment-name", "kaito", "--build-id", "v1", "--address", server.address),
            ],
            folder=server.folder,
            environment=worker_environment(),
        )

        async def promoted() -> bool:
            # Refused until the worker's first poll has made the version known.
            promote.start()
            await eventually(lambda: _code(promote), accept=_is_over, what="the CLI's end")
            return promote.exit_code == 0

        await eventually(promoted, what="the current version")
        async with cluster.client() as kube:
            await kube.create(WORKSPACES, workspace("versioned", namespace), namespace)
        client = await server.connect()
        handle = client.get_workflow_handle(names.workspace_workflow_id(namespace, "versioned"))

        async def version() -> str:
            try:
                raw = (await handle.describe()).raw_description.workflow_execution_info
            except RPCError:
                return ""
            return raw.versioning_info.deployment_version.build_id

        assert await eventually(version, what="a task done by the version") == "v1"


async def _code(process: Process) -> int | None:
    return process.exit_code


def _is_over(code: int | None) -> bool:
    return code is not None
