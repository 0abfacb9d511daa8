"""Rollouts: which way a revision takes the place of another, and that somebody always answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.payloads import (
    RevisionOutcome,
    RevisionRecord,
    RolloutMode,
    Step,
    StepDeadlines,
    WorkspacePlan,
)
from api.revisions import good_revision
from api.workspace import Workspace
from planner.edit_effect import Desired, EffectKind, Wish, edit_effect
from planner.placement import is_running
from planner.plan import Recorded, plan
from planner.rollout import (
    Transition,
    changes_of,
    measured_downtime_seconds,
)
from planner.world import PlatformSettings
from presets.loader import load_catalogue
from tests import gen
from tests.unit.planner.simulation import (
    BYO,
    ONEBOX,
    Simulation,
    catalogue_preset,
    claim_name,
    node,
    workspace,
)

IN_PLACE: dict[str, Any] = {"strategy": "InPlace"}
SURGE: dict[str, Any] = {"strategy": "Surge"}
OLD_TEXT, NEW_TEXT = "vllm: {max-model-len: 1024}", "vllm: {max-model-len: 2048}"
BEFORE_TRAFFIC = [Step.IMAGES, Step.WORKLOAD, Step.ENDPOINT, Step.TRAFFIC]


def wanted(count: int = 1, **rollout: Any) -> Workspace:
    return workspace(count, config="settings", rollout=rollout)


def serving(count: int = 1, *, nodes: dict[str, Any] | None = None, **fields: Any) -> Simulation:
    """A Workspace that serves, whose settings were then edited."""
    simulation = Simulation(nodes=nodes or {}, config_text=OLD_TEXT, **fields)
    assert simulation.settle(wanted(count)).steps == []
    simulation.config_text = NEW_TEXT
    return simulation


def taken(simulation: Simulation, decision: WorkspacePlan, *until: Step) -> Simulation:
    """Carry out the steps of a plan up to the last of `until`, as far as they are planned."""
    for step in decision.steps:
        simulation.take(step, decision)
        if step in until:
            break
    return simulation


# --- The mode -------------------------------------------------------------------------------------


def test_the_first_revision_replaces_nothing() -> None:
    decision = Simulation().plan(wanted(**SURGE))
    assert (decision.mode, decision.announcement) == (RolloutMode.NONE, "")
    assert decision.expected_downtime_seconds is None


@pytest.mark.parametrize(
    ("policy", "mode"),
    [({}, RolloutMode.IN_PLACE), (IN_PLACE, RolloutMode.IN_PLACE), (SURGE, RolloutMode.SURGE)],
)
def test_an_edit_is_carried_out_as_its_policy_says(
    policy: dict[str, Any], mode: RolloutMode
) -> None:
    assert serving().plan(wanted(**policy)).mode is mode


def test_an_edit_that_no_pod_feels_replaces_nothing() -> None:
    simulation = serving()
    simulation.config_text = OLD_TEXT
    decision = simulation.plan(wanted(**SURGE))
    assert (decision.mode, decision.steps) == (RolloutMode.NONE, [])


def test_a_revision_that_was_stopped_serves_nobody_and_is_not_replaced() -> None:
    simulation = serving()
    first = simulation.plan(wanted())
    taken(simulation, first, Step.WORKLOAD)
    decision = simulation.plan(wanted())
    assert (decision.mode, decision.stale_revisions) == (RolloutMode.NONE, [])
    assert decision.active_revision == first.active_revision
    assert decision.steps == [Step.ENDPOINT, Step.TRAFFIC]


# --- Steps ----------------------------------------------------------------------------------------


def test_in_place_uses_the_nodes_that_are_there_and_retires_on_the_way() -> None:
    decision = serving().plan(wanted())
    assert decision.steps == BEFORE_TRAFFIC
    assert [claim.name for claim in decision.claims] == [claim_name(0)]
    assert decision.stale_revisions == [decision.active_revision]


def test_surge_asks_for_other_nodes_and_retires_what_served_at_the_end() -> None:
    decision = serving().plan(wanted(**SURGE))
    assert decision.steps == [Step.NODES, *BEFORE_TRAFFIC, Step.RETIRE]
    assert [claim.name for claim in decision.claims] == [claim_name(1)]


def test_after_a_surge_the_nodes_of_the_old_revision_are_surplus() -> None:
    simulation = serving()
    decision = simulation.settle(wanted(**SURGE))
    assert decision.surplus_claims == [claim_name(0)]
    assert (decision.steps, decision.stale_revisions) == ([], [])


def test_a_surge_whose_traffic_has_moved_only_retires() -> None:
    simulation = serving()
    taken(simulation, simulation.plan(wanted(**SURGE)), Step.TRAFFIC)
    decision = simulation.plan(wanted(**SURGE))
    assert decision.steps == [Step.RETIRE]
    assert decision.mode is RolloutMode.NONE


@pytest.mark.parametrize("policy", [IN_PLACE, SURGE])
def test_a_revision_that_never_served_makes_way_before_the_next_one_starts(
    policy: dict[str, Any],
) -> None:
    simulation = serving()
    never = simulation.plan(wanted(**policy))
    taken(simulation, never, Step.WORKLOAD)
    simulation.config_text = "vllm: {max-model-len: 4096}"
    decision = simulation.plan(wanted(**policy))
    assert never.revision in decision.stale_revisions
    taken(simulation, decision, Step.WORKLOAD)
    assert simulation.workloads[never.revision].is_at_rest
    assert simulation.settle(wanted(**policy)).steps == []


def test_a_stopped_revision_that_is_wanted_again_is_scaled_up_and_not_stale() -> None:
    simulation = serving()
    old = simulation.active_revision
    simulation.settle(wanted())
    assert simulation.active_revision != old
    simulation.config_text = OLD_TEXT
    decision = simulation.plan(wanted())
    assert (decision.revision, decision.adopted) == (old, False)
    assert decision.steps == BEFORE_TRAFFIC
    assert simulation.settle(wanted()).revision == old


def test_an_edit_that_is_taken_back_stops_what_was_begun() -> None:
    simulation = serving()
    begun = simulation.plan(wanted(**SURGE))
    taken(simulation, begun, Step.WORKLOAD)
    simulation.config_text = OLD_TEXT
    decision = simulation.plan(wanted(**SURGE))
    assert (decision.steps, decision.stale_revisions) == ([Step.RETIRE], [begun.revision])


# --- Nodes under Surge ----------------------------------------------------------------------------


def test_a_node_with_room_for_both_revisions_takes_both() -> None:
    simulation = serving(nodes={"a": node("a", gpu_capacity=2)}, settings=BYO)
    decision = simulation.plan(wanted(**SURGE))
    assert (decision.problem, decision.existing_nodes) == (None, ["a"])


def test_a_surge_without_room_says_so_and_touches_nothing() -> None:
    simulation = serving(nodes={"a": node("a")}, settings=BYO)
    decision = simulation.plan(wanted(**SURGE))
    assert decision.problem is not None
    assert decision.problem.reason == "InsufficientCapacity"
    assert decision.problem.message.startswith("rollout.strategy: Surge needs nodes beside those")
    assert "InPlace" in decision.problem.message
    assert decision.steps == []
    assert simulation.plan(wanted(**IN_PLACE)).problem is None


def test_a_surge_takes_a_free_node_before_it_buys_one() -> None:
    simulation = serving(nodes={"a": node("a"), "b": node("b")})
    assert simulation.plan(wanted(**SURGE)).existing_nodes == ["b"]


def test_a_claim_whose_node_has_room_for_both_is_used_by_both() -> None:
    simulation = serving()
    roomy = replace(simulation.nodes[claim_name(0)], gpu_capacity=2)
    simulation.nodes[claim_name(0)] = roomy
    decision = simulation.plan(wanted(**SURGE))
    assert [claim.name for claim in decision.claims] == [claim_name(0)]
    assert decision.steps == [*BEFORE_TRAFFIC, Step.RETIRE]


def test_gpus_of_others_are_counted_beside_those_of_what_serves() -> None:
    simulation = serving(nodes={"a": node("a", gpu_capacity=2)}, settings=BYO)
    simulation.gpu_requests = {"a": 1}
    assert simulation.plan(wanted(**SURGE)).problem is not None


def test_in_the_middle_of_a_surge_the_nodes_stay_the_same() -> None:
    simulation = serving(2)
    first = simulation.plan(wanted(2, **SURGE))
    taken(simulation, first, Step.NODES)
    second = simulation.plan(wanted(2, **SURGE))
    assert second.claims == first.claims
    assert second.steps == [*BEFORE_TRAFFIC, Step.RETIRE]


# --- Going back -----------------------------------------------------------------------------------


def restored(simulation: Simulation, good: str, spec_revision: str) -> WorkspacePlan:
    """Return the plan for the old settings, while the spec asks for the new ones."""
    world = replace(simulation.world(), config_text=OLD_TEXT)
    return plan(
        wanted(requireApproval=True),
        world,
        catalogue_preset(),
        ONEBOX,
        load_catalogue(),
        recorded=Recorded(good, spec_revision),
    )


def test_a_good_revision_is_brought_back_in_the_stead_of_the_one_asked_for() -> None:
    simulation = serving()
    good = simulation.active_revision
    failed = simulation.plan(wanted())
    simulation.record(failed.revision)
    taken(simulation, failed, Step.WORKLOAD)
    decision = restored(simulation, good, failed.revision)
    assert (decision.revision, decision.spec_revision) == (good, failed.revision)
    assert (decision.adopted, decision.requires_approval) == (True, False)
    assert decision.stale_revisions == [failed.revision]
    assert decision.steps == [Step.IMAGES, Step.WORKLOAD, Step.ENDPOINT]
    for step in decision.steps:
        simulation.take(step, decision)
    assert restored(simulation, good, failed.revision).steps == []


def test_where_the_good_revision_never_stopped_only_the_failed_one_goes() -> None:
    simulation = serving()
    good = simulation.active_revision
    failed = simulation.plan(wanted(**SURGE))
    simulation.record(failed.revision)
    taken(simulation, failed, Step.WORKLOAD)
    decision = restored(simulation, good, failed.revision)
    assert (decision.steps, decision.mode) == ([Step.RETIRE], RolloutMode.NONE)


def test_a_recorded_revision_keeps_its_name_whatever_it_would_be_called_today() -> None:
    assert restored(serving(), "0ldrev00", "n3wrev00").revision == "0ldrev00"


GOOD, BAD, UNKNOWN = RevisionOutcome.GOOD, RevisionOutcome.GIVEN_UP, RevisionOutcome.UNKNOWN


@pytest.mark.parametrize(
    ("active", "outcomes", "expected"),
    [
        ("a", {"c": UNKNOWN, "b": GOOD, "a": GOOD}, "a"),
        ("a", {"c": UNKNOWN, "b": GOOD, "a": UNKNOWN}, "a"),
        ("a", {"c": UNKNOWN, "b": GOOD, "a": BAD}, "b"),
        ("c", {"c": GOOD, "b": BAD, "a": GOOD}, "a"),
        ("", {"c": UNKNOWN, "b": UNKNOWN}, ""),
        ("gone", {"c": UNKNOWN}, ""),
    ],
)
def test_what_serves_is_gone_back_to_and_else_the_newest_good_one(
    active: str, outcomes: dict[str, RevisionOutcome], expected: str
) -> None:
    recorded = [RevisionRecord(revision=name, outcome=one) for name, one in outcomes.items()]
    assert good_revision(recorded, active, "c") == expected


# --- Policy ---------------------------------------------------------------------------------------


def test_the_policy_is_told_with_its_defaults() -> None:
    decision = serving().plan(wanted())
    assert decision.model_dump(
        include={"auto_rollback", "requires_approval", "frees_failed", "history_limit"}
    ) == {
        "auto_rollback": True,
        "requires_approval": False,
        "frees_failed": False,
        "history_limit": 10,
    }


def test_the_policy_of_the_user_counts() -> None:
    policy: dict[str, Any] = {
        "autoRollback": False,
        "failedResources": "Free",
        "revisionHistoryLimit": 3,
    }
    decision = serving().plan(wanted(**policy))
    assert (decision.auto_rollback, decision.frees_failed) == (False, True)
    assert decision.history_limit == 3


def test_an_edit_waits_for_an_approval_only_while_something_serves() -> None:
    policy: dict[str, Any] = {"requireApproval": True}
    assert not Simulation().plan(wanted(**policy)).requires_approval
    simulation = serving()
    edited = simulation.plan(wanted(**policy))
    assert edited.requires_approval
    taken(simulation, edited, Step.WORKLOAD)
    assert not simulation.plan(wanted(**policy)).requires_approval
    assert not simulation.settle(wanted(**policy)).requires_approval


# --- What is announced ----------------------------------------------------------------------------


def announced(simulation: Simulation, of: Workspace) -> WorkspacePlan:
    return plan(
        of,
        simulation.world(),
        catalogue_preset(),
        simulation.settings,
        load_catalogue(),
        serving=Wish(wanted(), OLD_TEXT),
    )


def test_an_edit_in_place_is_announced_with_its_changes_and_its_price() -> None:
    simulation = serving()
    decision = announced(simulation, wanted())
    deadlines = decision.deadlines
    limit = deadlines.workload_seconds + deadlines.endpoint_seconds
    assert decision.announcement == (
        f"Revision {decision.revision} replaces {decision.active_revision}: "
        "config.vllm.max-model-len 1024 → 2048. InPlace: the old pods stop before the new ones "
        f"start; nobody answers for {limit} s at most. If it fails, revision "
        f"{decision.active_revision} is brought back."
    )
    assert decision.expected_downtime_seconds is None


def test_a_surge_is_announced_without_a_break() -> None:
    decision = announced(serving(), wanted(**SURGE))
    assert decision.expected_downtime_seconds == 0
    assert "no downtime is expected" in decision.announcement


def test_without_a_way_back_none_is_promised() -> None:
    decision = announced(serving(), wanted(autoRollback=False))
    assert "brought back" not in decision.announcement


def test_many_changes_are_counted() -> None:
    simulation = serving()
    simulation.config_text = "vllm: {a: 1, b: 2, c: 3, d: 4, e: 5, f: 6}"
    # Of those, and of one that goes, the first four are told.
    announcement = announced(simulation, wanted()).announcement
    assert "config.vllm.max-model-len removed, config.vllm.a = 1, " in announcement
    assert "config.vllm.c = 3, 3 more. InPlace" in announcement


def test_a_secret_among_the_settings_is_not_announced() -> None:
    simulation = serving()
    simulation.config_text = f"{OLD_TEXT[:-1]}, api-key: correct-horse}}"
    announcement = announced(simulation, wanted()).announcement
    assert "config.vllm.api-key = [hidden]." in announcement
    assert "horse" not in announcement


def test_of_pods_of_the_users_own_only_the_field_is_announced() -> None:
    def own(token: str) -> Wish:
        container = {"name": "a", "image": "a:1", "env": [{"name": "T", "value": token}]}
        inference = {"template": {"spec": {"containers": [container, {"name": token}]}}}
        return Wish(gen.workspace(inference=inference))

    found = Transition(RolloutMode.IN_PLACE, "old", "new").said(
        wanted(), [], StepDeadlines(), changes_of(own("one"), own("two"))
    )
    assert found["announcement"].startswith("Revision new replaces old: inference.template. In")


def measured(**seconds: float) -> Workspace:
    timeline = [{"step": step, "state": "done", "seconds": one} for step, one in seconds.items()]
    return workspace(config="settings", status={"timeline": timeline})


def test_what_the_last_operation_took_is_expected_again() -> None:
    edited = measured(nodes=90.0, workload=20.2, endpoint=3.1, traffic=0.1)
    decision = announced(serving(), edited)
    assert decision.expected_downtime_seconds == 24
    assert "nobody answers for about 24 s, as the last time, and " in decision.announcement


def test_an_operation_that_stopped_no_pods_tells_nothing_of_downtime() -> None:
    assert measured_downtime_seconds(measured(nodes=90.0, endpoint=1.0, traffic=0.1)) is None


# --- Every story ----------------------------------------------------------------------------------

_TEXTS = (OLD_TEXT, NEW_TEXT, "vllm: {max-model-len: 512}")


def _answers(simulation: Simulation) -> bool:
    active = simulation.workloads.get(simulation.active_revision)
    return active is not None and is_running(active, active.replicas) and active.replicas > 0


_STORIES = st.lists(
    st.tuples(st.sampled_from(_TEXTS), st.integers(1, 2), st.integers(0, 6)),
    min_size=1,
    max_size=5,
)


@settings(deadline=None)
@given(story=_STORIES, platform=st.sampled_from([ONEBOX, BYO]))
def test_under_surge_somebody_answers_at_every_moment_whatever_is_edited_when(
    story: list[tuple[str, int, int]], platform: PlatformSettings
) -> None:
    # Room for two revisions of two pods, where no nodes are made.
    nodes = {name: node(name) for name in "abcd"} if platform is BYO else {}
    simulation = Simulation(platform, nodes, config_text=_TEXTS[0])
    simulation.settle(wanted(**SURGE))
    for text, count, steps_count in story:
        simulation.config_text = text
        decision = simulation.plan(wanted(count, **SURGE))
        assert decision.problem is None
        assert simulation.plan(wanted(count, **SURGE)) == decision
        if not decision.adopted:
            simulation.record(decision.revision)
        # The next edit comes in the middle of it.
        for step in decision.steps[:steps_count]:
            simulation.take(step, decision)
            assert _answers(simulation), step
    _ends_well(simulation, wanted(story[-1][1], **SURGE))


@settings(deadline=None)
@given(story=_STORIES, policies=st.lists(st.sampled_from([IN_PLACE, SURGE]), min_size=5))
def test_every_story_ends_with_one_revision_that_serves(
    story: list[tuple[str, int, int]], policies: list[dict[str, Any]]
) -> None:
    simulation = Simulation()
    for (text, count, steps_count), policy in zip(story, policies, strict=False):
        simulation.config_text = text
        decision = simulation.plan(wanted(count, **policy))
        for step in decision.steps[:steps_count]:
            simulation.take(step, decision)
    _ends_well(simulation, wanted(story[-1][1], **policies[0]))


def _ends_well(simulation: Simulation, of: Workspace) -> None:
    decision = simulation.settle(of)
    assert (decision.problem, decision.steps) == (None, [])
    (running,) = (one for one in simulation.workloads.values() if not one.is_at_rest)
    assert running.revision == simulation.active_revision == decision.revision
    assert _answers(simulation)


def test_the_nodes_of_a_surge_that_was_planned_for_a_cluster_are_those_of_its_plan() -> None:
    simulation = serving(nodes={"a": node("a", gpu_capacity=2)}, settings=BYO)
    after = simulation.plan(wanted(**SURGE))
    before = Desired(wanted(), replace_text(simulation, OLD_TEXT), OLD_TEXT)
    found = edit_effect(before, Desired(wanted(**SURGE), after, NEW_TEXT))
    assert (found.kind, found.nodes_added, found.nodes_released) == (EffectKind.SURGE, 0, 0)
    assert "on the same nodes" in found.summary


def replace_text(simulation: Simulation, text: str) -> WorkspacePlan:
    simulation.config_text = text
    return simulation.plan(wanted())
