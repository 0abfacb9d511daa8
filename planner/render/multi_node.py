"""One instance of a model over several pods: Ray ties them together, and pod 0 leads.

    pod 0   starts Ray, waits until every other pod has joined, then starts the model server
    others  join pod 0 by its DNS name and lend it their GPUs

Which of the two a pod does is told by its index, so all of them are of one template. A shell that
is a container's first process ignores the signal to end, and that is right for the others: pod 0
needs their GPUs while it finishes what it was asked.
"""

from __future__ import annotations

from typing import Any, Final

from api import names
from planner.render.ownership import headless_service_name
from planner.render.probes import Probes, exec_probe
from planner.render.serving import Serving

POD_INDEX_LABEL: Final = "apps.kubernetes.io/pod-index"
"""Set by the StatefulSet controller since Kubernetes 1.28."""
POD_INDEX_VARIABLE: Final = "POD_INDEX"
"""The programs of the image read it, too."""

RAY_PROGRAM: Final = "bash /workspace/vllm/multi-node-serving.sh"
HEALTH_PROGRAM: Final = "python3 /workspace/vllm/multi-node-health-check.py"

PERIOD_SECONDS: Final = 10
"""10 s: each probe is a process that has to be started."""
TIMEOUT_SECONDS: Final = 10
"""10 s: importing Ray takes a second of CPU, and longer on a busy node (a guess)."""
READINESS_FAILURES: Final = 3
LIVENESS_PERIOD_SECONDS: Final = 30
"""30 s: the probe joins Ray as a program of its own, the most expensive of the three."""
LIVENESS_FAILURES: Final = 3
"""3: a probe that is missed once restarts nothing, for a restart of the leader costs the whole
instance, which loads its weights anew."""


def leader_address(serving: Serving) -> str:
    """Return the DNS name of pod 0; a cluster's own domain is left to the resolver."""
    workspace = serving.workspace
    pod = names.workload_name(workspace.name, serving.revision) + "-0"
    return f"{pod}.{headless_service_name(workspace)}.{workspace.namespace}.svc"


def command_line(serving: Serving, server: str) -> str:
    """Return the shell command that leads or joins; `server` is what the leader ends up as."""
    # Pods whose weights come first get here minutes apart, and none may give up on the others.
    wait = f"--ray_init_timeout={serving.preset.ready_deadline_seconds}"
    lead = (
        f"{RAY_PROGRAM} leader --ray_cluster_size={serving.nodes_per_instance} "
        f"--ray_port={names.PORT_RAY} {wait} && {server}"
    )
    join = (
        f"exec {RAY_PROGRAM} worker --ray_address={leader_address(serving)} "
        f"--ray_port={names.PORT_RAY} {wait}"
    )
    return _by_index(lead, join)


def environment() -> list[dict[str, Any]]:
    """Return the variable by which a pod knows what it is."""
    field = {"fieldRef": {"fieldPath": f"metadata.labels['{POD_INDEX_LABEL}']"}}
    return [{"name": POD_INDEX_VARIABLE, "valueFrom": field}]


def probes(serving: Serving) -> Probes:
    """Return probes of which each asks what its pod can answer for.

    A worker that runs serves nobody, so it is ready once Ray is there to be joined; that the whole
    instance answers is what the leader's readiness says.
    """
    leader = leader_address(serving)
    ray = f"exec ray health-check --address={leader}:{names.PORT_RAY}"
    health = f"exec {HEALTH_PROGRAM}"
    answers = f"{health} readiness --leader-address={leader} --vllm-port={names.PORT_SERVING}"
    lives = f"{health} liveness --leader-address={leader} --ray-port={names.PORT_RAY}"
    return Probes(
        startup=exec_probe(
            _by_index(answers, ray),
            PERIOD_SECONDS,
            -(-serving.preset.ready_deadline_seconds // PERIOD_SECONDS),
            TIMEOUT_SECONDS,
        ),
        readiness=exec_probe(
            _by_index(answers, "true"), PERIOD_SECONDS, READINESS_FAILURES, TIMEOUT_SECONDS
        ),
        liveness=exec_probe(
            _by_index(lives, ray), LIVENESS_PERIOD_SECONDS, LIVENESS_FAILURES, TIMEOUT_SECONDS
        ),
    )


def _by_index(leader: str, worker: str) -> str:
    return f'if [ "${POD_INDEX_VARIABLE}" = 0 ]; then {leader}; else {worker}; fi'
