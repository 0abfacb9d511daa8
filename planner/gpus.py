"""Which GPUs of which node are spoken for by somebody else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from api import names
from planner.fields import is_deleting, labels_of, mapping_at, text_at
from planner.pod_facts import TERMINAL_PHASES, gpu_request
from planner.workload_facts import workload_facts


def gpu_requests_by_node(
    pods: Iterable[Mapping[str, Any]],
    except_uid: str = "",
    workloads: Iterable[Mapping[str, Any]] = (),
    device: str = names.GPU_RESOURCE,
) -> dict[str, int]:
    """Return the GPUs asked for on each node by pods that are not of the Workspace `except_uid`.

    A workload of another Workspace speaks for the nodes that its affinity names before its pods
    exist; otherwise two Workspaces that are planned seconds apart would choose the same node, and
    the slower one would wait there for its whole deadline.

    Args:
        pods: Pod objects of the cluster; pods that ended count nothing.
        except_uid: uid of the Workspace to plan for; empty counts everybody.
        workloads: StatefulSet objects of the cluster.
        device: What to count; for a Workspace on MIG slices, those of its profile.
    """
    by_holder = _held(
        (pod for pod in pods if not _is_of(pod, except_uid)),
        (workload for workload in workloads if not _is_of(workload, except_uid)),
        device,
    )
    requests: dict[str, int] = defaultdict(int)
    for held in by_holder.values():
        for node_name, gpus in held.items():
            requests[node_name] += gpus
    return {node_name: gpus for node_name, gpus in requests.items() if gpus > 0}


def own_gpu_requests(
    pods: Iterable[Mapping[str, Any]],
    workloads: Iterable[Mapping[str, Any]],
    device: str = names.GPU_RESOURCE,
) -> dict[str, dict[str, int]]:
    """Return the GPUs that each revision of one Workspace holds, by revision and node.

    Args:
        pods: Pod objects of the Workspace, and no others.
        workloads: Its StatefulSet objects.
        device: What to count.
    """
    held = _held(pods, workloads, device)
    return {revision: dict(by_node) for (_, revision), by_node in held.items() if revision}


def _held(
    pods: Iterable[Mapping[str, Any]], workloads: Iterable[Mapping[str, Any]], device: str
) -> dict[tuple[str, str], dict[str, int]]:
    by_holder: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for pod in pods:
        node_name = text_at(pod, "spec", "nodeName")
        if node_name and not _has_ended(pod):
            by_holder[_holder(pod)][node_name] += gpu_request(pod, device)
    for workload in workloads:
        if not is_deleting(workload):
            _reserve(workload, device, by_holder)
    return by_holder


def _reserve(
    workload: Mapping[str, Any], device: str, by_holder: dict[tuple[str, str], dict[str, int]]
) -> None:
    facts = workload_facts(workload)
    holder = _holder(workload)
    if not holder[0] or facts.replicas < 1:
        return
    gpus = gpu_request(mapping_at(workload, "spec", "template"), device)
    for node_name in facts.node_names:
        # Its pods that run there already are part of the reservation, not on top of it.
        by_holder[holder][node_name] = max(by_holder[holder][node_name], gpus)


def _holder(obj: Mapping[str, Any]) -> tuple[str, str]:
    """Return whose GPUs these are: one revision of a Workspace, or nobody that we know."""
    labels = labels_of(obj)
    uid = labels.get(names.LABEL_WORKSPACE_UID, "")
    return uid, labels.get(names.LABEL_REVISION, "") if uid else ""


def _is_of(obj: Mapping[str, Any], except_uid: str) -> bool:
    return bool(except_uid) and labels_of(obj).get(names.LABEL_WORKSPACE_UID) == except_uid


def _has_ended(pod: Mapping[str, Any]) -> bool:
    return text_at(pod, "status", "phase") in TERMINAL_PHASES
