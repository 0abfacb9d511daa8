"""Plans: the steps that are left, and that carrying them out leaves none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import names
from api.payloads import Step, StepDeadlines, WorkspacePlan
from planner.plan import plan
from planner.world import ClaimFacts, NodeFacts, ServiceFacts, WorkloadFacts, World
from presets.loader import load_catalogue
from tests.unit.planner.simulation import (
    BYO,
    INSTANCE_TYPE,
    ONEBOX,
    PRESET_NAME,
    UID,
    Simulation,
    catalogue_preset,
    claim_name,
    node,
    workspace,
)

ALL = [Step.NODES, Step.IMAGES, Step.WORKLOAD, Step.ENDPOINT, Step.TRAFFIC]


def settled(count: int = 1) -> Simulation:
    simulation = Simulation()
    assert simulation.settle(workspace(count)).steps == []
    return simulation


def only(simulation: Simulation) -> WorkloadFacts:
    (workload,) = (one for one in simulation.workloads.values() if not one.is_at_rest)
    return workload


# --- What a plan says -----------------------------------------------------------------------------


def test_a_new_workspace_needs_every_step_and_one_claim() -> None:
    decision = Simulation().plan(workspace(finalizers=()))
    assert decision.problem is None
    assert decision.steps == ALL
    assert [spec.name for spec in decision.claims] == [claim_name(0)]
    assert decision.model_dump(include={"found", "uid", "generation", "deleting", "adopted"}) == {
        "found": True,
        "uid": UID,
        "generation": 3,
        "deleting": False,
        "adopted": False,
    }
    assert (decision.preset, decision.served_model_name) == (PRESET_NAME, PRESET_NAME)
    assert (decision.instance_type, decision.node_count, decision.replicas) == (INSTANCE_TYPE, 1, 1)


def test_deadlines_come_from_the_preset() -> None:
    preset = catalogue_preset().model_copy(update={"ready_deadline_seconds": 77})
    decision = plan(workspace(), World(), preset, ONEBOX, load_catalogue())
    assert decision.deadlines == StepDeadlines(workload_seconds=77)


def test_a_workspace_is_adopted_once_finalizer_and_revision_are_in_place() -> None:
    revision = Simulation().plan(workspace()).revision
    assert not Simulation().plan(workspace()).adopted
    simulation = Simulation()
    simulation.record(revision)
    assert not simulation.plan(workspace(finalizers=())).adopted
    assert simulation.plan(workspace()).adopted


def test_a_revision_that_is_asked_for_again_is_recorded_as_the_newest() -> None:
    simulation = settled()
    simulation.record("0ldrev00")
    assert not simulation.plan(workspace()).adopted
    simulation.carry_out(simulation.plan(workspace()))
    assert simulation.plan(workspace()).adopted


def test_a_workspace_where_all_is_well_has_no_steps() -> None:
    decision = settled(2).plan(workspace(2))
    assert (decision.steps, decision.problem, decision.stale_revisions) == ([], None, [])
    assert decision.active_revision == decision.revision


def test_plans_of_the_same_world_are_the_same() -> None:
    simulation = Simulation(nodes={name: node(name) for name in ("b", "a", "c")})
    assert simulation.plan(workspace(2)) == simulation.plan(workspace(2))


# --- Problems -------------------------------------------------------------------------------------


def test_an_unknown_preset_is_a_problem_and_nothing_is_done() -> None:
    decision = plan(workspace(preset="lama"), World(), None, ONEBOX, load_catalogue())
    assert decision.problem is not None
    assert decision.problem.reason == "UnknownPreset"
    assert "lama" in decision.problem.message
    assert (decision.steps, decision.claims, decision.stale_revisions) == ([], [], [])


def test_a_bad_edit_leaves_what_runs_alone() -> None:
    world = settled().world()
    decision = plan(workspace(preset="lama"), world, None, ONEBOX, load_catalogue())
    assert decision.problem is not None
    assert decision.stale_revisions == []
    assert decision.active_revision


def test_a_missing_reference_names_the_object_and_the_remedy() -> None:
    world = World(missing=("ConfigMap default/my-config",))
    decision = plan(
        workspace(config="my-config"), world, catalogue_preset(), ONEBOX, load_catalogue()
    )
    assert decision.problem is not None
    assert decision.problem.reason == "MissingReference"
    assert decision.problem.message.startswith("ConfigMap default/my-config does not exist; create")


def test_without_a_provisioner_too_few_nodes_are_a_problem_of_capacity() -> None:
    simulation = Simulation(settings=BYO, nodes={"a": node("a"), "b": node("b", is_ready=False)})
    decision = simulation.plan(workspace(2))
    assert decision.problem is not None
    assert decision.problem.reason == "InsufficientCapacity"
    assert "1 usable; of the others: 1 not ready (b)" in decision.problem.message
    assert decision.steps == []


def test_existing_nodes_are_enough_without_a_provisioner() -> None:
    simulation = Simulation(settings=BYO, nodes={"a": node("a")})
    decision = simulation.settle(workspace())
    assert (decision.steps, decision.existing_nodes, decision.claims) == ([], ["a"], [])


@pytest.mark.parametrize("finalizers", [(), (names.FINALIZER_WORKSPACE,)])
def test_a_deleted_workspace_is_never_judged(finalizers: tuple[str, ...]) -> None:
    invalid = workspace(preset="lama", count=0, deleting=True, finalizers=finalizers)
    decision = plan(invalid, World(missing=("ConfigMap x",)), None, BYO, load_catalogue())
    assert (decision.deleting, decision.problem, decision.steps) == (True, None, [])
    assert decision.released is (finalizers == ())


# --- Steps ----------------------------------------------------------------------------------------


def test_a_node_that_is_lost_is_brought_back_before_anything_else() -> None:
    simulation = settled()
    simulation.nodes[claim_name(0)] = replace(simulation.nodes[claim_name(0)], is_ready=False)
    assert simulation.plan(workspace()).steps == [Step.NODES]
    del simulation.nodes[claim_name(0)]
    assert simulation.plan(workspace()).steps == [Step.NODES]
    assert simulation.settle(workspace()).steps == []
    assert simulation.bought == [claim_name(0)]


def test_a_node_that_lost_its_gpus_is_not_ready() -> None:
    simulation = settled()
    simulation.nodes[claim_name(0)] = replace(simulation.nodes[claim_name(0)], gpu_capacity=0)
    assert simulation.plan(workspace()).steps == [Step.NODES]


def test_a_claim_that_somebody_deletes_is_waited_for_and_made_again() -> None:
    simulation = settled()
    simulation.claims[claim_name(0)] = replace(
        simulation.claims[claim_name(0)], is_deleting=True, is_ready=True
    )
    decision = simulation.plan(workspace())
    assert decision.steps[0] is Step.NODES
    assert [spec.name for spec in decision.claims] == [claim_name(0)]
    assert simulation.settle(workspace()).steps == []


def test_a_workload_whose_pods_are_not_all_ready_is_asked_again() -> None:
    simulation = settled()
    revision = only(simulation).revision
    simulation.workloads[revision] = replace(only(simulation), ready_replicas=0)
    assert simulation.plan(workspace()).steps == [Step.WORKLOAD, Step.ENDPOINT]


@pytest.mark.parametrize(
    "drift",
    [
        {"replicas": 0, "ready_replicas": 0},
        {"replicas": 0, "pod_count": 0, "ready_replicas": 0},
        {"node_names": frozenset({"elsewhere"})},
        {"is_current": False},
        {"is_deleting": True},
    ],
)
def test_a_workload_that_somebody_changed_is_put_right(drift: dict[str, object]) -> None:
    simulation = settled()
    revision = only(simulation).revision
    simulation.workloads[revision] = replace(only(simulation), **drift)  # type: ignore[arg-type]
    assert Step.WORKLOAD in simulation.plan(workspace()).steps
    assert simulation.settle(workspace()).steps == []


def test_a_workload_that_is_gone_is_pulled_made_and_asked_but_traffic_stays() -> None:
    simulation = settled()
    simulation.workloads.clear()
    assert simulation.plan(workspace()).steps == [Step.IMAGES, Step.WORKLOAD, Step.ENDPOINT]


def test_a_service_that_is_gone_is_made_again_after_a_question() -> None:
    simulation = settled()
    simulation.active_revision = ""
    assert simulation.plan(workspace()).steps == [Step.ENDPOINT, Step.TRAFFIC]


def test_an_address_outside_the_cluster_comes_and_goes_with_traffic_alone() -> None:
    simulation = settled()
    public = workspace(annotations={names.ANNOTATION_ENABLE_LOAD_BALANCER: "True"})
    world = simulation.world()
    assert world.service is not None
    exposed = replace(world, service=replace(world.service, is_public=True))
    assert simulation.plan(public).steps == [Step.TRAFFIC]
    assert plan(public, exposed, catalogue_preset(), ONEBOX, load_catalogue()).steps == []
    back = plan(workspace(), exposed, catalogue_preset(), ONEBOX, load_catalogue())
    assert back.steps == [Step.TRAFFIC]


def test_a_service_of_an_earlier_object_of_this_name_does_not_count() -> None:
    simulation = settled()
    service = ServiceFacts("llm", "uid-0", simulation.active_revision)
    world = replace(simulation.world(), service=service)
    decision = plan(workspace(), world, catalogue_preset(), ONEBOX, load_catalogue())
    assert decision.steps == [Step.ENDPOINT, Step.TRAFFIC]
    assert decision.active_revision == ""


def test_a_new_revision_leaves_the_old_one_stale_and_takes_its_nodes() -> None:
    simulation = settled()
    old = only(simulation).revision
    config = replace(simulation.world(), config_text="vllm: {}")
    edited = workspace(config="my-config")
    decision = plan(edited, config, catalogue_preset(), ONEBOX, load_catalogue())
    assert decision.revision != old
    assert decision.stale_revisions == [old]
    assert decision.active_revision == old
    assert decision.steps == [Step.IMAGES, Step.WORKLOAD, Step.ENDPOINT, Step.TRAFFIC]
    assert [spec.name for spec in decision.claims] == [claim_name(0)]


def test_more_nodes_are_bought_beside_those_that_are_there() -> None:
    simulation = settled()
    decision = simulation.settle(workspace(3))
    assert decision.steps == []
    assert simulation.bought == [claim_name(0), claim_name(1), claim_name(2)]


# --- Every world ----------------------------------------------------------------------------------

_NODE_NAMES = ("a", "b", "c")


@st.composite
def _nodes(draw: st.DrawFn) -> dict[str, NodeFacts]:
    return {
        name: node(
            name,
            is_ready=draw(st.booleans()),
            is_schedulable=draw(st.booleans()),
            gpu_capacity=draw(st.integers(0, 2)),
            blocking_taint=draw(st.sampled_from(["", "", "x:NoSchedule"])),
        )
        for name in draw(st.sets(st.sampled_from(_NODE_NAMES)))
    }


@st.composite
def _claims(draw: st.DrawFn) -> dict[str, ClaimFacts]:
    claims = {}
    for index in draw(st.sets(st.integers(0, 3))):
        name = claim_name(index)
        claims[name] = ClaimFacts(
            name,
            instance_type=INSTANCE_TYPE,
            is_ready=draw(st.booleans()),
            is_deleting=draw(st.booleans()),
            node_name=draw(st.sampled_from(["", name])),
            failure_reason=draw(st.sampled_from(["", "QuotaExceeded"])),
        )
    return claims


@st.composite
def _simulations(draw: st.DrawFn) -> Simulation:
    claims = draw(_claims())
    current = Simulation().plan(workspace()).revision
    homes = st.frozensets(st.sampled_from([*_NODE_NAMES, *(claim_name(i) for i in range(4))]))
    workloads = {
        revision: WorkloadFacts(
            names.workload_name("llm", revision),
            revision,
            replicas=draw(st.integers(0, 3)),
            ready_replicas=draw(st.integers(0, 3)),
            is_current=draw(st.booleans()),
            is_deleting=draw(st.booleans()),
            node_names=draw(homes),
        )
        for revision in draw(st.sets(st.sampled_from([current, "0ldrev00"])))
    }
    return Simulation(
        settings=draw(st.sampled_from([BYO, ONEBOX])),
        nodes=draw(_nodes()),
        claims=claims,
        workloads=workloads,
        active_revision=draw(st.sampled_from(["", current, "0ldrev00"])),
        gpu_requests=draw(st.dictionaries(st.sampled_from(_NODE_NAMES), st.integers(0, 2))),
    )


def _is_allowed(decision: WorkspacePlan, count: int) -> bool:
    placed = len(decision.claims) + len(decision.existing_nodes)
    unique = {spec.name for spec in decision.claims}
    return placed <= count and len(unique) == len(decision.claims)


@settings(deadline=None)
@given(simulation=_simulations(), count=st.integers(1, 3))
def test_carrying_out_a_plan_leaves_nothing_to_do_and_it_stays_so(
    simulation: Simulation, count: int
) -> None:
    decision = simulation.settle(workspace(count))
    assert _is_allowed(decision, count)
    if decision.problem is not None:
        assert decision.problem.reason == "InsufficientCapacity"
        assert not simulation.settings.provisions_nodes
        return
    assert decision.steps == []
    assert simulation.plan(workspace(count)) == decision
    assert len(only(simulation).node_names) == count


@settings(deadline=None)
@given(simulation=_simulations(), count=st.integers(1, 3))
def test_never_more_claims_than_nodes_are_wanted(simulation: Simulation, count: int) -> None:
    known = set(simulation.claims)
    decision = simulation.plan(workspace(count))
    assert _is_allowed(decision, count)
    simulation.settle(workspace(count))
    assert len(set(simulation.bought) - known) <= count
    assert not set(decision.surplus_claims) & {spec.name for spec in decision.claims}


@settings(deadline=None)
@given(
    simulation=_simulations(),
    count=st.integers(1, 3),
    newcomers=st.sets(st.sampled_from(["0-first", "m", "z-last"]), min_size=1),
    is_cordoned=st.booleans(),
)
def test_a_settled_placement_never_moves_whatever_comes_up_beside_it(
    simulation: Simulation, count: int, newcomers: set[str], is_cordoned: bool
) -> None:
    preferred = tuple(sorted(newcomers))
    wanted = workspace(count, preferred=preferred)
    if simulation.settle(wanted).problem is not None:
        return
    moves = list(simulation.moves)
    bought = list(simulation.bought)
    for name in only(simulation).node_names if is_cordoned else ():
        simulation.nodes[name] = replace(simulation.nodes[name], is_schedulable=False)
    simulation.nodes |= {name: node(name, gpu_capacity=8) for name in newcomers}
    simulation.gpu_requests = {}
    assert simulation.settle(wanted).steps == []
    assert (simulation.moves, simulation.bought) == (moves, bought)
