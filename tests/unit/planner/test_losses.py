"""Losses: which claims are lost with their nodes, and how many are replaced within the hour."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.losses import (
    NODE_GONE_SECONDS,
    REPLACEMENTS_PER_HOUR,
    Losses,
    budget_left,
    gone_claims,
    losses,
    recent_claims,
)
from planner.node_health import NODE_LOST_SECONDS
from planner.node_matching import NodeNeed
from planner.world import ClaimFacts, NodeFacts, NodeFault, NodeSignal, SignalWeight, World

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)
TYPE = "onebox.small"
NOTICE = NodeSignal(NodeFault.PREEMPTED, SignalWeight.NOTICE, "a notice")
SICK = NodeSignal(NodeFault.XID, SignalWeight.FAULT, "condition XIDErrors", LONG_AGO)
SILENT = NodeSignal(NodeFault.UNREACHABLE, SignalWeight.FAULT, "condition Ready", LONG_AGO)


def need(count: int = 1, gpus: int = 1) -> NodeNeed:
    return NodeNeed(workspace_uid="uid-1", count=count, instance_type=TYPE, gpus=gpus)


def claim(name: str, **facts: object) -> ClaimFacts:
    whole = ClaimFacts(
        name,
        instance_type=TYPE,
        node_name=name,
        is_ready=True,
        is_initialized=True,
        created_at=LONG_AGO,
    )
    return replace(whole, **facts)  # type: ignore[arg-type]


def node(name: str, *signals: NodeSignal, **facts: object) -> NodeFacts:
    whole = NodeFacts(name, is_ready=True, gpu_capacity=1, signals=signals)
    return replace(whole, **facts)  # type: ignore[arg-type]


def silent(name: str) -> NodeFacts:
    return node(name, SILENT, is_ready=False)


def world(*nodes: NodeFacts, claims: tuple[ClaimFacts, ...] = (), **facts: object) -> World:
    found = claims or tuple(claim(one.name) for one in nodes)
    return replace(World(nodes=nodes, claims=found, now=NOW), **facts)  # type: ignore[arg-type]


# --- Which are lost -------------------------------------------------------------------------------


def test_claims_whose_nodes_are_well_are_not_lost() -> None:
    assert losses(world(node("a"), node("b")), need(2)) == Losses()


def test_a_claim_is_lost_with_its_node_and_the_cause_is_told() -> None:
    found = losses(world(node("a", SICK), node("b")), need(2))
    assert list(found.replaced) == ["a"]
    assert found.replaced["a"].sentence == "node a: xid, condition XIDErrors"


@pytest.mark.parametrize(
    ("sentence", "facts"),
    [
        ("it is being deleted already", {"is_deleting": True}),
        ("it has no node yet", {"node_name": ""}),
        (
            "it never came up, so its own workflow's deadlines count",
            {"is_ready": False, "is_initialized": False},
        ),
    ],
)
def test_a_claim_is_not_judged_by_time(sentence: str, facts: dict[str, object]) -> None:
    found = losses(world(node("a", SICK), claims=(claim("a", **facts),)), need())
    assert found == Losses(), sentence


def test_a_node_that_boots_is_no_reason_to_look_again_at_a_time() -> None:
    booting = replace(SILENT, since=NOW - timedelta(seconds=1))
    facts = {"is_ready": False, "is_initialized": False}
    unready = node("a", booting, is_ready=False)
    assert losses(world(unready, claims=(claim("a", **facts),)), need()).look_again_at is None
    due_at = booting.since and booting.since + timedelta(seconds=NODE_LOST_SECONDS)
    assert losses(world(unready), need()).look_again_at == due_at


def test_a_machine_that_is_taken_back_while_it_boots_is_lost_at_once() -> None:
    starting = claim("a", is_ready=False, is_initialized=False)
    assert list(losses(world(node("a", NOTICE), claims=(starting,)), need()).replaced) == ["a"]


@pytest.mark.parametrize(
    ("sentence", "need_of", "facts", "is_lost"),
    [
        ("its pods had as many GPUs", need(gpus=8), {}, True),
        (
            "it is of another type than is needed now",
            need(gpus=8),
            {"instance_type": "other"},
            False,
        ),
        (
            "slices are needed, whose number nobody knows",
            replace(need(gpus=8), device="nvidia.com/mig-1g.5gb"),
            {},
            False,
        ),
    ],
)
def test_gpus_that_a_node_shows_no_more(
    sentence: str, need_of: NodeNeed, facts: dict[str, object], *, is_lost: bool
) -> None:
    bare = node("a", gpu_capacity=0, gpus_since=LONG_AGO)
    found = losses(world(bare, claims=(claim("a", **facts),)), need_of)
    assert bool(found.replaced) is is_lost, sentence


def test_a_claim_whose_node_is_gone_is_lost_after_a_moment() -> None:
    claims = (claim("a"),)
    others = (node("elsewhere"),)
    assert losses(world(*others, claims=claims), need()) == Losses()
    since = NOW - timedelta(seconds=NODE_GONE_SECONDS)
    gone = world(*others, claims=claims, absent_nodes={"a": since})
    assert losses(gone, need()).replaced["a"].fault is NodeFault.REMOVED
    just_now = replace(gone, absent_nodes={"a": NOW})
    found = losses(just_now, need())
    assert (found.replaced, found.look_again_at) == (
        {},
        NOW + timedelta(seconds=NODE_GONE_SECONDS),
    )


def test_where_no_node_is_known_at_all_none_is_gone() -> None:
    assert losses(world(claims=(claim("a"),), absent_nodes={"a": LONG_AGO}), need()) == Losses()


def test_where_most_nodes_are_silent_none_is_lost_for_its_silence() -> None:
    outage = world(silent("a"), silent("b"), silent("c"), node("d"))
    assert losses(outage, need(4)).replaced == {}
    alone = world(silent("a"), node("b"), node("c"), node("d"))
    assert list(losses(alone, need(4)).replaced) == ["a"]
    pair = world(silent("a"), silent("b"), node("c"))
    assert sorted(losses(pair, need(3)).replaced) == ["a", "b"], "two are no outage"


def test_in_an_outage_what_is_taken_back_is_lost_nevertheless() -> None:
    outage = world(silent("a"), silent("b"), silent("c"), node("d", NOTICE))
    assert list(losses(outage, need(4)).replaced) == ["d"]


# --- The budget -----------------------------------------------------------------------------------


def young(count: int, *, minutes: int = 5) -> tuple[datetime, ...]:
    return tuple([NOW - timedelta(minutes=minutes)] * count)


def test_when_the_budget_is_spent_a_lost_claim_is_kept_and_it_is_told_why() -> None:
    spent = world(node("a", NOTICE), gone_claims=young(1 + REPLACEMENTS_PER_HOUR))
    found = losses(spent, need())
    assert (found.replaced, list(found.held)) == ({}, ["a"])
    assert found.problem == (
        "node a is taken away: a notice; kept for now: no more than 3 nodes of a Workspace are "
        "replaced within an hour"
    )


def test_what_an_hour_ago_was_bought_counts_no_more() -> None:
    older = world(node("a", NOTICE), gone_claims=young(9, minutes=60))
    assert list(losses(older, need()).replaced) == ["a"]


def test_what_has_its_replacement_costs_nothing_more() -> None:
    both = world(node("a", NOTICE), node("b"), gone_claims=young(9))
    assert list(losses(both, need()).replaced) == ["a"], "or it would be taken up again"


def test_of_a_claim_and_its_lost_replacement_the_newer_is_kept() -> None:
    claims = (claim("b", created_at=LONG_AGO), claim("a", created_at=NOW))
    both = world(node("a", NOTICE), node("b", NOTICE), claims=claims, gone_claims=young(9))
    found = losses(both, need())
    assert (list(found.replaced), list(found.held)) == (["b"], ["a"])


def test_those_that_still_serve_are_kept_before_those_that_do_not() -> None:
    mixed = world(
        node("a", SICK), node("b", NOTICE), gone_claims=young(2 + REPLACEMENTS_PER_HOUR - 1)
    )
    found = losses(mixed, need(2))
    assert (list(found.replaced), list(found.held)) == (["b"], ["a"])


def test_a_large_set_may_lose_one_in_its_first_hour() -> None:
    claims = tuple(claim(str(index), created_at=NOW) for index in range(8))
    assert budget_left(claims, 8, NOW) == REPLACEMENTS_PER_HOUR
    more = tuple(claim(str(index), created_at=NOW) for index in range(8 + REPLACEMENTS_PER_HOUR))
    assert budget_left(more, 8, NOW) == 0


def test_claims_that_never_came_up_do_not_count() -> None:
    failed = tuple(claim(str(i), is_ready=False, is_initialized=False) for i in range(9))
    assert budget_left(tuple(replace(one, created_at=NOW) for one in failed), 1, NOW) > 0


def test_without_a_time_nothing_is_forbidden() -> None:
    assert budget_left((), 1, None, young(99)) > 0


# --- Total ----------------------------------------------------------------------------------------

_SIGNAL = st.sampled_from([NOTICE, SICK, SILENT, replace(SICK, since=None)])
_NODE = st.builds(
    lambda name, signals, ready: node(name, *signals, is_ready=ready),
    st.sampled_from("abcd"),
    st.lists(_SIGNAL, max_size=2),
    st.booleans(),
)
_CLAIM = st.builds(
    lambda name, up, deleting, made: claim(
        name, is_ready=up, is_initialized=up, is_deleting=deleting, created_at=made
    ),
    st.sampled_from("abcde"),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, LONG_AGO, NOW, NOW.replace(tzinfo=None)]),
)


@given(
    nodes=st.lists(_NODE, max_size=4, unique_by=lambda one: one.name),
    claims=st.lists(_CLAIM, max_size=5, unique_by=lambda one: one.name),
    count=st.integers(0, 4),
    gone=st.lists(st.sampled_from([LONG_AGO, NOW]), max_size=6),
    now=st.sampled_from([None, NOW]),
)
def test_no_more_is_replaced_than_the_budget_allows(
    nodes: list[NodeFacts],
    claims: list[ClaimFacts],
    count: int,
    gone: list[datetime],
    now: datetime | None,
) -> None:
    seen = World(
        nodes=tuple(nodes),
        claims=tuple(claims),
        now=now,
        gone_claims=tuple(gone),
        absent_nodes={"e": LONG_AGO},
    )
    found = losses(seen, need(count))
    assert not set(found.replaced) & set(found.held)
    assert bool(found.problem) is bool(found.held)
    living = {one.name for one in claims if not one.is_deleting}
    assert set(found.replaced) | set(found.held) <= living
    to_be_bought = max(0, count - len(living - set(found.replaced)))
    needed_anyway = max(0, count - len(living))
    assert to_be_bought - needed_anyway <= budget_left(claims, count, now, gone)


# --- What the workflow remembers ------------------------------------------------------------------


def test_claims_that_came_up_and_are_gone_count_for_an_hour() -> None:
    bought = claim("a", uid="claim-a", created_at=NOW)
    known = recent_claims((bought,), {}, NOW + timedelta(minutes=1))
    assert known == {"claim-a": NOW}
    assert gone_claims((bought,), known) == ()
    for minutes, counts in ((2, True), (59, True), (60, False)):
        known = recent_claims((), known, NOW + timedelta(minutes=minutes))
        assert gone_claims((), known) == ((NOW,) if counts else ()), minutes


def test_claims_that_never_came_up_do_not_count_when_they_are_gone() -> None:
    failed = claim("a", created_at=NOW, is_ready=False, is_initialized=False)
    assert recent_claims((failed,), {}, NOW) == {}


def test_claims_from_long_ago_take_no_room() -> None:
    assert recent_claims((claim("a"),), {"b": LONG_AGO}, NOW) == {}


def test_a_time_without_a_zone_can_be_compared() -> None:
    naive = claim("a", created_at=NOW.replace(tzinfo=None))
    assert recent_claims((naive,), {"b": NOW.replace(tzinfo=None)}, NOW) == {"a": NOW, "b": NOW}
