"""Whose log tells why a pod fails."""

from __future__ import annotations

from typing import Any

import pytest

from planner.pod_logs import SilentEnd, silent_end


def ended(code: int = 1, **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, **more}}


def pod(**fields: Any) -> dict[str, Any]:
    return {"status": fields}


def server(**status: Any) -> dict[str, Any]:
    return {"name": "server", "restartCount": 1, **status}


@pytest.mark.parametrize(
    ("status", "end"),
    [
        ({"state": ended()}, SilentEnd("server", is_previous=False, restart_count=1)),
        (
            {"state": {"running": {}}, "lastState": ended()},
            SilentEnd("server", is_previous=True, restart_count=1),
        ),
        (
            {"state": ended(137, reason="OOMKilled")},
            SilentEnd("server", is_previous=False, restart_count=1),
        ),
        ({"state": ended(message="why")}, None),
        ({"state": ended(0)}, None),
        ({"state": {"running": {}}}, None),
        ({}, None),
    ],
)
def test_the_log_is_asked_for_only_where_a_container_failed_and_said_nothing(
    status: dict[str, Any], end: SilentEnd | None
) -> None:
    assert silent_end(pod(containerStatuses=[server(**status)])) == end


def test_an_init_container_that_failed_is_asked_before_the_server() -> None:
    first = {"name": "weights", "restartCount": 2, "state": ended()}
    found = silent_end(pod(initContainerStatuses=[first], containerStatuses=[server()]))
    assert found == SilentEnd("weights", is_previous=False, restart_count=2)


def test_an_object_of_odd_types_has_no_end() -> None:
    assert silent_end({"status": {"containerStatuses": [None, 1, {"state": "x"}]}}) is None
