"""What judgement costs: no server, no I/O."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from api import names
from api.preset import Catalogue, Preset
from api.workspace import Workspace
from bench.page import Section, Table, verdict
from planner.facts import gpu_requests_by_node
from planner.options import sizing_for
from planner.plan import plan
from planner.render import render_service, render_workload
from planner.revision import revision_hash
from planner.sizing import Sizing
from planner.validation import validate
from planner.world import NodeFacts, PlatformSettings, World
from presets.loader import load_catalogue
from tests import gen

MEASURED_SECONDS: Final = 0.5
"""For how long each function is repeated; the mean is what counts."""

PLAN_BUDGET_MS: Final = 5
RENDER_BUDGET_MS: Final = 5
LOAD_BUDGET_MS: Final = 300
"""The plan and a render of one Workspace, and loading the whole catalogue (issue 4)."""

FLEET: Final = 200
NODES_COUNT: Final = 100
LARGE_MODEL: Final = "deepseek-r1-0528"
LARGE_TYPE: Final = "Standard_ND96isr_H100_v5"
CONFIG: Final = "vllm:\n  max-model-len: 64K\n  gpu-memory-utilization: 0.9\n"

Work = Callable[[], object]


@dataclass(frozen=True)
class _Case:
    """One Workspace in one world."""

    workspace: Workspace
    settings: PlatformSettings
    world: World

    def preset(self, catalogue: Catalogue) -> Preset:
        found = catalogue.get(self.workspace.preset_name)
        if found is None:
            raise KeyError(self.workspace.preset_name)
        return found

    def plan(self, catalogue: Catalogue) -> Work:
        preset = self.preset(catalogue)
        decision = plan(self.workspace, self.world, preset, self.settings, catalogue)
        if decision.problem is not None:
            raise ValueError(decision.problem.message)
        return lambda: plan(self.workspace, self.world, preset, self.settings, catalogue)

    def render(self, catalogue: Catalogue) -> Work:
        preset = self.preset(catalogue)

        def render_all() -> None:
            sizing = _sizing(self, preset, catalogue)
            revision = "abcdef01"
            render_workload(self.workspace, preset, revision, ["node-1"], self.settings, sizing)
            render_service(self.workspace, revision, sizing)

        return render_all


def _sizing(case: _Case, preset: Preset, catalogue: Catalogue) -> Sizing:
    found = sizing_for(
        case.workspace,
        preset,
        case.settings,
        catalogue,
        config_text=case.world.config_text,
        nodes=(),
    )
    if not isinstance(found, Sizing):
        raise TypeError(found.message)
    return found


def measure() -> Section:
    """Time each function alone."""
    catalogue = load_catalogue()
    small = _Case(gen.workspace(), PlatformSettings(provisioner="onebox"), World())
    busy = _Case(small.workspace, small.settings, World(nodes=_nodes("onebox.small")))
    large, existing = _large(), _existing()
    preset = small.preset(catalogue)
    presets_count = len(catalogue.names())
    timings: list[tuple[str, Work, float | None]] = [
        ("validation of a Workspace", _validation(large, catalogue), PLAN_BUDGET_MS),
        ("plan of a small model, empty cluster", small.plan(catalogue), PLAN_BUDGET_MS),
        (f"the same, {NODES_COUNT} nodes", busy.plan(catalogue), PLAN_BUDGET_MS),
        (
            f"plan of {LARGE_MODEL} over nodes, settings, two fallbacks",
            large.plan(catalogue),
            PLAN_BUDGET_MS,
        ),
        (
            f"plan on existing nodes of any type, {NODES_COUNT} nodes of 4 types",
            existing.plan(catalogue),
            PLAN_BUDGET_MS,
        ),
        (
            "revision hash",
            lambda: revision_hash(small.workspace, preset, None, small.settings),
            None,
        ),
        ("sizing and render of a small model", small.render(catalogue), RENDER_BUDGET_MS),
        (f"sizing and render of {LARGE_MODEL}", large.render(catalogue), RENDER_BUDGET_MS),
        (f"GPUs in use, of {FLEET} Workspaces (each plan)", _count_gpus(FLEET), None),
        (f"GPUs in use, of {FLEET * 10} Workspaces (each plan)", _count_gpus(FLEET * 10), None),
        (
            # The undecorated function: the catalogue is kept once it is loaded.
            f"load of the catalogue, {presets_count} models (once a process)",
            load_catalogue.__wrapped__,
            LOAD_BUDGET_MS,
        ),
    ]
    return Section(
        title="Pure functions",
        text="Mean of many calls in one process, without servers.",
        tables=(
            Table(
                ("what", "ms", "budget, ms", ""),
                [_row(name, _milliseconds(work), budget) for name, work, budget in timings],
            ),
        ),
    )


def _row(name: str, milliseconds: float, budget: float | None) -> tuple[str, str, str, str]:
    shown = f"{milliseconds:.3f}"
    if budget is None:
        return name, shown, "", ""
    return name, shown, f"{budget:g}", verdict(milliseconds, budget)


def _large() -> _Case:
    workspace = gen.workspace(
        preset=LARGE_MODEL,
        instance_type=LARGE_TYPE,
        resource={
            "count": 2,
            "fallbackInstanceTypes": ["Standard_ND96isr_H200_v5", "Standard_ND96amsr_A100_v4"],
            "capacityType": "spot-with-fallback",
        },
        inference={"config": "settings"},
    )
    return _Case(workspace, PlatformSettings(provisioner="karpenter"), World(config_text=CONFIG))


def _existing() -> _Case:
    types = [LARGE_TYPE, "Standard_NC24ads_A100_v4", "Standard_NC64as_T4_v3", "g5.12xlarge"]
    return _Case(
        gen.workspace(preset="phi-4", instance_type=""),
        PlatformSettings(provisioner="byo"),
        World(nodes=_nodes(*types)),
    )


def _nodes(*instance_types: str) -> tuple[NodeFacts, ...]:
    return tuple(
        NodeFacts(
            name=f"node-{index}",
            labels={
                "apps": "chat",
                names.LABEL_INSTANCE_TYPE: instance_types[index % len(instance_types)],
            },
            is_ready=True,
            gpu_capacity=8,
        )
        for index in range(NODES_COUNT)
    )


def _validation(case: _Case, catalogue: Catalogue) -> Work:
    preset = case.preset(catalogue)
    return lambda: validate(
        case.workspace, preset, case.settings, catalogue, config_text=case.world.config_text
    )


def _count_gpus(count: int) -> Work:
    pods, workloads = _fleet(count)
    return lambda: gpu_requests_by_node(pods, "another", workloads)


def _fleet(count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return one pod and one StatefulSet of each of many Workspaces."""
    catalogue = load_catalogue()
    settings = PlatformSettings(provisioner="onebox")
    pods, workloads = [], []
    for index in range(count):
        case = _Case(gen.workspace(name=f"fleet-{index}"), settings, World())
        preset = case.preset(catalogue)
        sizing = _sizing(case, preset, catalogue)
        workload = render_workload(case.workspace, preset, "abcdef01", ["big"], settings, sizing)
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


def _milliseconds(work: Work) -> float:
    work()
    calls_count, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < MEASURED_SECONDS:
        work()
        calls_count += 1
    return passed * 1000 / calls_count
