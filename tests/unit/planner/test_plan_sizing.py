"""Plans of models that are larger than a node, of unknown nodes, and of nodes of any kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import names
from api.payloads import Parallelism, Step, WorkspacePlan
from api.preset import Catalogue, Preset
from api.workspace import Workspace
from planner.options import sizing_for
from planner.plan import plan
from planner.sizing import Sizing
from planner.world import NodeFacts, PlatformSettings, WorkloadFacts, World
from tests import gen
from tests.unit.planner.models import model

BYO = PlatformSettings(provisioner="byo")
CLOUD = PlatformSettings(provisioner="karpenter")
MODEL = model(30)
CATALOGUE = gen.catalogue(
    MODEL,
    instance_types=(
        gen.instance_type("large", vendor="nvidia", memory="80Gi"),
        gen.instance_type("wide", vendor="nvidia", memory="24Gi", gpu_count=4),
        gen.instance_type("small", vendor="nvidia", memory="24Gi"),
        gen.instance_type("tiny", vendor="nvidia", memory="2Gi"),
    ),
)


def node(name: str, instance_type: str, gpus: int = 1, **labels: str) -> NodeFacts:
    own = {"apps": "chat", names.LABEL_INSTANCE_TYPE: instance_type, **labels}
    return NodeFacts(name, labels=own, is_ready=True, gpu_capacity=gpus)


def workspace(instance_type: str = "", **changes: Any) -> Workspace:
    return gen.workspace(instance_type=instance_type, **changes)


def planned(
    of: Workspace,
    *nodes: NodeFacts,
    settings: PlatformSettings = BYO,
    preset: Preset = MODEL,
    catalogue: Catalogue = CATALOGUE,
    **facts: Any,
) -> WorkspacePlan:
    return plan(of, World(nodes=nodes, **facts), preset, settings, catalogue)


# --- Several nodes --------------------------------------------------------------------------------


def test_a_model_that_spans_nodes_gets_as_many_as_one_instance_takes() -> None:
    decision = planned(workspace("small"), settings=CLOUD)
    assert decision.problem is None
    assert (decision.node_count, decision.replicas, len(decision.claims)) == (2, 2, 2)
    assert decision.parallelism == Parallelism(pipeline=2)
    assert decision.budget is not None
    assert decision.runtime == "vllm"


@pytest.mark.parametrize("count", [1, 3])
def test_another_count_than_one_instance_takes_is_said(count: int) -> None:
    decision = planned(workspace("small", resource={"count": count}), settings=CLOUD)
    assert decision.node_count == 2
    assert (
        f"resource.count is {count}, and one instance of the model takes 2 nodes"
        in (decision.warnings[0])
    )
    assert planned(workspace("small", resource={"count": 2}), settings=CLOUD).warnings == []


def test_a_model_that_fits_on_a_node_gets_its_replicas() -> None:
    decision = planned(workspace("large", resource={"count": 3}), settings=CLOUD)
    assert (decision.node_count, decision.parallelism) == (3, Parallelism())


def test_the_users_settings_are_planned_with() -> None:
    of = workspace("large", inference={"config": "settings"})
    text = "vllm: {max-model-len: 100K, gpu-memory-utilization: 0.9}"
    decision = planned(of, settings=CLOUD, config_text=text)
    assert decision.budget is not None
    assert decision.budget.context_tokens == 102400
    assert decision.budget.usable == int(80 * 2**30 * 0.9)


def test_settings_that_cannot_be_read_are_a_problem() -> None:
    of = workspace("large", inference={"config": "settings"})
    decision = planned(of, settings=CLOUD, config_text="vllm: [")
    assert decision.problem is not None
    assert "no YAML" in decision.problem.message


def test_a_pod_asks_for_as_many_gpus_as_its_layout_takes() -> None:
    busy = planned(workspace("wide"), node("a", "wide", gpus=4), gpu_requests={"a": 1})
    assert busy.problem is not None
    assert "with fewer than 4 free GPUs (a)" in busy.problem.message
    part = workspace("wide", resource={"partition": {"mode": "accelerator", "count": 2}})
    assert planned(part, node("a", "wide", gpus=4), gpu_requests={"a": 1}).problem is None


def test_a_mig_slice_is_looked_for_among_slices() -> None:
    of = workspace(resource={"partition": {"mode": "mig", "profile": "1g.10gb"}})
    sliced = replace(node("a", "large", gpus=0), mig_capacity={"nvidia.com/mig-1g.10gb": 7})
    small = model(4)
    decision = planned(of, sliced, node("b", "large", gpus=8), preset=small)
    assert decision.problem is None
    assert decision.existing_nodes == ["a"]
    full = planned(of, sliced, preset=small, gpu_requests={"a": 7})
    assert full.problem is not None
    assert "fewer than 1 free nvidia.com/mig-1g.10gb" in full.problem.message


def test_slices_of_several_nodes_are_never_joined() -> None:
    of = workspace(resource={"partition": {"mode": "mig", "profile": "1g.10gb"}})
    sliced = [
        replace(node(name, "large", gpus=0), mig_capacity={"nvidia.com/mig-1g.10gb": 7})
        for name in "abcdef"
    ]
    decision = planned(of, *sliced)
    assert decision.problem is not None
    assert decision.problem.reason == "InstanceTypeTooSmall"
    assert "choose a larger profile, or whole GPUs" in decision.problem.message


# --- Types that the catalogue lacks ---------------------------------------------------------------

LABELS = {
    names.LABEL_GPU_PRODUCT: "NVIDIA-A100-SXM4-80GB",
    names.LABEL_GPU_COUNT: "4",
    names.LABEL_GPU_MEMORY: "24576",
}


def test_a_type_that_nobody_knows_is_tried_with_one_gpu_and_that_is_said() -> None:
    decision = planned(workspace("Standard_NX9"), settings=CLOUD)
    assert decision.problem is None
    assert (decision.node_count, decision.budget) == (1, None)
    assert any("the catalogue does not know" in warning for warning in decision.warnings)
    assert any("not judged whether the model fits" in warning for warning in decision.warnings)


def test_once_a_node_of_it_is_there_its_labels_count() -> None:
    there = node("a", "Standard_NX9", gpus=4, **LABELS)
    decision = planned(workspace("Standard_NX9"), there, settings=CLOUD)
    assert decision.parallelism == Parallelism(tensor=4)
    assert any("each has 4 A100 of 24.0 GiB each" in warning for warning in decision.warnings)


def test_nodes_that_appear_make_no_new_revision() -> None:
    before = planned(workspace("Standard_NX9"), settings=CLOUD)
    after = planned(
        workspace("Standard_NX9"), node("a", "Standard_NX9", gpus=4, **LABELS), settings=CLOUD
    )
    assert before.revision == after.revision


# --- Existing nodes of any type -------------------------------------------------------------------


def test_fewest_nodes_win_and_then_the_smallest() -> None:
    small = [node(name, "small") for name in ("a", "b")]
    assert planned(workspace(), *small).existing_nodes == ["a", "b"]
    assert planned(workspace(), *small, node("z", "large")).existing_nodes == ["z"]
    assert planned(
        workspace(), *small, node("y", "wide", gpus=4), node("z", "large")
    ).existing_nodes == ["z"]


def test_what_is_busy_or_too_small_is_passed_by() -> None:
    nodes = [node("a", "small"), node("b", "small"), node("c", "tiny"), node("z", "large")]
    assert planned(workspace(), *nodes, gpu_requests={"z": 1}).existing_nodes == ["a", "b"]


def test_where_every_node_is_too_small_that_is_the_problem() -> None:
    decision = planned(workspace(), node("c", "tiny"))
    assert decision.problem is not None
    assert decision.problem.reason == "InstanceTypeTooSmall"
    assert decision.steps == []


def test_replicas_may_run_on_different_nodes_with_what_all_of_them_have() -> None:
    of = workspace(resource={"count": 2})
    nodes = [node("y", "wide", gpus=4), node("z", "large")]
    small = model(10)
    decision = planned(of, *nodes, preset=small)
    assert decision.existing_nodes == ["y", "z"]
    assert decision.budget is not None
    assert decision.budget.total == 24 * 2**30
    assert decision.parallelism == Parallelism()


def test_a_workload_stays_on_the_kind_of_nodes_that_it_runs_on() -> None:
    small = [node("a", "small"), node("b", "small")]
    settled = planned(workspace(), *small)
    running = WorkloadFacts(
        f"chat-{settled.revision}",
        settled.revision,
        replicas=2,
        ready_replicas=2,
        is_current=True,
        node_names=frozenset({"a", "b"}),
    )
    decision = planned(workspace(), *small, node("z", "large"), workloads=(running,))
    assert decision.existing_nodes == ["a", "b"]
    assert Step.WORKLOAD not in decision.steps


def test_a_workload_stays_on_the_fallback_that_it_runs_on() -> None:
    of = workspace("large", resource={"fallbackInstanceTypes": ["wide"]})
    wide = node("y", "wide", gpus=4)
    settled = planned(of, wide)
    assert settled.existing_nodes == ["y"]
    running = WorkloadFacts(
        f"chat-{settled.revision}",
        settled.revision,
        replicas=1,
        ready_replicas=1,
        is_current=True,
        node_names=frozenset({"y"}),
    )
    assert planned(of, wide, node("z", "large")).existing_nodes == ["z"]
    assert planned(of, wide, node("z", "large"), workloads=(running,)).existing_nodes == ["y"]


def test_nodes_of_which_nobody_knows_anything_are_a_guess_of_last_resort() -> None:
    unknown = node("u", "home-made", gpus=8)
    decision = planned(workspace(), unknown)
    assert decision.existing_nodes == ["u"]
    assert any("not judged whether the model fits" in warning for warning in decision.warnings)
    assert planned(workspace(), unknown, node("z", "large")).existing_nodes == ["z"]
    assert planned(workspace(), node("c", "tiny"), unknown).existing_nodes == ["u"]


def test_gpus_of_one_size_that_can_be_used_less_are_a_problem_and_no_crash() -> None:
    # An A10 is used to 0.82, so what just fits on another GPU of its size does not fit on it.
    of_one_size = [gen.instance_type(name, vendor="nvidia", memory="24Gi") for name in "ab"]
    a10 = of_one_size[0].accelerator.model_copy(update={"model": "A10"})
    types = (of_one_size[0].model_copy(update={"accelerator": a10}), of_one_size[1])
    tight = model(16.5)
    catalogue = gen.catalogue(tight, instance_types=types)
    both = [node("first", "a"), node("second", "b")]
    decision = planned(workspace(), *both, preset=tight, catalogue=catalogue)
    assert decision.problem is None or decision.problem.reason == "InstanceTypeTooSmall"
    assert bool(decision.steps) == (decision.problem is None)


def test_no_nodes_at_all_are_a_shortage() -> None:
    decision = planned(workspace())
    assert decision.problem is not None
    assert decision.problem.reason == "InsufficientCapacity"
    assert "there are no other nodes" in decision.problem.message


NODES = st.lists(
    st.builds(
        lambda index, kind, is_ready: replace(
            node(f"n{index}", kind, gpus=4 if kind in {"wide", "home-made"} else 1),
            is_ready=is_ready,
        ),
        st.integers(0, 9),
        st.sampled_from(["large", "wide", "small", "tiny", "home-made"]),
        st.booleans(),
    ),
    max_size=6,
    unique_by=lambda one: one.name,
)


@given(nodes=NODES, count=st.integers(1, 3), types=st.sampled_from(["", "small", "wide"]))
def test_manifests_are_made_as_planned(nodes: list[NodeFacts], count: int, types: str) -> None:
    of = workspace(types, resource={"count": count, "fallbackInstanceTypes": []})
    decision = planned(of, *nodes)
    if decision.problem is not None:
        return
    chosen = [one for one in nodes if one.name in decision.existing_nodes]
    assert len(chosen) == decision.node_count
    made = sizing_for(of, MODEL, BYO, CATALOGUE, config_text=None, nodes=chosen)
    assert isinstance(made, Sizing)
    assert made.parallelism == decision.parallelism
    assert made.budget == decision.budget
    assert made.nodes_per_instance in {1, decision.node_count}


@given(nodes=NODES, count=st.integers(1, 3), data=st.data())
def test_the_order_of_nodes_does_not_matter(
    nodes: list[NodeFacts], count: int, data: st.DataObject
) -> None:
    of = workspace(resource={"count": count})
    assert planned(of, *data.draw(st.permutations(nodes))) == planned(of, *nodes)


@given(nodes=NODES, newcomers=NODES, count=st.integers(1, 3))
def test_what_runs_is_not_moved_because_nodes_come(
    nodes: list[NodeFacts], newcomers: list[NodeFacts], count: int
) -> None:
    of = workspace(resource={"count": count})
    decision = planned(of, *nodes)
    if decision.problem is not None:
        return
    running = WorkloadFacts(
        f"chat-{decision.revision}",
        decision.revision,
        replicas=decision.replicas,
        ready_replicas=decision.replicas,
        is_current=True,
        node_names=frozenset(decision.existing_nodes),
    )
    fresh = [replace(one, name=f"new-{one.name}") for one in newcomers]
    later = planned(of, *nodes, *fresh, workloads=(running,))
    assert later.problem is None
    assert later.existing_nodes == decision.existing_nodes
    assert Step.WORKLOAD not in later.steps


# --- Pods of the user's own -----------------------------------------------------------------------


def own_pods(gpus: int = 0, **changes: Any) -> Workspace:
    limits = {names.GPU_RESOURCE: str(gpus)} if gpus else {}
    container = {"name": "own", "image": "own:1", "resources": {"limits": limits}}
    template = {"spec": {"containers": [container]}}
    return workspace("large", inference={"preset": None, "template": template}, **changes)


def test_pods_of_the_users_own_have_no_endpoint_that_we_could_ask() -> None:
    decision = plan(own_pods(), World(), None, CLOUD, CATALOGUE)
    assert decision.problem is None
    assert decision.steps == [Step.NODES, Step.IMAGES, Step.WORKLOAD, Step.TRAFFIC]
    assert (decision.served_model_name, decision.preset, decision.runtime) == ("", "", "")
    assert decision.budget is None


def test_pods_of_the_users_own_get_nodes_with_the_gpus_that_they_ask_for() -> None:
    large = node("z", "large")
    assert plan(own_pods(1), World((large,)), None, BYO, CATALOGUE).existing_nodes == ["z"]
    decision = plan(own_pods(2), World((large,)), None, BYO, CATALOGUE)
    assert decision.problem is not None
    assert "fewer than 2 free GPUs" in decision.problem.message


def test_pods_of_the_users_own_get_count_nodes() -> None:
    decision = plan(own_pods(resource={"count": 2}), World(), None, CLOUD, CATALOGUE)
    assert (decision.node_count, decision.replicas, len(decision.claims)) == (2, 2, 2)


# --- What is not yet, and how long it may take ----------------------------------------------------


def test_the_users_deadline_comes_before_the_presets() -> None:
    of = workspace("large", rollout={"progressDeadlineSeconds": 77})
    assert planned(of, settings=CLOUD).deadlines.workload_seconds == 77
    assert planned(workspace("large"), settings=CLOUD).deadlines.workload_seconds == 1800


def test_a_feature_of_a_later_version_is_a_problem_by_name() -> None:
    of = workspace("large", metadata={"annotations": {"kaito.sh/use-local-weights": "true"}})
    decision = planned(of, settings=CLOUD)
    assert decision.problem is not None
    assert decision.problem.reason == "FeatureNotAvailable"


def test_a_model_that_nobody_looked_up_is_a_problem_and_no_crash() -> None:
    of = workspace("large", preset="org/model")
    decision = plan(of, World(), None, CLOUD, CATALOGUE)
    assert decision.problem is not None
    assert decision.problem.reason == "UnknownPreset"


def test_what_works_otherwise_than_one_may_think_is_said_once() -> None:
    of = workspace("large", resource={"capacityType": "spot"})
    decision = planned(of, settings=PlatformSettings(provisioner="onebox"))
    assert len(decision.warnings) == len(set(decision.warnings)) == 1
    assert "spot is ignored" in decision.warnings[0]
