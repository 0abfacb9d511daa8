"""A person who waits is told each piece of news once, and the cause when it ends badly."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from onebox import follow
from onebox.progress import Progress


def workspace(*, status: str = "True", observed: int = 2) -> dict[str, Any]:
    condition = {
        "type": "WorkspaceSucceeded",
        "status": status,
        "reason": "InProgress",
        "message": "waits for nodes",
        "observedGeneration": observed,
    }
    return {"metadata": {"name": "w", "generation": 2}, "status": {"conditions": [condition]}}


def test_a_workspace_is_ready_when_its_present_generation_is() -> None:
    assert follow.is_ready(workspace())
    assert not follow.is_ready(workspace(observed=1))
    assert not follow.is_ready(workspace(status="False"))
    assert not follow.is_ready({})


def test_the_timeline_is_told_with_seconds_and_without_steps_to_come() -> None:
    timeline = [
        {"step": "nodes", "state": "done", "seconds": 12.34},
        {"step": "images", "state": "running", "message": "pulling"},
        {"step": "workload", "state": "pending"},
    ]
    assert list(follow.timeline_lines({"status": {"timeline": timeline}})) == [
        ("nodes", "done in 12.3 s"),
        ("images", "running: pulling"),
    ]


def test_news_is_told_once() -> None:
    output = io.StringIO()
    teller = follow.Teller(Progress(output))
    for text in ("0 of 1 ready", "0 of 1 ready", "1 of 1 ready", ""):
        teller.tell("nodes", text)
    assert output.getvalue().count("0 of 1 ready") == 1
    assert output.getvalue().count("\n") == 2


@pytest.mark.parametrize(
    ("details", "text"),
    [
        ([], ""),
        ([b"\xff"], ""),
        ([b'"2 of 3"'], "2 of 3"),
        ([json.dumps({"message": "pulling"}).encode()], "pulling"),
        ([json.dumps("x" * 999).encode()], "x" * follow.HEARTBEAT_CHARACTERS),
    ],
)
def test_heartbeats_of_every_shape_are_read(details: list[bytes], text: str) -> None:
    assert follow.heartbeat_text(details) == text


def test_each_cause_of_a_failure_is_told_once() -> None:
    failed = workspace(status="False")
    failed["status"]["conditions"].append({**failed["status"]["conditions"][0], "type": "Other"})
    assert follow.conditions_text(failed) == "    InProgress, WorkspaceSucceeded: waits for nodes"
