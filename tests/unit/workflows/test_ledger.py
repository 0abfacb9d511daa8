"""The ledger of operations: what begins, ends, waits, and what people are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from api import payloads as p
from api.workflow_inputs import WorkspaceState
from workflows import limits
from workflows.ledger import Ledger

START = datetime(2026, 1, 1, tzinfo=UTC)
CRASH = p.Problem(reason="RuntimeFailed", message="crash loop")
NO_IMAGE = p.Problem(reason="MissingReference", message="no such image")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def plan(revision: str = "a", *steps: p.Step, generation: int = 1) -> p.WorkspacePlan:
    return p.WorkspacePlan(
        found=True, uid="u", generation=generation, revision=revision, steps=list(steps or p.Step)
    )


def begun(*steps: p.Step) -> Ledger:
    ledger = Ledger(WorkspaceState())
    it = plan("a", *steps)
    ledger.remember(it)
    ledger.begin_operation(it, START)
    return ledger


def outcomes(ledger: Ledger) -> list[str]:
    return [record.outcome for record in ledger.state.history]


def test_a_new_operation_lists_the_planned_steps_only() -> None:
    ledger = begun(p.Step.TRAFFIC, p.Step.WORKLOAD)
    assert [record.step for record in ledger.state.timeline] == [p.Step.WORKLOAD, p.Step.TRAFFIC]
    assert ledger.state.phase is p.LifecyclePhase.DEPLOYING


def test_a_success_is_recorded_with_its_seconds_and_told_once() -> None:
    ledger = begun()
    ledger.succeed("a", at(43.21))
    ledger.succeed("a", at(99))
    (record,) = ledger.state.history
    assert (record.outcome, record.seconds) == (p.OperationOutcome.SUCCEEDED, 43.2)
    (note,) = ledger.events
    assert (note.kind, note.reason) == (p.EventKind.NORMAL, "Ready")
    assert "43 s" in note.message


def test_the_seconds_of_a_step_add_up_over_its_attempts() -> None:
    ledger = begun()
    for took in (2, 3):
        ledger.step_started(p.Step.NODES)
        ledger.step_stopped(p.Step.NODES, p.StepState.WAITING, timedelta(seconds=took), CRASH)
    ledger.step_started(p.Step.NODES)
    ledger.step_done(p.Step.NODES, timedelta(seconds=1))
    record = ledger.state.timeline[0]
    assert (record.seconds, record.attempts, record.state) == (6, 3, p.StepState.DONE)
    assert record.reason == ""


def test_going_on_with_an_operation_keeps_what_was_done_and_is_no_news() -> None:
    ledger = begun()
    ledger.step_started(p.Step.NODES)
    ledger.step_done(p.Step.NODES, timedelta(seconds=7))
    assert not ledger.begin_operation(plan("a", p.Step.IMAGES, p.Step.TRAFFIC), at(20))
    states = {record.step: record.state for record in ledger.state.timeline}
    assert states[p.Step.NODES] is p.StepState.DONE
    assert states[p.Step.IMAGES] is p.StepState.PENDING
    assert states[p.Step.WORKLOAD] is p.StepState.DONE
    assert ledger.state.operations_count == 1


def test_another_revision_closes_the_operation_as_superseded() -> None:
    ledger = begun()
    assert ledger.begin_operation(plan("b"), at(5))
    assert outcomes(ledger) == ["Superseded"]
    assert ledger.state.revision == "b"


def test_a_failure_is_shown_until_its_step_is_done() -> None:
    ledger = begun()
    ledger.step_started(p.Step.NODES)
    ledger.change(failures_count=1)
    ledger.step_stopped(p.Step.NODES, p.StepState.WAITING, timedelta(0), CRASH)
    ledger.wait(CRASH)
    assert ledger.state.phase is p.LifecyclePhase.WAITING
    ledger.begin_operation(plan("a"), at(30))
    assert ledger.state.problem == CRASH
    ledger.step_started(p.Step.NODES)
    ledger.step_done(p.Step.NODES, timedelta(0))
    after: WorkspaceState = ledger.state
    assert after.problem is None
    assert after.failures_count == 0


def test_a_failure_of_a_step_that_is_no_longer_needed_is_over() -> None:
    ledger = begun()
    ledger.step_started(p.Step.NODES)
    ledger.step_stopped(p.Step.NODES, p.StepState.WAITING, timedelta(0), CRASH)
    ledger.wait(CRASH)
    ledger.begin_operation(plan("a", p.Step.TRAFFIC), at(30))
    assert ledger.state.problem is None


def test_what_is_not_worth_showing_is_not_shown() -> None:
    ledger = begun()
    before = ledger.state
    ledger.wait(None)
    assert (ledger.state, ledger.events) == (before, [])


def test_the_same_problem_again_makes_no_second_event() -> None:
    ledger = begun()
    ledger.wait(CRASH)
    ledger.wait(CRASH)
    assert len(ledger.events) == 1


def test_a_block_holds_for_this_spec_only() -> None:
    ledger = begun()
    ledger.block(NO_IMAGE, "a", at(5))
    assert ledger.is_blocked("a")
    assert not ledger.is_blocked("b")
    ledger.remember(plan("a", generation=2))
    assert not ledger.is_blocked("a")


def test_a_spec_refused_by_planning_is_recorded_once_and_blocks_nothing() -> None:
    ledger = Ledger(WorkspaceState())
    ledger.remember(plan(""))
    ledger.refuse_spec(NO_IMAGE, "", START)
    ledger.refuse_spec(NO_IMAGE, "", at(60))
    assert outcomes(ledger) == ["Failed"]
    assert len(ledger.events) == 1
    assert not ledger.is_blocked("")


def test_a_retry_lifts_the_block_and_makes_the_next_event_a_new_one() -> None:
    ledger = begun()
    ledger.block(NO_IMAGE, "a", at(5))
    ledger.retry()
    assert not ledger.is_blocked("a")
    assert ledger.begin_operation(plan("a"), at(6))
    ledger.block(NO_IMAGE, "a", at(7))
    assert len({note.key for note in ledger.events}) == 2


def test_a_deletion_closes_what_runs_and_ends_a_pause() -> None:
    ledger = begun()
    ledger.change(is_paused=True, paused_reason="audit")
    assert ledger.begin_deleting(at(5))
    assert not ledger.begin_deleting(at(6))
    assert outcomes(ledger) == ["Superseded"]
    assert ledger.state.operation_started_at == at(5)
    assert not ledger.state.is_paused
    ledger.wait(CRASH)
    assert ledger.state.phase is p.LifecyclePhase.DELETING


def test_the_history_keeps_the_last_operations() -> None:
    ledger = begun()
    for number in range(limits.MAX_OPERATION_RECORDS + 5):
        ledger.begin_operation(plan(f"r{number}"), at(number))
    assert len(ledger.state.history) == limits.MAX_OPERATION_RECORDS
    assert ledger.state.history[-1].revision == "r13"


def test_the_events_of_two_operations_for_one_spec_have_two_keys() -> None:
    ledger = begun()
    ledger.succeed("a", at(5))
    ledger.begin_operation(plan("a", p.Step.WORKLOAD), at(60))
    ledger.succeed("a", at(65))
    assert len({note.key for note in ledger.events}) == 2


def test_a_refused_order_is_remembered_and_told_under_its_own_key() -> None:
    ledger = begun()
    ledger.refuse("rollback", "not built", "FeatureNotAvailable")
    ledger.refuse("rollback", "not built", "FeatureNotAvailable")
    assert "rollback" in ledger.state.last_refusal
    assert len({note.key for note in ledger.events}) == 2


def test_an_object_that_is_gone_is_forgotten_but_its_event_keys_are_not_used_again() -> None:
    ledger = begun()
    ledger.refuse("retry", "nothing has failed", "OrderRefused")
    ledger.start_afresh("u2")
    assert ledger.state == WorkspaceState(uid="u2", operations_count=1, refusals_count=1)
    assert (ledger.plan, ledger.events) == (None, [])


def test_a_plan_for_a_deletion_keeps_what_people_read() -> None:
    ledger = Ledger(WorkspaceState())
    ledger.remember(plan().model_copy(update={"preset": "phi", "instance_type": "big"}))
    ledger.remember(p.WorkspacePlan(found=True, uid="u", generation=2, deleting=True))
    assert ledger.plan is not None
    assert (ledger.plan.preset, ledger.plan.instance_type) == ("phi", "big")


# --- Offers ---------------------------------------------------------------------------------------

LARGE, SMALL = p.Offer(instance_type="large"), p.Offer(instance_type="small")
FULL = p.Problem(reason="InsufficientCapacity", message="none free.")


def offering(offer: p.Offer, *failed: p.Offer, generation: int = 1) -> p.WorkspacePlan:
    candidates = [
        p.InstanceCandidate(
            instance_type=one.instance_type,
            capacity_type=one.capacity_type,
            problem="none free" if one in failed else "",
        )
        for one in (LARGE, SMALL)
    ]
    changes = {"offer": offer, "may_fall_back": True, "candidates": candidates}
    return plan(generation=generation).model_copy(update=changes)


def test_a_failed_offer_is_remembered_recorded_and_told() -> None:
    ledger = begun()
    ledger.fall_back(offering(LARGE), FULL, timedelta(seconds=3.21), at(4))
    (failed,) = ledger.state.failed_offers
    assert (failed.offer, failed.seconds, failed.failed_at) == (LARGE, 3.2, at(4))
    assert (failed.reason, failed.message) == (FULL.reason, FULL.message)
    (record,) = ledger.state.history
    assert (record.outcome, record.seconds) == (p.OperationOutcome.FELL_BACK, 3.2)
    (note,) = ledger.events
    assert note.message == (
        "large on-demand can't be had: none free (3 s); trying small on-demand next"
    )
    assert ledger.state.problem is None
    assert ledger.state.operation_started_at == START


def test_the_last_offer_names_no_next_one_and_a_zone_no_type() -> None:
    ledger = begun()
    ledger.fall_back(offering(SMALL, LARGE), FULL, timedelta(0), at(4))
    zoned = LARGE.model_copy(update={"zone": "b"})
    ledger.fall_back(offering(zoned), FULL, timedelta(0), at(4))
    last, zone = (note.message for note in ledger.events)
    assert last.endswith("no other candidate is left")
    assert zone.startswith("large on-demand in zone b can't be had")
    assert zone.endswith("trying the next zone or candidate next")


def test_rounds_that_fail_alike_keep_one_line_and_one_event_key_for_each_offer() -> None:
    ledger = begun()
    for number in range(3):
        for offer in (LARGE, SMALL):
            ledger.fall_back(offering(offer), FULL, timedelta(seconds=number), at(number))
        ledger.exhaust(FULL)
    assert [record.seconds for record in ledger.state.history] == [2.0, 2.0]
    assert len({note.key for note in ledger.events if "can't be had" in note.message}) == 2


def test_when_nothing_can_be_had_the_step_waits_and_the_list_is_empty() -> None:
    ledger = begun()
    ledger.fall_back(offering(LARGE), FULL, timedelta(0), at(1))
    ledger.exhaust(FULL)
    ledger.exhaust(FULL)
    state = ledger.state
    assert (state.failed_offers, state.failures_count) == ([], 2)
    assert (state.phase, state.problem) == (p.LifecyclePhase.WAITING, FULL)
    assert ledger.waits_in(p.Step.NODES)


def test_what_failed_is_forgotten_with_its_spec() -> None:
    ledger = begun()
    same = offering(SMALL, LARGE)
    ledger.fall_back(offering(LARGE), FULL, timedelta(0), at(1))
    assert not ledger.forget_failed_offers(same)
    assert not ledger.forget_failed_offers(same.model_copy(update={"revision": ""}))
    assert len(ledger.state.failed_offers) == 1
    assert ledger.forget_failed_offers(offering(SMALL, LARGE, generation=2))
    assert ledger.state.failed_offers == []
    assert not ledger.forget_failed_offers(offering(LARGE, generation=2))


def test_another_revision_of_the_same_generation_begins_with_the_first_as_well() -> None:
    ledger = begun()
    ledger.fall_back(offering(LARGE), FULL, timedelta(0), at(1))
    assert ledger.forget_failed_offers(plan("b"))


def test_the_end_of_an_operation_and_a_retry_forget_what_failed() -> None:
    for end in (lambda one: one.succeed("a", at(9)), Ledger.retry):
        ledger = begun()
        ledger.fall_back(offering(LARGE), FULL, timedelta(0), at(1))
        end(ledger)
        assert ledger.state.failed_offers == []


# --- Rollout and rollback -------------------------------------------------------------------------


def replacing(revision: str = "b", **fields: object) -> p.WorkspacePlan:
    """Plan a revision while another one serves."""
    base = plan(revision, generation=2)
    known = {"spec_revision": revision, "active_revision": "a", "announcement": "a to b"}
    recorded = [p.RevisionRecord(revision="a", outcome=p.RevisionOutcome.GOOD)]
    return base.model_copy(update=known | {"recorded": recorded} | fields)


def given_up() -> Ledger:
    ledger = Ledger(WorkspaceState())
    it = replacing()
    ledger.remember(it)
    ledger.begin_operation(it, START)
    ledger.give_up(CRASH, "a", at(8))
    return ledger


def test_giving_up_ends_one_operation_and_begins_another() -> None:
    ledger = given_up()
    state = ledger.state
    assert outcomes(ledger) == ["GivenUp"]
    assert state.phase is p.LifecyclePhase.RESTORING
    assert (state.revision, state.restore) == ("a", "a")
    assert state.given_up == p.GivenUp(revision="b", problem=CRASH, failed_at=at(8))
    assert (state.problem, state.timeline, state.operations_count) == (None, [], 2)


def test_what_was_never_stopped_is_not_said_to_serve_again() -> None:
    ledger = given_up()
    ledger.succeed("a", at(20))
    told = "Revision a was not stopped and goes on serving. Revision b, which the spec asks for, "
    assert ledger.events[-1].message.startswith(told)


def test_what_is_restored_ends_rolled_back_and_says_why() -> None:
    ledger = given_up()
    ledger.downtime_begins(at(2))
    ledger.downtime_ends(at(19))
    ledger.succeed("a", at(20))
    assert ledger.state.phase is p.LifecyclePhase.ROLLED_BACK
    assert outcomes(ledger) == ["GivenUp", "Restored"]
    assert ledger.events[-1].message == (
        "Revision a serves again after 12 s (nobody answered for 17.0 s). Revision b, which the "
        "spec asks for, failed: crash loop. Correct the spec, or send `retry`."
    )
    assert len({note.key for note in ledger.events}) == len(ledger.events)


def test_a_step_on_the_way_back_shows_restoring() -> None:
    ledger = given_up()
    ledger.begin_operation(replacing("a", spec_revision="b"), at(9))
    ledger.step_started(p.Step.WORKLOAD)
    assert ledger.state.phase is p.LifecyclePhase.RESTORING


def test_another_spec_forgets_what_was_given_up() -> None:
    ledger = given_up()
    assert not ledger.must_plan_again(replacing("c"))
    assert (ledger.state.given_up, ledger.state.restore) == (None, "")


def test_a_spec_whose_revision_is_not_known_forgets_nothing() -> None:
    ledger = given_up()
    assert not ledger.must_plan_again(replacing("", spec_revision="", problem=NO_IMAGE))
    assert ledger.state.given_up is not None


def test_a_deletion_forgets_what_was_given_up_and_what_waits() -> None:
    ledger = given_up()
    ledger.change(awaiting_revision="b", downtime_began_at=START)
    ledger.begin_deleting(at(9))
    state = ledger.state
    assert (state.given_up, state.restore, state.awaiting_revision) == (None, "", "")
    assert state.downtime_began_at is None


def test_a_downtime_runs_from_the_first_stop_to_the_answer() -> None:
    ledger = begun()
    ledger.downtime_begins(at(2))
    ledger.downtime_begins(at(5))
    assert ledger.downtime_ends(at(25.44)) == "nobody answered for 23.4 s"
    assert ledger.downtime_ends(at(30)) == ""
    ledger.succeed("a", at(31))
    assert ledger.state.history[-1].message == "nobody answered for 23.4 s"


def test_the_words_of_a_step_that_is_done_stay() -> None:
    ledger = begun(p.Step.TRAFFIC)
    ledger.step_started(p.Step.TRAFFIC)
    ledger.step_done(p.Step.TRAFFIC, timedelta(0), "nobody answered for 1.0 s")
    ledger.succeed("a", at(2))
    assert ledger.state.timeline[0].message == "nobody answered for 1.0 s"


def test_an_order_to_go_back_that_needs_no_step_stands_in_the_history() -> None:
    ledger = Ledger(WorkspaceState())
    ledger.remember(replacing("b"))
    ledger.roll_back("a", "too slow", 3, at(1))
    ledger.remember(replacing("a", generation=3))
    ledger.succeed("a", at(2))
    (record,) = ledger.state.history
    assert (record.outcome, record.message) == (
        p.OperationOutcome.SUCCEEDED,
        "rolled back by order: too slow",
    )


def test_words_about_an_order_are_not_said_of_a_later_edit() -> None:
    ledger = Ledger(WorkspaceState())
    ledger.remember(replacing("b"))
    ledger.roll_back("a", "too slow", 3, at(1))
    edit = replacing("c", generation=4)
    ledger.remember(edit)
    ledger.begin_operation(edit, at(2))
    ledger.succeed("c", at(3))
    assert [record.message for record in ledger.state.history] == [""]


def test_a_mark_is_remembered_until_the_next_plan_tells_it() -> None:
    ledger = Ledger(WorkspaceState())
    ledger.remember(replacing("b"))
    ledger.remember_outcome("b", p.RevisionOutcome.GOOD)
    ledger.remember_outcome("a", p.RevisionOutcome.GIVEN_UP)
    assert ledger.plan is not None
    assert [(one.revision, str(one.outcome)) for one in ledger.plan.recorded] == [
        ("b", "Good"),
        ("a", "GivenUp"),
    ]


def test_an_approval_is_asked_for_once_a_revision() -> None:
    ledger = Ledger(WorkspaceState())
    for revision in ("b", "b", "c"):
        it = replacing(revision)
        ledger.remember(it)
        ledger.await_approval(it)
    assert [note.message for note in ledger.events] == [
        "Revision b waits for the order `approve`. a to b",
        "Revision c waits for the order `approve`. a to b",
    ]
    assert len({note.key for note in ledger.events}) == 2
    assert ledger.state.phase is p.LifecyclePhase.AWAITING_APPROVAL
