"""The way back: a revision that fails is given up once, and an operator may go back to any."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from api.errors import (
    AccessDenied,
    ClusterUnavailable,
    DeadlineExceeded,
    InsufficientCapacity,
    InvalidWorkspace,
    MissingReference,
    PlatformError,
    RuntimeFailed,
)
from api.payloads import (
    EventKind,
    LifecyclePhase,
    OperatorOrder,
    ReportInput,
    RevisionOutcome,
    RollbackOrder,
    RolloutMode,
)
from tests.workflow.conftest import WorkspaceEntity
from tests.workflow.fake_world import FakeWorld
from tests.workflow.test_rollout import edited, ready

CRASH = RuntimeFailed("the model server ended with code 1")
BOTH = [RolloutMode.IN_PLACE, RolloutMode.SURGE]
BLAMED = ["pull_images", "ensure_workload", "await_workload", "verify_endpoint"]


async def rolled_back(
    entity: WorkspaceEntity,
    world: FakeWorld,
    name: str = "await_workload",
    error: PlatformError = CRASH,
) -> ReportInput:
    """Make a Workspace ready, then an edit that fails; return the report of the way back."""
    await ready(entity, world)
    world.broken[name, "rev-b"] = error
    world.edit("b")
    await entity.tell()
    return await world.until_phase(LifecyclePhase.ROLLED_BACK)


def notes(world: FakeWorld, reason: str) -> list[str]:
    return [note.message for note in world.events.values() if note.reason == reason]


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("name", BLAMED)
@pytest.mark.parametrize("error", [CRASH, MissingReference("no such image")])
async def test_a_revision_that_fails_is_given_up_and_the_good_one_serves(
    entity: WorkspaceEntity, world: FakeWorld, mode: RolloutMode, name: str, error: PlatformError
) -> None:
    world.mode = mode
    report = await rolled_back(entity, world, name, error)
    assert world.mine.service == "rev-a"
    assert world.mine.workloads == {"rev-a": True}
    assert report.problem is None
    assert report.given_up is not None
    assert report.given_up.revision == "rev-b"
    assert report.given_up.problem.message == str(error)
    assert (report.revision, report.spec_revision) == ("rev-a", "rev-b")
    assert [(one.revision, one.outcome) for one in report.history] == [
        ("rev-a", "Succeeded"),
        ("rev-b", "GivenUp"),
        ("rev-a", "Restored"),
    ]
    assert world.mine.records == {
        "rev-a": RevisionOutcome.GOOD,
        "rev-b": RevisionOutcome.GIVEN_UP,
    }
    assert world.count(name) <= 3, "one try for each, and perhaps one for what is restored"
    assert world.workspace is not None
    assert world.workspace.spec == "b", "the spec stays as its author left it"


async def test_by_surge_the_service_never_leaves_the_good_revision(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.mode = RolloutMode.SURGE
    await rolled_back(entity, world)
    assert world.count("ensure_traffic") == 1
    assert world.retired == [["rev-b"]]


async def test_in_place_what_is_brought_back_says_how_long_nobody_answered(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    report = await rolled_back(entity, world)
    assert report.history[-1].message.startswith("nobody answered for ")


async def test_images_that_do_not_come_touch_nothing_that_serves(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await rolled_back(entity, world, "pull_images", MissingReference("no such image"))
    assert world.retired == []
    assert world.reports[-1].history[-1].outcome == "Restored"


async def test_the_way_back_is_told_as_it_goes(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await ready(entity, world)
    world.broken["await_workload", "rev-b"] = CRASH
    world.edit("b")
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.RESTORING)
    assert report.given_up is not None
    (told,) = notes(world, "RuntimeFailed")
    assert told == (
        "Revision rev-b failed: the model server ended with code 1. Revision rev-a is brought back."
    )
    await world.until_phase(LifecyclePhase.ROLLED_BACK)
    (told,) = notes(world, "RolledBack")
    assert told.startswith("Revision rev-a serves again after ")
    assert told.endswith("Correct the spec, or send `retry`.")


async def test_a_revision_is_tried_once_and_at_rest_nothing_happens_but_looks(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await rolled_back(entity, world)
    await entity.settled()
    before = len(world.calls)
    await environment.sleep(timedelta(hours=24))
    assert set(world.calls[before:]) == {"plan_workspace"}
    assert world.reports[-1].phase is LifecyclePhase.ROLLED_BACK
    asked = world.plan_inputs[-1]
    assert (asked.given_up, asked.restore) == ("rev-b", "rev-a")


async def test_it_is_still_given_up_in_the_next_run(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    entity.passes_per_run = 1
    await rolled_back(entity, world)
    await entity.tell_owned()
    plans_count = world.count("plan_workspace")
    await world.until(lambda: world.count("plan_workspace") > plans_count)
    view = await entity.query("status")
    assert view["given_up"]["revision"] == "rev-b"
    assert world.count("await_workload") == 3


async def test_another_edit_is_another_try(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await rolled_back(entity, world)
    report = await edited(entity, world, "c")
    assert report.given_up is None
    assert world.mine.records["rev-c"] is RevisionOutcome.GOOD


async def test_an_edit_back_to_what_serves_needs_no_step(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await rolled_back(entity, world)
    ensured = world.count("ensure_workload")
    report = await edited(entity, world, "a")
    assert report.given_up is None
    assert world.count("ensure_workload") == ensured


async def test_a_touch_of_the_spec_that_changes_no_revision_is_no_other_try(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await rolled_back(entity, world)
    tries = world.count("await_workload")
    world.edit("b")
    await entity.tell()
    await world.until(lambda: world.reports[-1].generation == 3)
    await world.until_phase(LifecyclePhase.ROLLED_BACK)
    assert world.count("await_workload") == tries


async def test_a_retry_tries_the_revision_again_and_may_give_it_up_again(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await rolled_back(entity, world)
    await entity.signal("retry", OperatorOrder(reason="perhaps now"))
    await world.until(lambda: len(notes(world, "RolledBack")) == 2)
    assert len(notes(world, "RuntimeFailed")) == 2
    world.broken.clear()
    await entity.signal("retry")
    report = await world.until_phase(LifecyclePhase.READY)
    assert world.mine.service == "rev-b"
    assert report.given_up is None
    assert world.mine.records["rev-b"] is RevisionOutcome.GOOD


async def test_a_retry_in_the_middle_of_the_way_back_turns_round(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    world.fail("verify_endpoint", CRASH)
    world.edit("b")
    world.close_gate("await_workload")
    await entity.tell()
    await world.until(lambda: world.running["await_workload"] == 1)
    world.open_gate("await_workload")
    await world.until(lambda: world.count("verify_endpoint") == 2)
    world.close_gate("await_workload")
    await world.until(lambda: world.running["await_workload"] == 1)
    await entity.signal("retry")
    await world.until(lambda: world.retired[-1] == ["rev-a"] and len(world.retired) == 3)
    world.open_gate("await_workload")
    report = await world.until_phase(LifecyclePhase.READY)
    assert world.mine.service == "rev-b"
    assert [one.outcome for one in report.history] == [
        "Succeeded",
        "GivenUp",
        "Superseded",
        "Succeeded",
    ]


async def test_a_way_back_that_fails_is_shown_and_tried_again_and_gives_up_nothing(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    await edited(entity, world, "b")
    world.broken["await_workload", "rev-c"] = CRASH
    world.broken["await_workload", "rev-b"] = MissingReference("the node lost its disk")
    world.edit("c")
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.WAITING)
    assert report.problem is not None
    assert report.problem.message == "the node lost its disk"
    assert report.given_up is not None
    await environment.sleep(timedelta(minutes=5))
    assert "rev-a" not in world.mine.workloads, "no older one is tried in the stead of the good one"
    world.broken.pop(("await_workload", "rev-b"))
    await environment.sleep(timedelta(minutes=15))
    report = await world.until_phase(LifecyclePhase.ROLLED_BACK)
    assert world.mine.service == "rev-b"
    assert report.problem is None


@pytest.mark.parametrize(
    "error", [InsufficientCapacity("no GPU is free"), ClusterUnavailable("connection refused")]
)
async def test_what_is_not_the_revisions_fault_gives_up_nothing(
    environment: WorkflowEnvironment,
    entity: WorkspaceEntity,
    world: FakeWorld,
    error: PlatformError,
) -> None:
    await ready(entity, world)
    world.fail("await_workload", error)
    world.edit("b")
    await entity.tell()
    await world.until(lambda: world.count("await_workload") >= 2)
    await environment.sleep(timedelta(seconds=60))
    report = await world.until_phase(LifecyclePhase.READY)
    assert world.mine.service == "rev-b"
    assert "GivenUp" not in {one.outcome for one in report.history}


@pytest.mark.parametrize("name", ["await_nodes", "retire_workloads", "ensure_traffic"])
async def test_neither_is_a_step_that_the_spec_has_no_part_in(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld, name: str
) -> None:
    await ready(entity, world)
    world.fail(name, DeadlineExceeded("in its own words"))
    world.claims_wanted = 2 if name == "await_nodes" else 1
    world.edit("b")
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    await environment.sleep(timedelta(seconds=60))
    report = await world.until_phase(LifecyclePhase.READY)
    assert "GivenUp" not in {one.outcome for one in report.history}


async def test_what_serves_and_falls_ill_is_repaired_and_not_replaced_by_an_older_one(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    await edited(entity, world, "b")
    world.fail("await_workload", CRASH)
    world.mine.workloads["rev-b"] = False
    await entity.tell_owned()
    await world.until_phase(LifecyclePhase.WAITING)
    await environment.sleep(timedelta(seconds=60))
    report = await world.until_phase(LifecyclePhase.READY)
    assert report.given_up is None
    assert world.mine.service == "rev-b"


async def test_without_automatic_rollback_a_failure_waits_as_before(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.auto_rollback = False
    await ready(entity, world)
    world.broken["pull_images", "rev-b"] = MissingReference("no such image")
    world.edit("b")
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.FAILED)
    assert report.given_up is None
    assert world.mine.service == "rev-a"


async def test_the_one_that_serves_is_brought_back_and_not_the_newest_good_one(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    await edited(entity, world, "b")
    await edited(entity, world, "a")
    world.mine.records = {"rev-a": RevisionOutcome.GOOD, "rev-b": RevisionOutcome.GOOD}
    world.broken["await_workload", "rev-c"] = CRASH
    world.edit("c")
    await entity.tell()
    await world.until_phase(LifecyclePhase.ROLLED_BACK)
    assert world.mine.service == "rev-a"


async def test_what_serves_counts_as_good_though_its_mark_was_lost(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.fail("mark_revision", AccessDenied("may not patch controllerrevisions"))
    await rolled_back(entity, world)
    assert world.mine.service == "rev-a"


async def test_when_the_record_to_keep_is_gone_another_good_one_is_kept(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    await edited(entity, world, "c")
    world.broken["await_workload", "rev-b"] = CRASH
    world.edit("b")
    await entity.tell()
    await world.until_phase(LifecyclePhase.ROLLED_BACK)
    assert world.mine.service == "rev-c"
    del world.mine.records["rev-c"]
    await entity.tell_owned()
    await world.until(lambda: world.mine.service == "rev-a")
    await world.until_phase(LifecyclePhase.ROLLED_BACK)


async def test_when_no_record_is_left_to_keep_the_failure_is_shown(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await rolled_back(entity, world)
    tries = world.count("await_workload")
    del world.mine.records["rev-a"]
    await entity.tell_owned()
    report = await world.until_phase(LifecyclePhase.FAILED)
    assert report.problem is not None
    assert report.problem.reason == "RuntimeFailed"
    assert world.count("await_workload") == tries
    assert world.mine.service == "rev-a", "what serves is left alone"


# --- A first revision ----------------------------------------------------------------------------


@pytest.mark.parametrize("frees", [False, True])
async def test_a_first_revision_that_fails_keeps_or_frees_what_it_holds(
    entity: WorkspaceEntity, world: FakeWorld, frees: bool
) -> None:
    world.frees_failed = frees
    world.broken["verify_endpoint", "rev-a"] = MissingReference("no such model")
    await entity.tell()
    report = await world.until_phase(LifecyclePhase.FAILED)
    assert report.given_up is None
    if not frees:
        await entity.query("status")
        assert world.mine.workloads == {"rev-a": True}
        assert world.count("release_surplus_claims") == 0
        return
    await world.until(lambda: world.mine.claims == set())
    assert world.mine.workloads == {}
    world.broken.clear()
    await entity.signal("retry")
    await world.until_phase(LifecyclePhase.READY)


# --- Edits, deletions and pauses on the way back -------------------------------------------------


async def held_on_the_way_back(entity: WorkspaceEntity, world: FakeWorld) -> None:
    """Stop where the good revision's pods are waited for."""
    await ready(entity, world)
    world.broken["verify_endpoint", "rev-b"] = CRASH
    world.close_gate("verify_endpoint")
    world.edit("b")
    await entity.tell()
    await world.until(lambda: world.running["verify_endpoint"] == 1)
    world.close_gate("await_workload")
    world.open_gate("verify_endpoint")
    await world.until(lambda: world.running["await_workload"] == 1)
    assert world.reports[-1].phase is LifecyclePhase.RESTORING


