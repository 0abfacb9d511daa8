"""What a plan does about nodes that are lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from api import names
from api.payloads import Step, StepDeadlines, WorkspacePlan
from planner.losses import REPLACEMENTS_PER_HOUR
from planner.plan import plan
from planner.world import NodeFault, NodeSignal, SignalWeight, World
from presets.loader import load_catalogue
from tests.unit.planner.simulation import (
    ONEBOX,
    UID,
    Simulation,
    catalogue_preset,
    claim_name,
    workspace,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)
NOTICE = NodeSignal(NodeFault.PREEMPTED, SignalWeight.NOTICE, "a notice of preemption")


def settled(count: int = 1) -> Simulation:
    simulation = Simulation()
    assert simulation.settle(workspace(count)).steps == []
    for name, claim in simulation.claims.items():
        simulation.claims[name] = replace(claim, is_initialized=True, created_at=LONG_AGO)
    return simulation


def planned(simulation: Simulation, count: int = 1, **changes: object) -> WorkspacePlan:
    world = replace(simulation.world(), workspace_uid=UID, now=NOW, **changes)  # type: ignore[arg-type]
    return plan(workspace(count), world, catalogue_preset(), ONEBOX, load_catalogue())


def lose(simulation: Simulation, name: str) -> None:
    simulation.nodes[name] = replace(simulation.nodes[name], signals=(NOTICE,))


def test_a_lost_node_is_replaced_by_one_of_another_name_and_its_claim_is_surplus() -> None:
    simulation = settled()
    lose(simulation, claim_name(0))
    decision = planned(simulation)
    assert decision.problem is None
    assert [claim.name for claim in decision.claims] == [claim_name(1)]
    assert decision.lost_claims == decision.surplus_claims == [claim_name(0)]
    assert decision.steps == [Step.NODES, Step.WORKLOAD, Step.ENDPOINT]


def test_the_others_of_a_set_stay_where_they_are() -> None:
    simulation = settled(3)
    lose(simulation, claim_name(1))
    decision = planned(simulation, 3)
    assert [claim.index for claim in decision.claims] == [0, 2, 3]
    assert not decision.may_fall_back, "two of them run"


def test_after_the_move_all_is_well_and_the_old_claim_is_given_up() -> None:
    simulation = settled()
    lose(simulation, claim_name(0))
    simulation.carry_out(planned(simulation))
    decision = planned(simulation)
    assert decision.steps == []
    assert decision.surplus_claims == [claim_name(0)]
    assert simulation.moves[-1][1] == frozenset({claim_name(1)})


def test_a_replacement_that_is_on_its_way_stays_the_same_one() -> None:
    simulation = settled()
    lose(simulation, claim_name(0))
    first = planned(simulation)
    simulation.carry_out(first.model_copy(update={"steps": [Step.NODES]}))
    assert planned(simulation).claims == first.claims


def test_a_node_that_is_silent_is_waited_for_until_it_is_lost() -> None:
    simulation = settled()
    since = NOW - timedelta(seconds=100)
    silent = NodeSignal(NodeFault.UNREACHABLE, SignalWeight.FAULT, "condition Ready", since)
    name = claim_name(0)
    simulation.nodes[name] = replace(simulation.nodes[name], is_ready=False, signals=(silent,))
    decision = planned(simulation)
    assert decision.steps == [Step.NODES]
    assert [claim.name for claim in decision.claims] == [name]
    assert decision.deadlines.nodes_seconds == 501
    assert decision.look_again_at == NOW + timedelta(seconds=500)
    late = replace(silent, since=LONG_AGO)
    simulation.nodes[name] = replace(simulation.nodes[name], signals=(late,))
    assert planned(simulation).lost_claims == [name]


def test_a_cloud_that_takes_everything_back_is_not_chased() -> None:
    simulation = settled()
    name = claim_name(0)
    simulation.nodes[name] = replace(simulation.nodes[name], is_ready=False)
    lose(simulation, name)
    young = tuple([NOW - timedelta(minutes=5)] * (1 + REPLACEMENTS_PER_HOUR))
    decision = planned(simulation, gone_claims=young)
    assert decision.problem is not None
    assert decision.problem.reason == "ProviderFailed"
    assert "within an hour" in decision.problem.message
    assert (decision.steps, decision.lost_claims) == ([], [])


def test_a_sick_node_that_serves_is_kept_with_a_warning_when_the_budget_is_spent() -> None:
    simulation = settled()
    lose(simulation, claim_name(0))
    young = tuple([NOW - timedelta(minutes=5)] * (1 + REPLACEMENTS_PER_HOUR))
    decision = planned(simulation, gone_claims=young)
    assert (decision.problem, decision.steps) == (None, [])
    assert "within an hour" in decision.warnings[0]


def test_nobody_is_judged_by_a_time_that_is_not_known() -> None:
    simulation = settled()
    since = replace(NOTICE, weight=SignalWeight.FAULT, fault=NodeFault.XID, since=LONG_AGO)
    name = claim_name(0)
    simulation.nodes[name] = replace(simulation.nodes[name], signals=(since,))
    world: World = simulation.world()
    decision = plan(workspace(), world, catalogue_preset(), ONEBOX, load_catalogue())
    assert (decision.lost_claims, decision.steps) == ([], [])
    assert names.node_claim_name(UID, "onebox.small", 0) == name


def test_a_node_that_has_yet_to_come_up_gets_its_whole_time_after_a_first_look() -> None:
    simulation = settled()
    name = claim_name(0)
    silent = NodeSignal(NodeFault.UNREACHABLE, SignalWeight.FAULT, "condition Ready", LONG_AGO)
    simulation.nodes[name] = replace(simulation.nodes[name], is_ready=False, signals=(silent,))
    starting = replace(simulation.claims[name], is_ready=False, is_initialized=False)
    simulation.claims[name] = starting
    decision = planned(simulation)
    assert decision.lost_claims == []
    assert decision.deadlines.nodes_seconds == StepDeadlines().nodes_seconds
