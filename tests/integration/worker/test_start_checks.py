"""A worker that can't do its work says why and what to do, and ends with 2."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster
from tests.harness.processes import release_port, reserve_port
from tests.harness.temporal_server import TemporalServer
from tests.integration.worker.conftest import StartWorker

pytestmark = pytest.mark.integration


async def test_a_wrong_temporal_address_is_named_within_seconds(workers: StartWorker) -> None:
    port = reserve_port()
    worker = workers(TEMPORAL_ADDRESS=f"127.0.0.1:{port}")
    assert await worker.until_it_ends(seconds=30) == 2
    release_port(port)
    assert f"127.0.0.1:{port}" in worker.log_tail()
    assert "set TEMPORAL_ADDRESS" in worker.log_tail()


async def test_a_temporal_that_accepts_and_says_nothing_is_given_up_after_ten_seconds(
    workers: StartWorker,
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        worker = workers(TEMPORAL_ADDRESS=f"127.0.0.1:{silent.getsockname()[1]}")
        assert await worker.until_it_ends(seconds=30) == 2
    assert "set TEMPORAL_ADDRESS" in worker.log_tail()


async def test_a_missing_temporal_namespace_is_named(workers: StartWorker) -> None:
    worker = workers(TEMPORAL_NAMESPACE="nowhere")
    assert await worker.until_it_ends() == 2
    assert "'nowhere'" in worker.log_tail()
    assert "temporal operator namespace create" in worker.log_tail()


async def test_a_missing_kubeconfig_is_named(workers: StartWorker, tmp_path: Path) -> None:
    worker = workers(KUBECONFIG=str(tmp_path / "none"))
    assert await worker.until_it_ends() == 2
    assert "KUBECONFIG" in worker.log_tail()


async def test_an_api_server_that_does_not_answer_is_named(
    workers: StartWorker, cluster: Cluster, tmp_path: Path
) -> None:
    port = reserve_port()
    address = f"https://127.0.0.1:{port}"
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(cluster.kubeconfig.read_text().replace(cluster.url, address))
    worker = workers(KUBECONFIG=str(kubeconfig))
    assert await worker.until_it_ends() == 2
    release_port(port)
    assert f"{address} does not answer" in worker.log_tail()
    assert "check KUBECONFIG" in worker.log_tail()


async def test_missing_crds_are_named_with_the_command_that_installs_them(
    workers: StartWorker,
) -> None:
    async with Cluster(with_crds=False).running() as bare:
        worker = workers(KUBECONFIG=str(bare.kubeconfig))
        assert await worker.until_it_ends() == 2
    assert "has no workspaces.kaito.sh v1beta1" in worker.log_tail()
    assert "kubectl apply --server-side -f charts/kaito-temporal-crds" in worker.log_tail()


async def test_an_occupied_port_is_named(workers: StartWorker) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        worker = workers(KAITO_HTTP_PORT=str(port))
        assert await worker.until_it_ends() == 2
    assert f"port {port}" in worker.log_tail()
    assert "set KAITO_HTTP_PORT" in worker.log_tail()


async def test_a_bad_variable_is_named(workers: StartWorker) -> None:
    worker = workers(KAITO_PROVISIONER="moon")
    assert await worker.until_it_ends() == 2
    assert worker.log_tail() == (
        "worker: KAITO_PROVISIONER is 'moon'; set it to one of byo, onebox, aks, aks-arc, karpenter"
    )


async def test_missing_search_attributes_are_registered(workers: StartWorker) -> None:
    async with TemporalServer(with_search_attributes=False).running() as server:
        worker = workers(TEMPORAL_ADDRESS=server.address)
        await worker.until_ready()
        assert "registered search attributes" in worker.log.read_text()
        client = await server.connect()
        counted = await client.count_workflows("KaitoPhase = 'Ready' AND KaitoGeneration > 0")
        assert counted.count == 0


async def test_two_workers_that_start_together_both_register_and_both_start(
    workers: StartWorker,
) -> None:
    async with TemporalServer(with_search_attributes=False).running() as server:
        pair = [workers(f"worker-{index}", TEMPORAL_ADDRESS=server.address) for index in (1, 2)]
        for worker in pair:
            await worker.until_ready()
