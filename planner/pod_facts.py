"""Pod objects become facts: where a pod is on its way to ready, and how it failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from api import names
from planner.fields import (
    condition_status,
    conditions_of,
    device_count,
    int_at,
    is_deleting,
    labels_of,
    mapping_at,
    objects_at,
    text_at,
)
from planner.runtime_messages import last_words
from planner.world import PodFacts

TERMINAL_PHASES: Final = frozenset({"Succeeded", "Failed"})
"""A pod in such a phase holds no device any more."""

ORDINARY_WAITS: Final = frozenset({"", "PodInitializing", "ContainerCreating"})
"""Waiting reasons that every healthy pod shows on its way up."""

OOM_KILLED: Final = "OOMKilled"


def pod_facts(obj: Mapping[str, Any]) -> PodFacts:
    """Return the facts of one Pod; odd objects give empty facts, never an error."""
    phase = text_at(obj, "status", "phase")
    waiting = _waiting(obj)
    last_exit, last_exit_message = _last_exit(obj)
    return PodFacts(
        name=text_at(obj, "metadata", "name"),
        labels=labels_of(obj),
        node_name=text_at(obj, "spec", "nodeName"),
        phase=phase,
        ip=text_at(obj, "status", "podIP"),
        is_ready=condition_status(obj, "Ready") == "True" and phase not in TERMINAL_PHASES,
        is_deleting=is_deleting(obj),
        gpu_request=gpu_request(obj),
        waiting_reason=text_at(waiting, "reason"),
        waiting_message=text_at(waiting, "message"),
        running_init_container=_running_init_container(obj),
        restart_count=max((int_at(one, "restartCount") for one in _unfinished(obj)), default=0),
        last_exit=last_exit,
        last_exit_message=last_exit_message,
        unschedulable_message=_unschedulable_message(obj),
        failure=_failure(obj) if phase == "Failed" else "",
    )


def gpu_request(pod: Mapping[str, Any], device: str = names.GPU_RESOURCE) -> int:
    """Return the GPUs (or devices of another kind) that the scheduler sets aside for the pod.

    Containers run together, so theirs add up; an ordinary init container runs alone, so the
    largest one counts (the scheduler's own rule).
    """
    together = sum(_devices(one, device) for one in objects_at(pod, "spec", "containers"))
    alone = 0
    for container in objects_at(pod, "spec", "initContainers"):
        if _is_sidecar(container):
            together += _devices(container, device)
        else:
            alone = max(alone, _devices(container, device))
    return max(together, alone)


def _devices(container: Mapping[str, Any], device: str) -> int:
    # Devices can't be overcommitted: a limit alone is also the request.
    asked = mapping_at(container, "resources", "requests").get(device)
    allowed = mapping_at(container, "resources", "limits").get(device)
    return device_count(allowed if asked is None else asked)


def _is_sidecar(init_container: Mapping[str, Any]) -> bool:
    return text_at(init_container, "restartPolicy") == "Always"


def _statuses(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from objects_at(pod, "status", "initContainerStatuses")
    yield from objects_at(pod, "status", "containerStatuses")


def _unfinished(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the containers that have still something to do: a server always has.

    An init container that came through at last is over, and its failures before are of no use.
    """
    for status in objects_at(pod, "status", "initContainerStatuses"):
        ended = mapping_at(status, "state", "terminated")
        if not ended or _exit_text(ended):
            yield status
    yield from objects_at(pod, "status", "containerStatuses")


def _waiting(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the first waiting state that tells something, else the first one."""
    states = [
        mapping_at(one, "state", "waiting")
        for one in _statuses(pod)
        if mapping_at(one, "state", "waiting")
    ]
    telling = [state for state in states if text_at(state, "reason") not in ORDINARY_WAITS]
    return next(iter(telling + states), {})


def _running_init_container(pod: Mapping[str, Any]) -> str:
    sidecars = {
        text_at(one, "name")
        for one in objects_at(pod, "spec", "initContainers")
        if _is_sidecar(one)
    }
    running = (
        text_at(one, "name")
        for one in objects_at(pod, "status", "initContainerStatuses")
        if mapping_at(one, "state", "running")
    )
    return next((name for name in running if name not in sidecars), "")


def _last_exit(pod: Mapping[str, Any]) -> tuple[str, str]:
    """Return how the first container that failed ended, and its whole last message."""
    for status in _unfinished(pod):
        for state in ("state", "lastState"):
            ended = mapping_at(status, state, "terminated")
            exit_text = _exit_text(ended)
            if exit_text:
                return exit_text, text_at(ended, "message")
    return "", ""


def _exit_text(ended: Mapping[str, Any]) -> str:
    if text_at(ended, "reason") == OOM_KILLED:
        return OOM_KILLED
    if signal := int_at(ended, "signal"):
        return f"signal {signal}"
    code = int_at(ended, "exitCode")
    return f"exit code {code}" if code else ""


def _unschedulable_message(pod: Mapping[str, Any]) -> str:
    for found, condition in conditions_of(pod):
        if found == "PodScheduled" and text_at(condition, "status") == "False":
            return text_at(condition, "message") or text_at(condition, "reason")
    return ""


def _failure(pod: Mapping[str, Any]) -> str:
    reason = text_at(pod, "status", "reason")
    message = last_words(text_at(pod, "status", "message"))
    return ": ".join(part for part in (reason, message) if part)