async def test_an_edit_on_the_way_back_is_carried_out_instead(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await held_on_the_way_back(entity, world)
    world.edit("c")
    await entity.tell()
    await world.until(lambda: world.workspace is not None and len(world.plan_inputs) == 4)
    world.open_gate("await_workload")
    report = await world.until_phase(LifecyclePhase.READY)
    assert report.active_revision == "rev-c"
    assert report.given_up is None
    assert [one.outcome for one in report.history] == [
        "Succeeded",
        "GivenUp",
        "Superseded",
        "Succeeded",
    ]
    assert report.history[-1].message.startswith("nobody answered for ")


async def test_a_deletion_on_the_way_back_leaves_nothing(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await held_on_the_way_back(entity, world)
    world.delete()
    await entity.tell()
    world.open_gate("await_workload")
    await entity.ended()
    assert world.owned["uid-1"].leftovers() == []
    assert world.reports[-1].given_up is None


async def test_a_pause_holds_the_way_back_between_its_steps(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await held_on_the_way_back(entity, world)
    verified = world.count("verify_endpoint")
    await entity.signal("pause")
    world.open_gate("await_workload")
    await world.until_phase(LifecyclePhase.PAUSED)
    assert world.count("verify_endpoint") == verified
    await entity.signal("resume")
    await world.until_phase(LifecyclePhase.ROLLED_BACK)


async def until_rolled_back_from(world: FakeWorld, revision: str) -> None:
    await world.until(
        lambda: (
            world.reports[-1].phase is LifecyclePhase.ROLLED_BACK
            and world.reports[-1].spec_revision == revision
        )
    )


async def test_specs_that_flap_make_no_history_without_end(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    entity.passes_per_run = 2
    await ready(entity, world)
    for spec in "bcbcbc":
        world.broken["await_workload", f"rev-{spec}"] = CRASH
        world.edit(spec)
        await entity.tell()
        await until_rolled_back_from(world, f"rev-{spec}")
    assert len(world.reports[-1].history) <= 10
    assert len(await entity.histories()) > 2
    assert max(len(one.events) for one in await entity.histories()) < 400


# --- The order `rollback` ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argument",
    [
        (),
        (None,),
        ("too slow",),
        ({"reason": "too slow"},),
        ({"revision": "rev-a"},),
        (RollbackOrder(revision="rev-a", reason="too slow"),),
    ],
)
async def test_an_order_brings_the_earlier_revision_back_and_the_spec_with_it(
    entity: WorkspaceEntity, world: FakeWorld, argument: tuple[object, ...]
) -> None:
    await ready(entity, world)
    await edited(entity, world, "b")
    await entity.signal("rollback", *argument)
    await world.until(lambda: world.mine.service == "rev-a")
    report = await world.until_phase(LifecyclePhase.READY)
    assert world.workspace is not None
    assert (world.workspace.spec, report.generation) == ("a", 3)
    told = "too slow" if "too slow" in str(argument) else "no reason given"
    assert notes(world, "RollbackOrdered") == [
        f"The spec goes back to revision rev-a, as ordered: {told}"
    ]
    assert report.history[-1].message.startswith(f"rolled back by order: {told}")
    assert report.history[-1].outcome == "Succeeded"
    assert world.count("restore_spec") == 1


async def test_a_rollback_after_a_failed_edit_needs_no_step_and_ends_ready(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await rolled_back(entity, world)
    await entity.signal("rollback", "leave it")
    report = await world.until_phase(LifecyclePhase.READY)
    assert world.workspace is not None
    assert world.workspace.spec == "a"
    assert report.given_up is None
    assert report.history[-1].message == "rolled back by order: leave it"


async def test_a_rollback_during_an_operation_supersedes_it(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.mode = RolloutMode.SURGE
    await ready(entity, world)
    world.close_gate("await_workload")
    world.edit("b")
    await entity.tell()
    await world.until(lambda: world.running["await_workload"] == 1)
    await entity.signal("rollback", "not today")
    await world.until(lambda: world.count("restore_spec") == 1)
    await entity.tell()
    world.open_gate("await_workload")
    report = await world.until_phase(LifecyclePhase.READY)
    assert report.generation == 3
    assert world.mine.workloads == {"rev-a": True}
    assert [one.outcome for one in report.history] == ["Succeeded", "Superseded", "Succeeded"]


async def test_the_hint_of_our_own_write_does_not_lose_the_order(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    await edited(entity, world, "b")
    world.close_gate("restore_spec")
    await entity.signal("rollback", "too slow")
    await world.until(lambda: world.running["restore_spec"] == 1)
    await entity.tell(generation=3)
    world.open_gate("restore_spec")
    await world.until(lambda: world.mine.service == "rev-a")
    report = await world.until_phase(LifecyclePhase.READY)
    assert notes(world, "RollbackOrdered")
    assert report.history[-1].message.startswith("rolled back by order: too slow")


async def test_a_write_whose_answer_was_lost_is_known_for_ours(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    await edited(entity, world, "b")
    world.lose("restore_spec")
    await entity.signal("rollback", "too slow")
    await world.until(lambda: world.mine.service == "rev-a")
    assert world.count("restore_spec") == 2
    assert notes(world, "OrderRefused") == []
    assert len(notes(world, "RollbackOrdered")) == 1


async def test_an_edit_at_the_same_moment_wins_over_the_order(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    await edited(entity, world, "b")
    world.close_gate("restore_spec")
    await entity.signal("rollback")
    await world.until(lambda: world.running["restore_spec"] == 1)
    world.edit("c")
    await entity.tell()
    world.open_gate("restore_spec")
    await world.until(lambda: world.mine.service == "rev-c")
    (refusal,) = notes(world, "OrderRefused")
    assert "edited at the same moment" in refusal


async def test_a_spec_that_can_not_be_written_is_told_and_nothing_else_happens(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    await edited(entity, world, "b")
    world.fail("restore_spec", InvalidWorkspace("spec.resource: no such field"))
    await entity.signal("rollback")
    await world.until(lambda: bool(notes(world, "InvalidWorkspace")))
    assert world.mine.service == "rev-b"
    assert (await entity.query("status"))["phase"] == "Ready"


@pytest.mark.parametrize(
    ("revision", "why"),
    [
        ("rev-x", "no revision rev-x is recorded; recorded are: rev-b, rev-a"),
        ("rev-b", "revision rev-b is what the spec asks for already"),
    ],
)
async def test_an_order_for_the_wrong_revision_is_refused(
    entity: WorkspaceEntity, world: FakeWorld, revision: str, why: str
) -> None:
    await ready(entity, world)
    await edited(entity, world, "b")
    plans_count = world.count("plan_workspace")
    await entity.tell_owned()
    await world.until(lambda: world.count("plan_workspace") > plans_count)
    await entity.signal("rollback", RollbackOrder(revision=revision))
    await world.until(lambda: bool(notes(world, "OrderRefused")))
    assert notes(world, "OrderRefused") == [f"The order `rollback` was not followed: {why}"]
    assert world.count("restore_spec") == 0


async def test_an_order_for_a_revision_that_was_given_up_is_refused(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await rolled_back(entity, world)
    await edited(entity, world, "c")
    await entity.signal("rollback", {"revision": "rev-b"})
    await world.until(lambda: bool(notes(world, "OrderRefused")))
    assert "failed and was given up" in notes(world, "OrderRefused")[0]


async def test_an_order_during_a_deletion_is_refused(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    await edited(entity, world, "b")
    world.close_gate("delete_workloads")
    world.delete()
    await entity.tell()
    await world.until(lambda: world.running["delete_workloads"] == 1)
    await entity.signal("rollback")
    await world.until(lambda: bool(notes(world, "OrderRefused")))
    world.open_gate("delete_workloads")
    await entity.ended()
    assert world.count("restore_spec") == 0


async def test_an_order_that_comes_before_the_first_plan_of_a_run_is_followed(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    await edited(entity, world, "b")
    await entity.terminate()
    world.close_gate("plan_workspace")
    await entity.tell()
    await world.until(lambda: world.running["plan_workspace"] == 1)
    await entity.signal("rollback", "too slow")
    world.open_gate("plan_workspace")
    await world.until(lambda: world.mine.service == "rev-a")


async def test_an_order_while_paused_writes_the_spec_and_waits_with_the_steps(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    await edited(entity, world, "b")
    await entity.signal("pause")
    await world.until_phase(LifecyclePhase.PAUSED)
    await entity.signal("rollback")
    await world.until(lambda: world.reports[-1].generation == 3)
    assert world.mine.service == "rev-b"
    await entity.signal("resume")
    await world.until(lambda: world.mine.service == "rev-a")


async def test_an_unmarked_failure_is_marked_when_the_good_one_serves(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await ready(entity, world)
    world.broken["await_workload", "rev-b"] = CRASH
    world.fail("mark_revision", AccessDenied("may not patch controllerrevisions"))
    world.edit("b")
    await entity.tell()
    await world.until_phase(LifecyclePhase.ROLLED_BACK)
    assert world.mine.records["rev-b"] is RevisionOutcome.GIVEN_UP
    mark = world.marks[-1]
    assert (mark.message, mark.keep) == (str(CRASH), ["rev-a", "rev-b"])


async def test_every_note_of_the_way_back_is_a_warning(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await rolled_back(entity, world)
    kinds = {note.reason: note.kind for note in world.events.values()}
    assert kinds["RuntimeFailed"] is kinds["RolledBack"] is EventKind.WARNING


async def test_what_is_restored_is_not_adopted_in_the_name_of_the_spec(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await rolled_back(entity, world)
    adoptions, plans_count = world.count("adopt_workspace"), world.count("plan_workspace")
    assert world.workspace is not None
    world.workspace.finalizer = False  # The next plan says "not adopted".
    await entity.tell_owned()
    await world.until_count("plan_workspace", plans_count + 1)
    await entity.tell_owned()
    await world.until_count("plan_workspace", plans_count + 2)
    assert world.count("adopt_workspace") == adoptions


async def test_a_retry_while_a_plan_is_made_is_not_answered_by_that_plan(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await rolled_back(entity, world)
    world.close_gate("plan_workspace")
    await entity.tell_owned()
    await world.until(lambda: world.running["plan_workspace"] == 1)
    before = len(world.reports)
    world.broken.clear()
    await entity.signal("retry")
    await entity.query("status")
    world.open_gate("plan_workspace")
    await world.until_phase(LifecyclePhase.READY)
    assert {report.spec_revision for report in world.reports[before:]} == {"rev-b"}
    assert {report.revision for report in world.reports[before:]} == {"rev-b"}


async def test_what_serves_and_fails_is_not_given_back(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.frees_failed = True
    await ready(entity, world)
    world.fail("await_workload", MissingReference("no such secret"))
    world.mine.workloads["rev-a"] = False
    await entity.tell_owned()
    await world.until_phase(LifecyclePhase.FAILED)
    await entity.query("status")
    assert world.count("retire_workloads") == 0
    assert world.mine.claims
