"""Placement: where a revision runs, and that it stays there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api import names
from planner.node_matching import LabelRequirement, NodeNeed, explain_shortage
from planner.placement import Placement, place
from planner.world import (
    ClaimFacts,
    NodeFacts,
    NodeFault,
    NodeSignal,
    SignalWeight,
    WorkloadFacts,
    World,
)

UID = "uid-1"
TYPE = "onebox.small"
NEED = NodeNeed(workspace_uid=UID, count=1, instance_type=TYPE)


SICK = NodeSignal(NodeFault.XID, SignalWeight.FAULT, "condition XIDErrors")
TAKEN_BACK = NodeSignal(NodeFault.PREEMPTED, SignalWeight.NOTICE, "a notice of preemption")
WARM = NodeSignal(NodeFault.THERMAL, SignalWeight.WARNING, "condition Warm")


def claim_name(index: int, instance_type: str = TYPE) -> str:
    return names.node_claim_name(UID, instance_type, index)


def node(name: str, **facts: object) -> NodeFacts:
    whole = NodeFacts(name, labels={names.LABEL_INSTANCE_TYPE: TYPE}, is_ready=True, gpu_capacity=1)
    return replace(whole, **facts)  # type: ignore[arg-type]


def claim(index: int, **facts: object) -> ClaimFacts:
    whole = ClaimFacts(claim_name(index), instance_type=TYPE)
    return replace(whole, **facts)  # type: ignore[arg-type]


def claimed_node(index: int, uid: str = UID) -> NodeFacts:
    labels = {names.LABEL_INSTANCE_TYPE: TYPE, names.LABEL_WORKSPACE_UID: uid}
    return node(claim_name(index), labels=labels)


def workload(*node_names: str, revision: str = "new", ready: int = 1) -> WorkloadFacts:
    return WorkloadFacts(
        f"llm-{revision}",
        revision,
        replicas=len(node_names),
        ready_replicas=ready,
        is_current=True,
        node_names=frozenset(node_names),
    )


def placed(world: World, need: NodeNeed = NEED, *, provisions: bool = True) -> Placement:
    return place(need, world, "new", provisions_nodes=provisions)


def chosen(placement: Placement) -> tuple[list[int], list[str]]:
    return [spec.index for spec in placement.claims], list(placement.existing_nodes)


# --- Which nodes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "facts"),
    [
        ("it is not ready", {"is_ready": False}),
        ("it is cordoned", {"is_schedulable": False}),
        ("it is tainted for others", {"blocking_taint": "team=ml:NoSchedule"}),
        ("it was declared lost", {"is_out_of_service": True}),
        ("it is being deleted", {"is_deleting": True}),
        ("a fault was reported, nobody knows since when", {"signals": (SICK,)}),
        ("the cloud takes it back", {"signals": (TAKEN_BACK,)}),
        ("some of its GPUs are broken", {"gpu_total": 2}),
        ("its GPUs are not there", {"gpu_capacity": 0}),
        ("it is of another type", {"labels": {names.LABEL_INSTANCE_TYPE: "onebox.large"}}),
        ("it has no type", {"labels": {}}),
        (
            "another Workspace's claim made it",
            {"labels": {names.LABEL_INSTANCE_TYPE: TYPE, names.LABEL_WORKSPACE_UID: "uid-2"}},
        ),
        (
            "a claim of ours made it that is gone",
            {"labels": {names.LABEL_INSTANCE_TYPE: TYPE, names.LABEL_WORKSPACE_UID: UID}},
        ),
    ],
)
def test_an_existing_node_is_passed_over(sentence: str, facts: dict[str, object]) -> None:
    world = World(nodes=(node("a", **facts),))
    assert chosen(placed(world)) == ([0], []), sentence


def test_a_node_with_a_warning_is_good_enough_to_begin_on() -> None:
    assert chosen(placed(World(nodes=(node("a", signals=(WARM,)),)))) == ([], ["a"])


def test_what_runs_on_a_sick_node_stays_there() -> None:
    world = World(nodes=(node("a", signals=(SICK,)),), workloads=(workload("a", ready=0),))
    assert chosen(placed(world)) == ([], ["a"])


def test_an_existing_node_that_matches_is_used_before_one_is_bought() -> None:
    assert chosen(placed(World(nodes=(node("a"),)))) == ([], ["a"])


def test_the_instance_type_matches_in_any_case() -> None:
    need = replace(NEED, instance_type="OneBox.Small")
    assert chosen(placed(World(nodes=(node("a"),)), need)) == ([], ["a"])


def test_a_node_whose_gpus_others_use_is_passed_over() -> None:
    world = World(nodes=(node("a", gpu_capacity=2), node("b")), gpu_requests={"a": 1})
    assert chosen(placed(world, replace(NEED, gpus=2))) == ([0], [])
    assert chosen(placed(world)) == ([], ["a"])


def test_a_preferred_node_is_used_first_and_needs_no_type() -> None:
    need = replace(NEED, preferred_nodes=frozenset({"z"}))
    world = World(nodes=(node("a"), node("z", labels={})))
    assert chosen(placed(world, need)) == ([], ["z"])


def test_a_preferred_node_must_still_match_the_selector() -> None:
    need = replace(
        NEED,
        preferred_nodes=frozenset({"z"}),
        requirements=(LabelRequirement("team", "In", ("ml",)),),
    )
    world = World(nodes=(node("z", labels={"team": "web"}),))
    assert chosen(placed(world, need)) == ([0], [])


@pytest.mark.parametrize(
    ("requirement", "holds"),
    [
        (LabelRequirement("team", "In", ("ml", "web")), True),
        (LabelRequirement("team", "In", ("ops",)), False),
        (LabelRequirement("team", "In"), False),
        (LabelRequirement("team", "NotIn", ("ops",)), True),
        (LabelRequirement("absent", "NotIn", ("ops",)), True),
        (LabelRequirement("team", "NotIn", ("ml",)), False),
        (LabelRequirement("team", "Exists"), True),
        (LabelRequirement("absent", "Exists"), False),
        (LabelRequirement("absent", "DoesNotExist"), True),
        (LabelRequirement("team", "Gt", ("1",)), False),
    ],
)
def test_label_requirements_hold_as_kubernetes_says(
    requirement: LabelRequirement, holds: bool
) -> None:
    assert requirement.holds_for({"team": "ml"}) is holds


def test_free_nodes_are_taken_by_name_whatever_order_they_come_in() -> None:
    nodes = tuple(node(name) for name in ("c", "a", "b"))
    need = replace(NEED, count=2)
    assert chosen(placed(World(nodes=nodes), need)) == ([], ["a", "b"])
    assert chosen(placed(World(nodes=nodes[::-1]), need)) == ([], ["a", "b"])


# --- Claims ---------------------------------------------------------------------------------------


def test_what_existing_nodes_do_not_cover_is_bought() -> None:
    need = replace(NEED, count=3)
    assert chosen(placed(World(nodes=(node("a"),)), need)) == ([0, 1], ["a"])


def test_names_of_claims_derive_from_uid_type_and_index() -> None:
    (spec,) = placed(World()).claims
    assert (spec.name, spec.instance_type) == (claim_name(0), TYPE)


def test_a_claim_that_was_made_is_kept_although_a_free_node_came_up() -> None:
    world = World(nodes=(node("a"),), claims=(claim(0),))
    assert chosen(placed(world)) == ([0], [])


def test_a_claim_that_failed_is_kept_so_that_its_cause_is_shown() -> None:
    world = World(nodes=(node("a"),), claims=(claim(0, failure_reason="QuotaExceeded"),))
    assert chosen(placed(world)) == ([0], [])


def test_a_claim_that_is_being_deleted_is_waited_for_under_the_same_name() -> None:
    placement = placed(World(claims=(claim(0, is_deleting=True),)))
    assert chosen(placement) == ([0], [])


def test_a_claim_keeps_its_index_when_a_lower_one_is_gone() -> None:
    need = replace(NEED, count=2)
    assert chosen(placed(World(claims=(claim(1),)), need)) == ([0, 1], [])
    assert chosen(placed(World(claims=(claim(1),)))) == ([1], [])


def test_claims_that_are_not_needed_are_named_as_surplus() -> None:
    other_type = ClaimFacts(claim_name(0, "onebox.large"), instance_type="onebox.large")
    world = World(claims=(claim(0), claim(1), other_type, claim(2, is_deleting=True)))
    placement = placed(world)
    assert chosen(placement) == ([0], [])
    assert placement.surplus_claims == tuple(sorted([claim_name(1), other_type.name]))


def test_a_node_of_a_claim_is_not_counted_twice() -> None:
    world = World(
        nodes=(claimed_node(0), node("unlabelled")),
        claims=(claim(0, node_name=claim_name(0)), claim(1, node_name="unlabelled")),
    )
    assert chosen(placed(world, replace(NEED, count=3))) == ([0, 1, 2], [])


# --- Stability ------------------------------------------------------------------------------------


def test_a_settled_workload_stays_although_a_preferred_node_came_up() -> None:
    need = replace(NEED, preferred_nodes=frozenset({"a"}))
    world = World(nodes=(node("a"), node("b")), workloads=(workload("b"),))
    assert chosen(placed(world, need)) == ([], ["b"])


@pytest.mark.parametrize(
    ("sentence", "facts"),
    [
        ("cordoned", {"is_schedulable": False}),
        ("relabelled", {"labels": {}}),
        ("tainted for others", {"blocking_taint": "team=ml:NoSchedule"}),
        ("not ready for a moment", {"is_ready": False}),
        ("without its GPUs for a moment", {"gpu_capacity": 0}),
    ],
)
def test_a_settled_workload_stays_on_a_node_that_is(
    sentence: str, facts: dict[str, object]
) -> None:
    world = World(nodes=(node("a", **facts), node("b")), workloads=(workload("a"),))
    assert chosen(placed(world)) == ([], ["a"]), sentence


@pytest.mark.parametrize(
    ("sentence", "facts", "expected"),
    [
        ("a node that restarts comes back", {"is_ready": False}, ["a"]),
        ("a device plugin that restarts comes back", {"gpu_capacity": 0}, ["a"]),
        (
            "pressure on a node passes",
            {"blocking_taint": "node.kubernetes.io/disk-pressure:NoSchedule"},
            ["a"],
        ),
        ("a drained node is left", {"is_schedulable": False}, ["b"]),
        ("a node that an operator tainted is left", {"blocking_taint": "x:NoExecute"}, ["b"]),
        ("a node that was declared lost is left", {"is_out_of_service": True}, ["b"]),
        ("a node that no longer matches is left", {"labels": {}}, ["b"]),
    ],
)
def test_a_workload_that_is_not_well_leaves_its_node_only_for_good_reason(
    sentence: str, facts: dict[str, object], expected: list[str]
) -> None:
    world = World(nodes=(node("a", **facts), node("b")), workloads=(workload("a", ready=0),))
    assert chosen(placed(world)) == ([], expected), sentence


def test_a_workload_whose_gpus_somebody_took_goes_elsewhere() -> None:
    world = World(
        nodes=(node("a"), node("b")), workloads=(workload("a", ready=0),), gpu_requests={"a": 1}
    )
    assert chosen(placed(world)) == ([], ["b"])


def test_a_workload_whose_node_is_gone_gets_another() -> None:
    world = World(nodes=(node("b"),), workloads=(workload("a"),))
    assert chosen(placed(world)) == ([], ["b"])
    assert chosen(placed(World(workloads=(workload("a"),)))) == ([0], [])


def test_a_new_revision_begins_on_the_nodes_of_the_old_one() -> None:
    world = World(nodes=(node("a"), node("b")), workloads=(workload("b", revision="old"),))
    assert chosen(placed(world)) == ([], ["b"])


def test_a_new_revision_does_not_begin_on_a_node_that_is_not_ready() -> None:
    world = World(
        nodes=(node("a", is_ready=False), node("b")),
        workloads=(workload("a", revision="old"),),
    )
    assert chosen(placed(world)) == ([], ["b"])


def test_with_fewer_nodes_wanted_those_in_use_are_kept() -> None:
    world = World(
        nodes=(claimed_node(1), node("a")),
        claims=(claim(0), claim(1, node_name=claim_name(1), is_ready=True)),
        workloads=(workload(claim_name(1)),),
    )
    placement = placed(world)
    assert chosen(placement) == ([1], [])
    assert placement.surplus_claims == (claim_name(0),)


# --- Shortage -------------------------------------------------------------------------------------


def test_without_a_provisioner_nothing_is_bought_and_the_gap_is_counted() -> None:
    placement = placed(World(nodes=(node("a"),)), replace(NEED, count=3), provisions=False)
    assert chosen(placement) == ([], ["a"])
    assert placement.missing_count == 2


def test_a_shortage_says_how_many_match_and_why_the_others_do_not() -> None:
    nodes = [
        node("a"),
        node("b", is_ready=False),
        node("full"),
        node("hot", signals=(SICK,)),
        *[node(f"large-{index}", labels={}) for index in range(5)],
    ]
    need = replace(NEED, count=2)
    message = explain_shortage(nodes, need, {"full": 1}, ["a"])
    assert message == explain_shortage(nodes[::-1], need, {"full": 1}, ["a"])
    assert message.startswith(
        "2 nodes of onebox.small with at least 1 GPU needed, 1 usable; of the others: 1 not ready "
        "(b), 5 of another instance type (large-0, large-1, large-2 and 2 more), 1 sick: xid, "
        "condition XIDErrors (hot), 1 with fewer than 1 free GPU (full). "
    )
    assert "resource.preferredNodes" in message


def test_without_an_instance_type_any_node_will_do_that_is_not_unfit() -> None:
    nodes = (node("a", labels={}), node("b", labels={names.LABEL_INSTANCE_TYPE: "other"}))
    need = replace(NEED, count=2, instance_type="")
    assert chosen(placed(World(nodes), need, provisions=False)) == ([], ["a", "b"])
    smaller = replace(need, unfit_nodes=frozenset({"a"}))
    assert chosen(placed(World(nodes), smaller, provisions=False)) == ([], ["b"])
    message = explain_shortage(nodes, smaller, {}, ["b"])
    assert message.startswith("2 nodes of any type with at least 1 GPU needed, 1 usable; ")
    assert "1 with smaller GPUs (a)" in message


def test_slices_of_gpus_are_no_gpus() -> None:
    sliced = node("a", gpu_capacity=0, mig_capacity={"nvidia.com/mig-1g.10gb": 2})
    need = replace(NEED, device="nvidia.com/mig-1g.10gb")
    assert chosen(placed(World((sliced,)), need, provisions=False)) == ([], ["a"])
    assert chosen(placed(World((sliced,)), provisions=False)) == ([], [])
    full = World((sliced,), gpu_requests={"a": 2})
    assert chosen(placed(full, need, provisions=False)) == ([], [])
    assert "1 with fewer than 1 free nvidia.com/mig-1g.10gb (a)" in (
        explain_shortage((sliced,), need, {"a": 2}, [])
    )


def test_a_cluster_without_other_nodes_says_so() -> None:
    assert "; there are no other nodes. " in explain_shortage([], NEED, {}, [])
