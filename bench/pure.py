"""What judgement costs: no server, no I/O."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from api.workspace import Workspace
from bench.page import Section, Table
from planner.facts import gpu_requests_by_node
from planner.plan import plan
from planner.render import render_service, render_workload
from planner.revision import revision_hash
from planner.world import NodeFacts, PlatformSettings, World
from presets.loader import load_catalogue
from tests import gen

MEASURED_SECONDS: Final = 0.5
"""For how long each function is repeated; the mean is what counts."""

FLEET: Final = 200
NODES_COUNT: Final = 100


def measure() -> Section:
    """Time each function alone."""
    settings = PlatformSettings(provisioner="onebox")
    catalogue = load_catalogue()
    workspace: Workspace = gen.workspace()
    preset = catalogue.get(gen.PRESET)
    revision = "abcdef01"
    nodes = tuple(NodeFacts(name=f"node-{index}", is_ready=True) for index in range(NODES_COUNT))
    world = World(nodes=nodes, gpus_per_node=1)

    def render_all() -> None:
        render_workload(workspace, preset, revision, ["node-1"], settings, 1)
        render_service(workspace, revision)

    def count_gpus(fleet: int) -> Callable[[], object]:
        pods, workloads = _fleet(fleet)
        return lambda: gpu_requests_by_node(pods, "another", workloads)

    timings: dict[str, Callable[[], object]] = {
        "plan of a new Workspace, empty cluster": lambda: plan(
            workspace, replace(world, nodes=()), preset, settings, catalogue
        ),
        f"plan of a new Workspace, {NODES_COUNT} nodes": lambda: plan(
            workspace, world, preset, settings, catalogue
        ),
        "revision hash": lambda: revision_hash(workspace, preset, None, settings),
        "render of StatefulSet and Service": render_all,
        f"GPUs in use, of {FLEET} Workspaces (each plan)": count_gpus(FLEET),
        f"GPUs in use, of {FLEET * 10} Workspaces (each plan)": count_gpus(FLEET * 10),
        # The undecorated function: the catalogue is kept once it is loaded.
        f"load of the catalogue, {len(list(catalogue.names()))} presets (once a process)": (
            load_catalogue.__wrapped__
        ),
    }
    rows = [(name, f"{_milliseconds(work):.3f}") for name, work in timings.items()]
    return Section(
        title="Pure functions",
        text="Mean of many calls in one process, without servers.",
        tables=(Table(("what", "ms"), rows),),
    )


def _fleet(count: int) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return one pod and one StatefulSet of each of many Workspaces."""
    settings = PlatformSettings(provisioner="onebox")
    preset = load_catalogue().get(gen.PRESET)
    pods, workloads = [], []
    for index in range(count):
        workspace = gen.workspace(name=f"fleet-{index}")
        workload = render_workload(workspace, preset, "abcdef01", ["big"], settings, 1)
        template = workload["spec"]["template"]
        pods.append(
            {
                "metadata": template["metadata"],
                "spec": {**template["spec"], "nodeName": "big"},
                "status": {"phase": "Running"},
            }
        )
        workloads.append(workload)
    return pods, workloads


def _milliseconds(work: Callable[[], object]) -> float:
    work()
    calls_count, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < MEASURED_SECONDS:
        work()
        calls_count += 1
    return passed * 1000 / calls_count
