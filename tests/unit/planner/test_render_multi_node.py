"""One instance of a model over several nodes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from api import names
from planner.render import render_service
from tests import gen
from tests.unit.planner.rendering import (
    REVISION,
    environment_of,
    gpu_workload,
    line_of,
    pod_of,
    server_of,
    volumes_of,
)

SIZING = gen.sizing(gpus_per_pod=8, nodes_per_instance=2, parallelism={"tensor": 8, "pipeline": 2})
LEADER = f"chat-{REVISION}-0"
ADDRESS = f"{LEADER}.chat-headless.default.svc"


def multi_node(**workspace: Any) -> dict[str, Any]:
    return gpu_workload(gen.workspace(**workspace), sizing=SIZING)


def run_as(index: int, line: str, folder: Path) -> str:
    """Return what a pod would do: the line is run, with every program replaced by an echo."""
    for name in ("bash", "python3", "ray"):
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*"\n')
        program.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        env={"PATH": str(folder), "POD_INDEX": str(index)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_an_instance_has_a_pod_on_each_of_its_nodes_whatever_the_count_says() -> None:
    stateful_set = multi_node(resource={"count": 5})
    assert stateful_set["spec"]["replicas"] == 2
    assert "podAntiAffinity" in pod_of(stateful_set)["affinity"]


def test_the_leader_waits_for_the_others_and_then_serves(tmp_path: Path) -> None:
    first, second = run_as(0, line_of(multi_node()), tmp_path).splitlines()
    assert first == (
        "bash /workspace/vllm/multi-node-serving.sh leader --ray_cluster_size=2 --ray_port=6379 "
        "--ray_init_timeout=1800"
    )
    assert second.startswith("python3 /workspace/vllm/inference_api.py ")
    assert "--distributed-executor-backend=ray" in second
    assert "--tensor-parallel-size=8" in second
    assert "--pipeline-parallel-size=2" in second


def test_the_others_join_the_leader_by_its_name(tmp_path: Path) -> None:
    assert run_as(1, line_of(multi_node()), tmp_path) == (
        f"bash /workspace/vllm/multi-node-serving.sh worker --ray_address={ADDRESS} "
        "--ray_port=6379 --ray_init_timeout=1800\n"
    )


def test_a_pod_learns_its_index_from_its_label() -> None:
    assert environment_of(multi_node())["POD_INDEX"] == {
        "fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}
    }


@pytest.mark.parametrize(
    ("probe", "leader", "worker"),
    [
        ("startupProbe", "readiness", "ray health-check"),
        ("readinessProbe", "readiness", ""),
        ("livenessProbe", "liveness", "ray health-check"),
    ],
)
def test_the_leader_answers_for_the_model_and_a_worker_for_its_part(
    probe: str, leader: str, worker: str, tmp_path: Path
) -> None:
    shell, option, line = server_of(multi_node())[probe]["exec"]["command"]
    assert (shell, option) == ("/bin/sh", "-c")
    lead = run_as(0, line, tmp_path)
    assert lead.startswith(f"python3 /workspace/vllm/multi-node-health-check.py {leader} ")
    assert f"--leader-address={ADDRESS}" in lead
    assert run_as(1, line, tmp_path).startswith(worker)


def test_one_missed_probe_restarts_nothing() -> None:
    assert server_of(multi_node())["livenessProbe"]["failureThreshold"] > 1


def test_requests_go_to_the_leader_only() -> None:
    selector = render_service(gen.workspace(), REVISION, SIZING)["spec"]["selector"]
    assert selector["statefulset.kubernetes.io/pod-name"] == LEADER
    assert selector[names.LABEL_REVISION] == REVISION
    alone = render_service(gen.workspace(), REVISION, gen.sizing())["spec"]["selector"]
    assert "statefulset.kubernetes.io/pod-name" not in alone


@pytest.mark.parametrize("load_balancer", ["true", "false"])
def test_rays_ports_are_on_no_service(load_balancer: str) -> None:
    annotations = {names.ANNOTATION_ENABLE_LOAD_BALANCER: load_balancer}
    workspace = gen.workspace(metadata={"annotations": annotations})
    service = render_service(workspace, REVISION, SIZING)
    ports = {one[key] for one in service["spec"]["ports"] for key in ("port", "targetPort")}
    assert not ports & {names.PORT_RAY, 8265}


def test_rays_object_store_fits_into_shared_memory() -> None:
    size = volumes_of(multi_node())["shared-memory"]["emptyDir"]["sizeLimit"]
    assert size == "10Gi"
