"""Counts: requests of a worker to the API server, activities and events of histories."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from temporalio.api.enums.v1 import EventType

from tests.harness.platform import Platform

WRITE_VERBS: Final = frozenset({"create", "update", "patch", "apply", "delete"})

NOT_OF_A_WORKSPACE: Final = frozenset({"leases"})
"""The watcher's election goes on whether there are Workspaces or not."""

_SAMPLE: Final = re.compile(
    r'^kaito_api_requests_total\{resource="([^"]*)",verb="([^"]*)"\} (\S+)$'
    r'|^kaito_api_requests_total\{verb="([^"]*)",resource="([^"]*)"\} (\S+)$',
    re.MULTILINE,
)


def parse_writes(text: str) -> Counter[str]:
    """Return writes by "verb resource" from a page of Prometheus metrics."""
    writes: Counter[str] = Counter()
    for match in _SAMPLE.finditer(text):
        resource, verb, value = (
            match.group(1, 2, 3) if match[1] is not None else match.group(5, 4, 6)
        )
        if verb in WRITE_VERBS and resource not in NOT_OF_A_WORKSPACE:
            writes[f"{verb} {resource}"] += int(float(value))
    return writes


async def writes_of(platform: Platform) -> Counter[str]:
    """Return the writes of all workers so far."""
    total: Counter[str] = Counter()
    for name in platform.workers:
        _, text = await platform.ask_worker("/metrics", name)
        total += parse_writes(text)
    return total


async def histories_of(platform: Platform, kind: str) -> tuple[int, int, int]:
    """Return (workflows, activities, events) of all histories whose id begins with `kind`/."""
    workflows = activities = events = 0
    for key, history in (await platform.histories()).items():
        if key.startswith(f"{kind}/"):
            workflows += 1
            events += len(history)
            activities += sum(
                event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
                for event in history
            )
    return workflows, activities, events
