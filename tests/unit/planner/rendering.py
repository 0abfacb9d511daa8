"""Rendering for tests: a workload with everything that a test says nothing about filled in."""

from __future__ import annotations

import shlex
from typing import Any

from api.preset import Preset
from api.workspace import Workspace
from planner.render import render_workload
from planner.sizing import Sizing
from planner.world import PlatformSettings
from tests import gen

REVISION = "0123abcd"
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where a pod has it
NODES = ("node-2", "node-1")


def workload(
    workspace: Workspace | None = None,
    preset: Preset | None = None,
    settings: PlatformSettings | None = None,
    sizing: Sizing | None = None,
) -> dict[str, Any]:
    """Return the StatefulSet."""
    return render_workload(
        workspace or gen.workspace(),
        preset or gen.preset(),
        REVISION,
        NODES,
        settings or gen.settings(),
        sizing or gen.sizing(),
    )


def gpu_workload(
    workspace: Workspace | None = None, sizing: Sizing | None = None, **preset: Any
) -> dict[str, Any]:
    """Return the StatefulSet of a model that runs on GPUs."""
    return workload(workspace, gen.gpu_preset(**preset), sizing=sizing)


def pod_of(stateful_set: dict[str, Any]) -> dict[str, Any]:
    """Return the spec of its pods."""
    spec: dict[str, Any] = stateful_set["spec"]["template"]["spec"]
    return spec


def server_of(stateful_set: dict[str, Any]) -> dict[str, Any]:
    """Return the container of the model server."""
    (container,) = pod_of(stateful_set)["containers"]
    assert isinstance(container, dict)
    return container


def line_of(stateful_set: dict[str, Any]) -> str:
    """Return the line that its shell runs."""
    shell, option, line = server_of(stateful_set)["command"]
    assert (shell, option) == ("/bin/sh", "-c")
    return str(line)


def flags_of(stateful_set: dict[str, Any]) -> dict[str, str]:
    """Return the flags of a server on one node, without dashes; a switch has an empty value."""
    words = shlex.split(line_of(stateful_set))
    assert words[0] == "exec"
    program = next(index for index, word in enumerate(words) if word.endswith("inference_api.py"))
    return dict(word.removeprefix("--").partition("=")[::2] for word in words[program + 1 :])


def environment_of(stateful_set: dict[str, Any]) -> dict[str, Any]:
    """Return the server's variables; one that comes from elsewhere has its source as value."""
    return {
        one["name"]: one.get("value", one.get("valueFrom"))
        for one in server_of(stateful_set).get("env", ())
    }


def volumes_of(stateful_set: dict[str, Any]) -> dict[str, Any]:
    """Return the pod's volumes by name."""
    return {one["name"]: one for one in pod_of(stateful_set)["volumes"]}


def mounts_of(container: dict[str, Any]) -> dict[str, Any]:
    """Return a container's mounts by path."""
    return {one["mountPath"]: one for one in container["volumeMounts"]}


def for_runtime(name: str, **changes: Any) -> Workspace:
    """Return a Workspace that asks for this runtime."""
    metadata = {"annotations": {"kaito.sh/runtime": name}}
    return gen.workspace(**gen.merged({"metadata": metadata}, changes))
