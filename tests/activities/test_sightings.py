"""What one process remembers of nodes: faults count from when they were seen, and never earlier."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from activities.workspace.sightings import Sightings
from planner.losses import REPLACEMENTS_PER_HOUR, gone_claims, losses, recent_claims
from planner.node_health import NODE_LOST_SECONDS
from planner.node_matching import NodeNeed
from planner.world import (
    ClaimFacts,
    NodeFacts,
    NodeFault,
    NodeSignal,
    SignalWeight,
    WorkloadFacts,
    World,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
YESTERDAY = NOON - timedelta(days=1)
CLAIM = ClaimFacts(
    "a", uid="claim-a", node_name="a", is_ready=True, is_initialized=True, created_at=YESTERDAY
)
NODE = NodeFacts("a", uid="node-a", is_ready=True, gpu_capacity=8)
LABEL = NodeSignal(NodeFault.OTHER, SignalWeight.FAULT, "label x=unhealthy")
SILENT = NodeSignal(NodeFault.UNREACHABLE, SignalWeight.FAULT, "condition Ready", YESTERDAY)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def world(minutes: float, *nodes: NodeFacts, claims: tuple[ClaimFacts, ...] = (CLAIM,)) -> World:
    return World(nodes=nodes, claims=claims, workspace_uid="uid-1", now=at(minutes))


def sick(*signals: NodeSignal) -> NodeFacts:
    return replace(NODE, signals=signals)


def test_what_carries_no_time_has_one_from_the_first_look_on() -> None:
    memory = Sightings()
    for minutes in (0, 1, 9):
        (seen,) = memory.remember(world(minutes, sick(LABEL))).nodes
        assert seen.signals[0].since == NOON


def test_what_was_gone_between_two_looks_begins_anew() -> None:
    memory = Sightings()
    memory.remember(world(0, sick(LABEL)))
    memory.remember(world(1, NODE))
    (seen,) = memory.remember(world(2, sick(LABEL))).nodes
    assert seen.signals[0].since == at(2)


def test_a_fault_counts_from_what_the_object_says_when_that_is_later() -> None:
    memory = Sightings()
    memory.remember(world(0, sick(LABEL)))
    (seen,) = memory.remember(world(5, sick(replace(LABEL, since=at(4))))).nodes
    assert seen.signals[0].since == at(4)


def test_nodes_of_a_cluster_that_was_stopped_have_their_whole_time_to_come_back() -> None:
    memory = Sightings()
    need = NodeNeed(workspace_uid="uid-1", count=1, instance_type="")
    down = replace(sick(SILENT), is_ready=False)
    up = NodeFacts("other", is_ready=True)
    limit = NODE_LOST_SECONDS / 60
    for minutes in (0, limit - 0.1):
        assert losses(memory.remember(world(minutes, down, up)), need).replaced == {}
    assert "a" in losses(memory.remember(world(limit, down, up)), need).replaced


def test_the_number_of_gpus_has_a_time_and_a_new_one_with_each_change() -> None:
    memory = Sightings()
    seen = [
        memory.remember(world(minutes, replace(NODE, gpu_capacity=gpus))).nodes[0].gpus_since
        for minutes, gpus in ((0, 8), (1, 7), (2, 7), (3, 8))
    ]
    assert seen == [at(0), at(1), at(1), at(3)]


def test_a_node_that_was_made_anew_under_its_name_is_another_node() -> None:
    memory = Sightings()
    memory.remember(world(0, sick(LABEL)))
    (seen,) = memory.remember(world(5, replace(sick(LABEL), uid="node-b"))).nodes
    assert seen.signals[0].since == at(5)


def test_a_node_that_is_gone_is_missed_from_the_first_look_on_until_it_is_back() -> None:
    memory = Sightings()
    assert memory.remember(world(0, NODE)).absent_nodes == {}
    assert memory.remember(world(1)).absent_nodes == {"a": at(1)}
    assert memory.remember(world(2)).absent_nodes == {"a": at(1)}
    assert memory.remember(world(3, NODE)).absent_nodes == {}
    assert memory.remember(world(4)).absent_nodes == {"a": at(4)}


def test_nodes_of_others_are_left_as_they_are() -> None:
    other = replace(sick(LABEL), name="other", uid="node-other")
    seen = Sightings().remember(world(0, NODE, other))
    assert seen.nodes[1] is other


def test_existing_nodes_that_a_workload_is_on_are_remembered_as_well() -> None:
    at_home = replace(
        world(0, sick(LABEL), claims=()), workloads=(WorkloadFacts("w", node_names=frozenset("a")),)
    )
    assert Sightings().remember(at_home).nodes[0].signals[0].since == NOON


def test_without_a_time_nothing_is_remembered() -> None:
    timeless = replace(world(0, sick(LABEL)), now=None)
    assert Sightings().remember(timeless) is timeless


def test_a_cloud_that_takes_every_machine_back_is_not_chased() -> None:
    """A node lives for one minute, its claim until the next is up; and each plan is made by another
    worker."""
    recent: dict[str, datetime] = {}
    need = NodeNeed(workspace_uid="uid-1", count=1, instance_type="")
    notice = NodeSignal(NodeFault.PREEMPTED, SignalWeight.NOTICE, "a notice")
    bought: list[datetime] = []
    current = CLAIM
    for minute in range(180):
        doomed = NodeFacts(current.node_name, is_ready=True, signals=(notice,))
        recent = recent_claims((current,), recent, at(minute))
        gone = gone_claims((current,), recent)
        now = replace(world(minute, doomed, claims=(current,)), gone_claims=gone)
        seen = Sightings().remember(now)
        if current.name in losses(seen, need).replaced:
            name = f"claim-{minute}"
            bought.append(at(minute))
            current = replace(CLAIM, name=name, uid=name, node_name=name, created_at=at(minute))
    hours = [[one for one in bought if at(m) <= one < at(m + 60)] for m in range(120)]
    most = max(map(len, hours))
    assert most <= 1 + REPLACEMENTS_PER_HOUR
    assert len(bought) >= 3 * REPLACEMENTS_PER_HOUR, "and it is tried again later"


def test_what_nobody_looked_at_for_the_longest_time_is_forgotten_first() -> None:
    memory = Sightings(max_subjects=2)
    for name in ("old", "young", "old", "new"):
        node = replace(sick(LABEL), name=name, uid=name)
        memory.remember(world(0, node, claims=(replace(CLAIM, node_name=name),)))
    since = {}
    for name in ("old", "young"):
        node = replace(sick(LABEL), name=name, uid=name)
        seen = memory.remember(world(9, node, claims=(replace(CLAIM, node_name=name),)))
        since[name] = seen.nodes[0].signals[0].since
    assert since == {"old": NOON, "young": at(9)}
