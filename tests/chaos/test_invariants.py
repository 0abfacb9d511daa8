"""The judges themselves: a judge that can't find anything wrong is no judge."""

from __future__ import annotations

from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from tests.chaos.invariants import histories_are_sound, unbroken
from tests.chaos.lives import Life
from tests.chaos.recorder import Sight, seconds_unanswered
from workflows.limits import MAX_HISTORY_EVENTS

LIFE = Life("phi", "Surge", [])


def _story(*told: tuple[str, dict[str, Any]], strategy: str = "Surge") -> list[Sight]:
    sights = [Sight(1, "Workspace", "phi", "u", is_gone=False, strategy=strategy)]
    for version, (kind, fields) in enumerate(told, start=2):
        values = {"name": "phi", "is_gone": False, "seen_at": float(version), **fields}
        if kind == "Workspace":
            values["strategy"] = strategy
        sights.append(Sight(version=version, kind=kind, uid="u", **values))
    return sights


def _pod(revision: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    return "Pod", {"name": f"phi-{revision}-0", "revision": revision, **fields}


def _service(revision: str) -> tuple[str, dict[str, Any]]:
    return "Service", {"revision": revision}


def test_traffic_that_moves_from_ready_to_ready_is_unbroken() -> None:
    story = _story(
        _pod("a", is_ready=True),
        _service("a"),
        _pod("b", is_ready=True),
        _service("b"),
        _pod("a", is_gone=True),
    )
    assert unbroken(LIFE, story) == []
    assert seconds_unanswered(story) == 0


def test_a_service_that_leads_to_a_pod_that_is_not_ready_is_found() -> None:
    story = _story(
        _pod("a", is_ready=True), _service("a"), _pod("b"), _service("b"), _pod("b", is_ready=True)
    )
    (wrong,) = unbroken(LIFE, story)
    assert "leads to b" in wrong
    assert seconds_unanswered(story) == 1.0


def test_a_revision_that_is_stopped_while_it_is_selected_is_found() -> None:
    story = _story(_pod("a", is_ready=True), _service("a"), _pod("a", is_deleting=True))
    assert len(unbroken(LIFE, story)) == 1


def test_nothing_is_promised_in_place_nor_before_the_first_answer_nor_after_the_deletion() -> None:
    stopped = (_pod("a", is_ready=True), _service("a"), _pod("a", is_gone=True))
    assert unbroken(LIFE, _story(*stopped, strategy="InPlace")) == []
    assert unbroken(LIFE, _story(_service("a"), _pod("a"))) == []
    deleted = (*stopped[:2], ("Workspace", {"is_deleting": True}), stopped[2])
    assert unbroken(LIFE, _story(*deleted)) == []


def test_failed_tasks_failed_workflows_and_long_histories_are_found() -> None:
    fine = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
    assert histories_are_sound({"one": [fine]}) == []
    for kind in ("WORKFLOW_TASK_FAILED", "WORKFLOW_EXECUTION_FAILED"):
        failed = HistoryEvent(event_type=EventType.Value(f"EVENT_TYPE_{kind}"))
        assert len(histories_are_sound({"one": [fine, failed]})) == 1
    assert len(histories_are_sound({"one": [fine] * (2 * MAX_HISTORY_EVENTS)})) == 1
