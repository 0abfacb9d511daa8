"""No Workspace that can be read, and no world, makes planning raise."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from api import names
from api.errors import BY_REASON, InvalidWorkspace
from api.workspace import Workspace
from planner.plan import plan
from planner.world import NodeFacts, PlatformSettings, World
from presets.loader import load_catalogue

CATALOGUE = load_catalogue()
PRESETS = ["phi-4", "smollm2-135m-instruct", "deepseek-r1-0528", "falcon-7b", "no-such", "a/b"]
TYPES = ["", "Standard_NC24ads_A100_v4", "onebox.large", "Standard_NX", "Standard_NG32ads_V620_v1"]

TEXT = st.text(max_size=8)


def mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return what is usual, and now and then something odd: most odd things are refused early."""
    return st.integers(0, 19).flatmap(lambda roll: odd if roll == 0 else usual)


PARTITIONS = st.fixed_dictionaries(
    {"mode": st.sampled_from(["mig", "accelerator"])},
    optional={"profile": st.sampled_from(["1g.10gb", "?"]), "count": st.integers(-1, 9)},
)
RESOURCES = st.fixed_dictionaries(
    {
        "labelSelector": mostly(st.just({"matchLabels": {"apps": "chat"}}), st.just({})),
        "count": mostly(st.integers(1, 3), st.integers()),
        "instanceType": mostly(st.sampled_from(TYPES), TEXT),
        "fallbackInstanceTypes": mostly(st.just([]), st.lists(st.sampled_from(TYPES) | TEXT)),
        "preferredNodes": st.lists(st.sampled_from(["n0", "n1"]), max_size=2),
    },
    optional={"capacityType": st.sampled_from(["on-demand", "spot", "spot-with-fallback"])},
)
TEMPLATES = mostly(
    st.integers(0, 4).map(
        lambda gpus: {
            "spec": {
                "containers": [
                    {
                        "name": "own",
                        "image": "own:1",
                        "resources": {"limits": {names.GPU_RESOURCE: str(gpus)}},
                    }
                ]
            }
        }
    ),
    st.dictionaries(st.sampled_from(["spec", "metadata"]), st.none() | TEXT | st.lists(TEXT)),
)
PRESET = st.sampled_from(PRESETS).map(lambda name: {"preset": {"name": name}})
INFERENCES = mostly(
    PRESET | PRESET | TEMPLATES.map(lambda template: {"template": template}),
    st.just({}) | st.just({"preset": {"name": "phi-4"}, "template": {}}),
)
ANNOTATIONS = st.fixed_dictionaries(
    {},
    optional={
        names.ANNOTATION_RUNTIME: mostly(st.sampled_from(["vllm", "transformers"]), TEXT),
        names.ANNOTATION_BYPASS_RESOURCE_CHECKS: st.just("true"),
    },
)
CONFIGS = mostly(
    st.sampled_from(["", "vllm: {tensor-parallel-size: 2}", "vllm: {max-model-len: 100k}"]),
    st.sampled_from(["vllm: {tensor-parallel-size: 7}", "vllm: ["]),
)
NODES = st.lists(
    st.builds(
        lambda index, kind, gpus, labels: NodeFacts(
            f"n{index}",
            labels={"apps": "chat", names.LABEL_INSTANCE_TYPE: kind, **labels},
            is_ready=True,
            gpu_capacity=gpus,
        ),
        st.integers(0, 3),
        st.sampled_from(TYPES),
        st.integers(0, 8),
        st.sampled_from([{}, {names.LABEL_GPU_MEMORY: "81920"}, {names.LABEL_GPU_MEMORY: "?"}]),
    ),
    max_size=4,
    unique_by=lambda node: node.name,
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Workspace, World, PlatformSettings]:
    config_text = draw(st.none() | CONFIGS)
    resource, inference = draw(RESOURCES), draw(INFERENCES)
    if config_text is not None:
        inference = {**inference, "config": "settings"}
    if draw(st.integers(0, 9)) == 0:
        resource = {**resource, "partition": draw(PARTITIONS)}
    obj = {
        "metadata": {
            "name": draw(mostly(st.just("chat"), st.sampled_from(["0", "x" * 60]))),
            "uid": "uid-1",
            "annotations": draw(ANNOTATIONS),
        },
        "resource": resource,
        "inference": inference,
    }
    provisioner = draw(st.sampled_from(["byo", "onebox", "karpenter"]))
    world = World(nodes=tuple(draw(NODES)), config_text=config_text)
    return Workspace.from_object(obj), world, PlatformSettings(provisioner=provisioner)


@given(cases(), st.booleans())
def test_any_workspace_is_planned_or_has_a_problem(
    case: tuple[Workspace, World, PlatformSettings], has_catalogue: bool
) -> None:
    workspace, world, settings = case
    preset = CATALOGUE.get(workspace.preset_name)
    decision = plan(workspace, world, preset, settings, CATALOGUE if has_catalogue else None)
    assert decision.found
    if decision.problem is None:
        assert decision.steps
        assert decision.node_count >= 1
        assert len(decision.claims) + len(decision.existing_nodes) == decision.node_count
        return
    assert decision.steps == []
    assert decision.problem.message
    error = BY_REASON[decision.problem.reason]
    assert issubclass(error, InvalidWorkspace) or decision.problem.reason == "InsufficientCapacity"
