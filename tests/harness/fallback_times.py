"""How long a Workspace's workflow took from a refusal to its next request, by its own history."""

from __future__ import annotations

from api import names
from tests.harness.platform import NAMESPACE, Platform


async def seconds_to_next_request(platform: Platform, name: str) -> float:
    """Return the seconds from the first failed wait for nodes to the next claims that are asked."""
    key = names.workspace_workflow_id(NAMESPACE, name)
    events = next(
        events for found, events in (await platform.histories()).items() if found.startswith(key)
    )
    refused_at = next(
        event.event_time.ToNanoseconds()
        for event in events
        if event.HasField("activity_task_failed_event_attributes")
    )
    asked_at = next(
        event.event_time.ToNanoseconds()
        for event in events
        if event.activity_task_scheduled_event_attributes.activity_type.name == "ensure_node_claims"
        and event.event_time.ToNanoseconds() > refused_at
    )
    return (asked_at - refused_at) / 1e9
