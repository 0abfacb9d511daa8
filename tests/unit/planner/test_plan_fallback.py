"""Which offer a plan asks for, after some were asked for in vain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import names
from api.errors import MAX_MESSAGE_CHARACTERS
from api.payloads import FailedOffer, Offer, Step, WorkspacePlan
from api.preset import Catalogue
from api.workspace import Workspace
from planner.plan import plan
from planner.world import ClaimFacts, NodeFacts, PlatformSettings, WorkloadFacts, World
from tests import gen
from tests.unit.planner.models import model

CLOUD = PlatformSettings(provisioner="karpenter")
MODEL = model(30)
CATALOGUE = gen.catalogue(
    MODEL,
    instance_types=(
        gen.instance_type("large", vendor="nvidia", memory="80Gi"),
        gen.instance_type("small", vendor="nvidia", memory="24Gi"),
        gen.instance_type("tiny", vendor="nvidia", memory="2Gi"),
    ),
)

LARGE, SMALL = Offer(instance_type="large"), Offer(instance_type="small")
LARGE_SPOT = Offer(instance_type="large", capacity_type="spot")


def failed(
    offer: Offer, reason: str = "InsufficientCapacity", message: str = "none free."
) -> FailedOffer:
    return FailedOffer(offer=offer, reason=reason, message=message, seconds=3.2)


def workspace(*fallbacks: str, paid: str = "", count: int = 1, wanted: str = "large") -> Workspace:
    resource: dict[str, Any] = {"fallbackInstanceTypes": list(fallbacks), "count": count}
    if paid:
        resource["capacityType"] = paid
    return gen.workspace(instance_type=wanted, resource=resource)


def planned(
    of: Workspace, *tried: FailedOffer, world: World | None = None, catalogue: Catalogue = CATALOGUE
) -> WorkspacePlan:
    return plan(of, world or World(), MODEL, CLOUD, catalogue, failed_offers=tried)


def claim_of(offer: Offer, index: int = 0) -> ClaimFacts:
    name = names.node_claim_name(
        gen.UID, offer.instance_type, index, offer.capacity_type, offer.zone
    )
    return ClaimFacts(name, instance_type=offer.instance_type, is_ready=True, node_name=name)


def node_of(claim: ClaimFacts) -> NodeFacts:
    labels = {
        "apps": "chat",
        names.LABEL_INSTANCE_TYPE: claim.instance_type,
        names.LABEL_WORKSPACE_UID: gen.UID,
    }
    return NodeFacts(claim.name, labels=labels, is_ready=True, gpu_capacity=1)


def world_of(*claims: ClaimFacts, home: str = "") -> World:
    """Return a world in which a revision, if one is named, runs on the first claim."""
    workloads: tuple[WorkloadFacts, ...] = ()
    if home:
        on = frozenset({claims[0].node_name})
        workloads = (WorkloadFacts("chat", home, 1, 1, is_current=True, node_names=on),)
    return World(claims=claims, nodes=tuple(map(node_of, claims)), workloads=workloads)


# --- The order ------------------------------------------------------------------------------------


def test_the_first_offer_is_the_wanted_type() -> None:
    decision = planned(workspace("small"))
    assert decision.offer == LARGE
    assert decision.may_fall_back
    (claim,) = decision.claims
    assert claim.name == names.node_claim_name(gen.UID, "large", 0)
    assert (claim.capacity_type, claim.zone) == ("on-demand", "")


def test_after_a_failure_the_next_type_is_asked_for_with_the_nodes_that_it_takes() -> None:
    decision = planned(workspace("small"), failed(LARGE))
    assert decision.problem is None
    assert (decision.offer, decision.instance_type) == (SMALL, "small")
    assert decision.node_count == len(decision.claims) == 2
    assert {claim.instance_type for claim in decision.claims} == {"small"}
    assert decision.steps[0] is Step.NODES


def test_spot_comes_before_on_demand_of_each_type() -> None:
    of = workspace("small", paid="spot-with-fallback")
    tried: list[FailedOffer] = []
    order: list[tuple[str, str]] = []
    for _ in range(4):
        decision = planned(of, *tried)
        assert decision.offer is not None
        order.append((decision.offer.instance_type, decision.offer.capacity_type))
        tried.append(failed(decision.offer))
    assert order == [
        ("large", "spot"),
        ("large", "on-demand"),
        ("small", "spot"),
        ("small", "on-demand"),
    ]
    assert planned(of, *tried).problem is not None


def test_each_offer_has_claims_of_its_own() -> None:
    of = workspace(paid="spot-with-fallback")
    (spot,) = planned(of).claims
    (on_demand,) = planned(of, failed(LARGE_SPOT)).claims
    assert (spot.capacity_type, on_demand.capacity_type) == ("spot", "on-demand")
    assert spot.name != on_demand.name


def test_zones_that_the_catalogue_knows_are_tried_one_by_one() -> None:
    zoned = gen.instance_type("large", vendor="nvidia", memory="80Gi")
    catalogue = gen.catalogue(
        MODEL, instance_types=(zoned.model_copy(update={"zones": ("a", "b")}),)
    )
    first = planned(workspace(), catalogue=catalogue)
    assert first.offer is not None
    assert (first.offer.zone, first.claims[0].zone) == ("a", "a")
    second = planned(workspace(), failed(first.offer), catalogue=catalogue)
    assert second.offer is not None
    assert second.offer.zone == "b"
    assert second.candidates[0].problem == ""
    none = planned(workspace(), failed(first.offer), failed(second.offer), catalogue=catalogue)
    assert none.candidates[0].problem == (
        "zone a: InsufficientCapacity: none free, after 3 s; "
        "zone b: InsufficientCapacity: none free, after 3 s"
    )


def test_a_quota_that_is_used_up_is_so_in_every_zone() -> None:
    zoned = gen.instance_type("large", vendor="nvidia", memory="80Gi")
    catalogue = gen.catalogue(
        MODEL,
        instance_types=(
            zoned.model_copy(update={"zones": ("a", "b")}),
            gen.instance_type("small", vendor="nvidia", memory="24Gi"),
        ),
    )
    first = LARGE.model_copy(update={"zone": "a"})
    decision = planned(workspace("small"), failed(first, "QuotaExceeded"), catalogue=catalogue)
    assert decision.offer == SMALL


def test_a_type_that_does_not_fit_is_no_offer() -> None:
    decision = planned(workspace("tiny", "small"), failed(LARGE))
    assert decision.offer == SMALL


def test_a_wanted_type_that_does_not_fit_is_refused_whatever_comes_after_it() -> None:
    decision = planned(workspace("large", wanted="tiny"))
    assert decision.problem is not None
    assert decision.problem.reason == "InstanceTypeTooSmall"


# --- What is told ---------------------------------------------------------------------------------


def test_a_candidate_that_failed_says_why_in_the_providers_words() -> None:
    decision = planned(workspace("small"), failed(LARGE, "QuotaExceeded", "0 of 24 left."))
    large, small = decision.candidates
    assert large.problem == "QuotaExceeded: 0 of 24 left, after 3 s"
    assert small.problem == ""
    assert decision.usd_per_hour == small.usd_per_hour


def test_when_all_failed_each_candidate_has_a_line() -> None:
    tried = [failed(LARGE, "QuotaExceeded", "0 of 24 left."), failed(SMALL)]
    decision = planned(workspace("small", "tiny"), *tried)
    assert decision.problem is not None
    assert decision.problem.reason == "InsufficientCapacity"
    head, large, small, tiny = decision.problem.message.splitlines()
    assert head == "None of the candidates can be had:"
    assert large == "large on-demand: QuotaExceeded: 0 of 24 left, after 3 s"
    assert small == "small on-demand: InsufficientCapacity: none free, after 3 s"
    assert tiny.startswith("tiny on-demand: ")
    assert decision.steps == []
    assert decision.revision, "the operation stays the same one"


def test_when_all_failed_for_their_quota_that_is_the_reason() -> None:
    decision = planned(
        workspace("small"), failed(LARGE, "QuotaExceeded"), failed(SMALL, "QuotaExceeded")
    )
    assert decision.problem is not None
    assert decision.problem.reason == "QuotaExceeded"


def test_many_words_leave_room_for_every_candidate() -> None:
    words = "word " * 200
    tried = [failed(LARGE, message=words), failed(SMALL, message=words)]
    decision = planned(workspace("small"), *tried)
    assert decision.problem is not None
    assert len(decision.problem.message) <= MAX_MESSAGE_CHARACTERS
    assert [line.split()[0] for line in decision.problem.message.splitlines()] == [
        "None",
        "large",
        "small",
    ]


# --- What is there already ------------------------------------------------------------------------


def test_what_runs_stays_on_its_offer_whatever_failed() -> None:
    of = workspace("small", paid="spot-with-fallback")
    revision = planned(of).revision
    world = world_of(claim_of(LARGE), home=revision)
    for tried in ((), (failed(LARGE_SPOT),), (failed(LARGE_SPOT), failed(LARGE), failed(SMALL))):
        decision = planned(of, *tried, world=world)
        assert decision.problem is None
        assert [claim.name for claim in decision.claims] == [world.claims[0].name]
        assert decision.surplus_claims == []
        assert not decision.may_fall_back


def test_what_runs_and_grows_asks_for_more_of_the_same_and_does_not_fall_back() -> None:
    of = workspace("small", count=2)
    revision = planned(of).revision
    decision = planned(of, world=world_of(claim_of(LARGE), home=revision))
    assert decision.offer == LARGE
    assert len(decision.claims) == 2
    assert not decision.may_fall_back


def test_what_runs_on_a_fallback_is_not_moved_back() -> None:
    # An instance of `small` takes two nodes, so the workload is bound to both.
    of = workspace("small")
    revision = planned(of).revision
    claims = (claim_of(SMALL, 0), claim_of(SMALL, 1))
    on = frozenset(claim.node_name for claim in claims)
    workload = WorkloadFacts("chat", revision, 2, 2, is_current=True, node_names=on)
    world = replace(world_of(*claims), workloads=(workload,))
    decision = planned(of, world=world)
    assert decision.instance_type == "small"
    assert {claim.name for claim in decision.claims} == {claim.name for claim in claims}


@pytest.mark.parametrize(("was", "is_now"), [(LARGE_SPOT, "on-demand"), (LARGE, "spot")])
def test_another_way_to_pay_counts_for_the_next_node_that_is_made(was: Offer, is_now: str) -> None:
    of = workspace(paid=is_now)
    world = world_of(claim_of(was), home=planned(of).revision)
    decision = planned(of, world=world)
    assert [claim.name for claim in decision.claims] == [world.claims[0].name]
    assert decision.surplus_claims == []


def test_claims_of_an_offer_that_failed_become_surplus_and_are_not_used() -> None:
    world = world_of(claim_of(LARGE, 0))
    decision = planned(workspace("small", count=2), failed(LARGE), world=world)
    assert decision.surplus_claims == [world.claims[0].name]
    assert {claim.instance_type for claim in decision.claims} == {"small"}


def test_claims_on_which_nothing_runs_yet_may_be_given_back() -> None:
    world = world_of(claim_of(LARGE, 0))
    decision = planned(workspace("small", count=2), world=world)
    assert decision.may_fall_back


def test_an_earlier_revision_at_home_on_the_claims_forbids_to_give_them_back() -> None:
    world = world_of(claim_of(LARGE, 0), home="an-earlier-one")
    decision = planned(workspace("small", count=2), world=world)
    assert decision.offer == LARGE
    assert not decision.may_fall_back


@pytest.mark.parametrize("tried", [(), (failed(LARGE),)])
def test_without_a_provisioner_nothing_is_asked_for(tried: tuple[FailedOffer, ...]) -> None:
    settings = PlatformSettings(provisioner="byo")
    decision = plan(workspace(), World(), MODEL, settings, CATALOGUE, failed_offers=tried)
    assert (decision.offer, decision.may_fall_back) == (None, False)


def test_existing_nodes_ask_for_nothing_either() -> None:
    labels = {"apps": "chat", names.LABEL_INSTANCE_TYPE: "large"}
    free = NodeFacts("free", labels=labels, is_ready=True, gpu_capacity=1)
    decision = planned(workspace("small"), world=World(nodes=(free,)))
    assert decision.existing_nodes == ["free"]
    assert (decision.offer, decision.may_fall_back) == (None, False)


EVERY_OFFER = tuple(
    Offer(instance_type=one, capacity_type=paid)
    for one in ("large", "small")
    for paid in ("spot", "on-demand")
)


@given(st.sets(st.sampled_from(range(len(EVERY_OFFER)))), st.integers(1, 3))
def test_the_first_offer_that_can_be_had_is_taken_and_kept(refused: set[int], count: int) -> None:
    of = workspace("small", paid="spot-with-fallback", count=count)
    tried: list[FailedOffer] = []
    while (decision := planned(of, *tried)).problem is None:
        assert decision.offer is not None
        assert len(tried) == EVERY_OFFER.index(decision.offer), "none is left out or asked twice"
        if len(tried) not in refused:
            break
        tried.append(failed(decision.offer))
    if decision.problem is not None:
        assert refused == set(range(len(EVERY_OFFER)))
        return
    assert decision.offer is not None
    claims = tuple(claim_of(decision.offer, claim.index) for claim in decision.claims)
    on = frozenset(claim.node_name for claim in claims)
    workload = WorkloadFacts(
        "chat", decision.revision, len(on), len(on), is_current=True, node_names=on
    )
    world = replace(world_of(*claims), workloads=(workload,))
    for later in (planned(of, *tried, world=world), planned(of, world=world)):
        assert later.claims == decision.claims
        assert later.surplus_claims == []
        assert Step.NODES not in later.steps
