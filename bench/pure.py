"""What judgement costs: no server, no I/O."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from api.workspace import Workspace
from planner.plan import plan
from planner.render import render_workload
from planner.world import NodeFacts, PlatformSettings, World
from presets.loader import load_catalogue
from tests import gen

ROUNDS: Final = 500


def measure() -> list[str]:
    """Return the section's lines."""
    catalogue = load_catalogue()
    workspace: Workspace = gen.workspace()
    preset = catalogue.get("smollm2-135m-instruct")
    settings = PlatformSettings(provisioner="onebox")
    nodes = tuple(NodeFacts(name=f"node-{index}", is_ready=True) for index in range(100))
    world = World(nodes=nodes, gpus_per_node=1)
    timings = {
        "plan, 100 nodes": lambda: plan(workspace, world, preset, settings, catalogue),
        "render of a workload": lambda: render_workload(
            workspace, preset, "abcdef01", ["node-1"], settings, 1
        ),
    }
    rows = [f"| {name} | {_milliseconds(work):.2f} |" for name, work in timings.items()]
    return ["## Pure functions", "", "| what | ms |", "|---|---|", *rows]


def _milliseconds(work: Callable[[], object]) -> float:
    work()
    started = time.perf_counter()
    for _ in range(ROUNDS):
        work()
    return (time.perf_counter() - started) * 1000 / ROUNDS
