"""Newer specs, hints of every kind, and what they do to work in flight."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from api.errors import AccessDenied, RuntimeFailed
from api.payloads import DesiredChanged, LifecyclePhase
from tests.workflow.conftest import WorkspaceEntity
from tests.workflow.fake_world import FakeWorld

WAITS = ("await_nodes", "pull_images", "await_workload", "verify_endpoint")
QUICK = ("adopt_workspace", "ensure_node_claims", "ensure_workload", "ensure_traffic")


@pytest.mark.parametrize("name", [*WAITS, *QUICK, "report_status", "plan_workspace"])
async def test_a_newer_spec_replaces_the_work_in_flight(
    entity: WorkspaceEntity, world: FakeWorld, name: str
) -> None:
    world.close_gate(name)
    await entity.tell()
    await world.until(lambda: world.running[name] == 1)
    world.edit("b")
    await entity.tell()
    if name in WAITS and name != "pull_images":
        # A wait that only reads is left alone at once; the others must end first.
        await world.until(lambda: world.count("plan_workspace") == 2)
    world.open_gate(name)
    await world.until(lambda: world.mine.service == "rev-b")
    report = await world.until_phase(LifecyclePhase.READY)
    assert report.generation == 2
    assert list(world.mine.workloads) == ["rev-b"]
    # What was replaced did not run on to its end: it moved no traffic.
    assert world.count("ensure_traffic") == (2 if name == "ensure_traffic" else 1)


async def test_the_replaced_operation_stands_in_the_history(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.close_gate("await_workload")
    await entity.tell()
    await world.until(lambda: world.running["await_workload"] == 1)
    world.edit("b")
    await entity.tell()
    world.open_gate("await_workload")
    report = await world.until_phase(LifecyclePhase.READY)
    assert [(one.revision, one.outcome) for one in report.history] == [
        ("rev-a", "Superseded"),
        ("rev-b", "Succeeded"),
    ]


async def test_no_activity_that_writes_overlaps_with_what_replaced_it(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.close_gate("ensure_workload")
    await entity.tell()
    await world.until(lambda: world.running["ensure_workload"] == 1)
    world.edit("b")
    await entity.tell()
    await entity.query("status")  # The signal was handled, and still nothing else runs:
    assert world.count("plan_workspace") == 1
    world.open_gate("ensure_workload")
    await world.until_phase(LifecyclePhase.READY)


async def test_a_burst_of_edits_ends_at_the_last_one(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    for spec in "bcdefgh":
        world.edit(spec)
        await entity.tell()
    await world.until(lambda: world.mine.service == "rev-h")
    report = await world.until_phase(LifecyclePhase.READY)
    assert report.generation == 8
    assert list(world.mine.workloads) == ["rev-h"]


async def test_a_hint_about_an_owned_object_does_not_restart_the_operation(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.close_gate("await_workload")
    await entity.tell()
    await world.until(lambda: world.running["await_workload"] == 1)
    for _ in range(5):
        await entity.tell_owned()
    await entity.query("status")
    assert world.count("plan_workspace") == 1
    world.open_gate("await_workload")
    await world.until_phase(LifecyclePhase.READY)
    await world.until(lambda: world.count("plan_workspace") == 2)
    assert world.count("await_workload") == 1


async def test_a_duplicate_or_late_hint_changes_nothing(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell(resource_version="10")
    world.edit("b")
    await entity.tell(resource_version="11")
    await world.until(lambda: world.mine.service == "rev-b")
    await world.until_phase(LifecyclePhase.READY)
    plans_count, reports_count = world.count("plan_workspace"), len(world.reports)
    await entity.tell(resource_version="11")  # the same again: not even a look
    await entity.query("status")
    assert world.count("plan_workspace") == plans_count
    await entity.tell(resource_version="10", generation=1)  # late: a look, and nothing to do
    await world.until(lambda: world.count("plan_workspace") == plans_count + 1)
    await entity.query("status")
    assert len(world.reports) == reports_count


async def test_a_hint_that_lies_about_the_generation_costs_a_few_looks_and_no_more(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    await entity.settled()
    await entity.tell(generation=999)
    await environment.sleep(timedelta(seconds=30))
    assert world.count("plan_workspace") <= 1 + 5


async def test_a_plan_older_than_its_hint_is_made_again(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    # The cache of the worker that plans has not seen the new object yet.
    world.lagging_plans.append(None)
    await entity.tell()
    await world.until(lambda: world.count("plan_workspace") == 1)
    await environment.sleep(timedelta(seconds=2))
    await world.until_phase(LifecyclePhase.READY)
    assert world.count("plan_workspace") == 2


async def test_a_crash_loop_that_hints_at_each_crash_does_not_beat_the_backoff(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.fail("await_workload", RuntimeFailed("crash loop"))
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    for plans_count in (2, 3, 4):
        await entity.tell_owned()
        await world.until_count("plan_workspace", plans_count)
    assert world.count("await_workload") == 1
    await environment.sleep(timedelta(seconds=40))
    await world.until_phase(LifecyclePhase.READY)


async def test_a_world_that_mended_itself_ends_the_delay(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.fail("await_workload", RuntimeFailed("crash loop"))
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    world.mine.workloads["rev-a"] = True
    await entity.tell_owned()
    report = await world.until_phase(LifecyclePhase.READY)
    assert report.problem is None
    assert world.count("await_workload") == 1


async def test_a_lost_pod_is_repaired_after_a_hint(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    world.mine.workloads["rev-a"] = False
    await entity.tell_owned()
    await world.until(lambda: len(world.reports[-1].history) == 2)
    report = world.reports[-1]
    assert [record.step for record in report.timeline] == ["workload", "endpoint"]
    assert len([note for note in world.events.values() if note.reason == "Ready"]) == 2


async def test_a_resync_repairs_what_no_hint_told(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    world.mine.service = ""
    await environment.sleep(timedelta(minutes=12, seconds=1))
    await world.until(lambda: world.mine.service == "rev-a")


async def test_a_quiet_day_costs_looks_and_no_report(
    environment: WorkflowEnvironment, entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    before = len(world.calls)
    await environment.sleep(timedelta(hours=24))
    looks = world.calls[before:]
    assert set(looks) == {"plan_workspace"}
    assert 110 <= len(looks) <= 185, "one look in 10 min, jittered by 20 %"


async def test_a_hint_without_any_field_is_a_look(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    plans_count = world.count("plan_workspace")
    await entity.signal("desired_changed")
    await world.until(lambda: world.count("plan_workspace") == plans_count + 1)
    await entity.signal("desired_changed", DesiredChanged())
    await world.until(lambda: world.count("plan_workspace") == plans_count + 2)


async def test_claims_that_a_smaller_spec_does_not_use_are_given_up_after_the_traffic_moved(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.claims_wanted = 2
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    assert len(world.mine.claims) == 2
    world.claims_wanted = 1
    world.edit("smaller")
    await entity.tell()
    await world.until(lambda: world.count("release_surplus_claims") == 1)
    await world.until_phase(LifecyclePhase.READY)
    assert world.mine.claims == {"claim-uid-1-0"}
    calls = world.calls
    assert calls.index("release_surplus_claims") > len(calls) - 1 - calls[::-1].index(
        "ensure_traffic"
    )


async def test_surplus_claims_that_can_not_be_given_up_now_are_no_failure(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.claims_wanted = 2
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    world.claims_wanted = 1
    world.fail("release_surplus_claims", AccessDenied("may not delete nodeclaims"))
    await entity.tell_owned()
    await world.until(lambda: world.count("release_surplus_claims") == 1)
    await entity.tell_owned()
    await world.until(lambda: world.mine.claims == {"claim-uid-1-0"})
    assert world.reports[-1].problem is None
