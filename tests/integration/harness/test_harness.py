"""What every other test relies on: nothing outlives a test, and nothing leaves the machine."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from activities.clients.kubernetes import NODES, PODS, STATEFUL_SETS, ApiError
from tests.harness.cluster import ROOT, Cluster
from tests.harness.network_guard import NetworkRefused
from tests.harness.processes import Process, ProcessDied, release_port, reserve_port
from tests.harness.waiting import eventually

pytestmark = pytest.mark.integration


def _is_alive(pid: int) -> bool:
    try:
        # A zombie still has a pid; its state says that it is over.
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def test_a_cluster_dies_with_the_process_that_started_it() -> None:
    program = """
import asyncio
from tests.harness.cluster import Cluster

async def main():
    cluster = Cluster()
    await cluster.start()
    print(*[process.pid for process in cluster.processes.values()], cluster.folder, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=ROOT, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    *pids, folder = (await child.stdout.readline()).decode().split()
    assert len(pids) == 2
    assert all(_is_alive(int(pid)) for pid in pids)
    child.kill()
    await child.wait()

    async def alive() -> list[str]:
        return [pid for pid in pids if _is_alive(int(pid))]

    await eventually(alive, accept=lambda left: not left, what="the end of etcd and the API server")
    shutil.rmtree(folder)


async def test_a_stopped_cluster_leaves_no_process_and_no_folder() -> None:
    cluster = Cluster(with_crds=False)
    async with cluster.running():
        pids = [process.pid for process in cluster.processes.values()]
    assert not any(_is_alive(pid) for pid in pids)
    assert not cluster.folder.exists()


async def test_objects_survive_a_restart_of_the_api_server(
    cluster: Cluster, namespace: str
) -> None:
    await cluster.create_kwok_node("survivor")
    await cluster.restart_apiserver()
    async with cluster.client() as kube:
        assert await kube.find(NODES, "survivor") is not None
    await cluster.delete_node("survivor")


async def test_a_full_cluster_runs_a_workload_on_a_simulated_node(
    full_cluster: Cluster, full_namespace: str
) -> None:
    taint = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
    await full_cluster.create_kwok_node(
        "gpu-1", gpu_count=2, taints=[taint], provider_id="onebox:///gpu-1"
    )
    labels = {"app": "two"}
    limits = {"nvidia.com/gpu": "1"}
    async with full_cluster.client() as kube:
        await kube.create(
            STATEFUL_SETS,
            {
                "metadata": {"name": "two"},
                "spec": {
                    "replicas": 2,
                    "serviceName": "two",
                    "podManagementPolicy": "Parallel",
                    "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels},
                        "spec": {
                            "tolerations": [{"key": "sku", "operator": "Exists"}],
                            "containers": [
                                {"name": "main", "image": "none", "resources": {"limits": limits}}
                            ],
                        },
                    },
                },
            },
            full_namespace,
        )

        async def ready() -> int:
            found = await kube.get(STATEFUL_SETS, "two", full_namespace)
            return int(found.get("status", {}).get("readyReplicas", 0))

        async def pod_count() -> int:
            return len(await kube.list(PODS, full_namespace, labels))

        await eventually(ready, accept=lambda count: count == 2, what="two ready pods")
        # Left alone, its pods would wait for a node, and take the GPUs of some later test's.
        await kube.delete(STATEFUL_SETS, "two", full_namespace)
        await eventually(pod_count, accept=lambda count: count == 0, what="no pods")
    await full_cluster.delete_node("gpu-1")


async def test_a_refusal_is_not_taken_for_an_outage(cluster: Cluster, namespace: str) -> None:
    async with cluster.client() as kube:
        with pytest.raises(ApiError, match="not found"):
            await cluster.until_it_answers(lambda: kube.get(NODES, "no-such-node"))


def test_a_process_that_ended_is_reported_with_its_last_words(tmp_path: Path) -> None:
    process = Process("brief", [sys.executable, "-c", "print('last words')"], folder=tmp_path)
    process.start()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ProcessDied, match="last words"):
        process.check()


def test_a_port_is_given_to_one_process_only() -> None:
    mine = reserve_port()
    program = (
        "from tests.harness.processes import reserve_port, PORTS\n"
        f"ports = [reserve_port() for _ in range(50)]\nassert {mine} not in ports, ports\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    release_port(mine)


def test_a_connection_to_another_machine_is_refused() -> None:
    with pytest.raises(NetworkRefused, match=r"192\.0\.2\.1"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
