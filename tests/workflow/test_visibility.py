"""What operators see of a Workspace in Temporal itself."""

from __future__ import annotations

from temporalio.api.enums.v1 import EventType

from api import names
from api.errors import RuntimeFailed
from api.payloads import LifecyclePhase
from tests.workflow.conftest import WorkspaceEntity
from tests.workflow.fake_world import FakeWorld

MAX_UPSERTS = 7
"""Of a cold start: the first values, the plan's, and one for each phase on the way."""


async def attributes(entity: WorkspaceEntity) -> dict[str, object]:
    described = await entity.handle.describe()
    ours = {*names.KEYWORD_SEARCH_ATTRIBUTES, *names.INT_SEARCH_ATTRIBUTES}
    found = {pair.key.name: pair.value for pair in described.typed_search_attributes}
    return {name: value for name, value in found.items() if name in ours}


async def test_search_attributes_tell_where_a_workspace_is(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    assert await attributes(entity) == {
        "KaitoPhase": "Ready",
        "KaitoNamespace": "default",
        "KaitoPreset": "smollm2",
        "KaitoInstanceType": "onebox.small",
        "KaitoGeneration": 1,
    }


async def test_the_reason_of_a_failure_is_there_as_long_as_it_counts(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.fail("await_workload", RuntimeFailed("crash loop"))
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    found = await attributes(entity)
    assert (found["KaitoPhase"], found["KaitoReason"]) == ("Waiting", "RuntimeFailed")
    await entity.signal("retry")
    await world.until_phase(LifecyclePhase.READY)
    assert "KaitoReason" not in await attributes(entity)


async def test_search_attributes_are_written_only_when_they_change(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    for plans_count in (2, 3, 4):
        await entity.tell_owned()
        await world.until_count("plan_workspace", plans_count)
    (history,) = await entity.histories()
    upserts = [
        event
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES
    ]
    assert len(upserts) <= MAX_UPSERTS


async def test_the_current_details_read_as_a_story(
    entity: WorkspaceEntity, world: FakeWorld
) -> None:
    world.fail("await_workload", RuntimeFailed("crash loop"))
    await entity.tell()
    await world.until_phase(LifecyclePhase.WAITING)
    metadata = await entity.query("__temporal_workflow_metadata")
    details = str(metadata.current_details)
    assert details.startswith("**Waiting**: generation 1, revision rev-a, smollm2 on onebox.small")
    assert "- nodes: done" in details
    assert "Problem: RuntimeFailed: crash loop" in details


async def test_each_activity_has_a_summary(entity: WorkspaceEntity, world: FakeWorld) -> None:
    await entity.tell()
    await world.until_phase(LifecyclePhase.READY)
    (history,) = await entity.histories()
    bare = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
        and not event.user_metadata.summary.data
    ]
    assert bare == []
