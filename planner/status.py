"""A report becomes `.status`: for the person with `kubectl describe`, and only if it differs.

`.status` has one writer, so whatever of ours stands there is replaced. Conditions of other types
are kept: somebody else may own them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from api.conditions import ConditionType
from api.errors import trim
from api.payloads import OperationRecord, ReportInput, Step, StepRecord
from planner.conditions import judge, serves
from planner.fields import objects_at, text_at

_STEP_ORDER = {step: index for index, step in enumerate(Step)}
_OUR_TYPES = frozenset(ConditionType)


def render_status(
    report: ReportInput, current: Mapping[str, Any], now: datetime
) -> dict[str, Any] | None:
    """Return the whole new `.status`, or None when it would say what `current` says already.

    Args:
        report: What the workflow knows.
        current: The object's `.status`; it may be empty.
        now: When conditions that change their status did so.
    """
    verdicts = {
        str(condition): (verdict.status, verdict.reason, verdict.message)
        for condition, verdict in judge(report).items()
    }
    status: dict[str, Any] = {
        **current,
        "phase": str(report.phase),
        "state": _state(report, current),
        "observedGeneration": report.generation,
        "revision": report.revision,
        "activeRevision": report.active_revision,
        "preset": report.preset,
        "instanceType": report.instance_type,
        "targetNodeCount": report.target_node_count,
        "warnings": list(report.warnings),
        "workerNodes": sorted(report.node_names),
        "timeline": [_step(record) for record in _in_order(report.timeline)],
        # A workflow appends; people read the newest first.
        "history": [_operation(record) for record in reversed(report.history)],
        "conditions": merge_conditions(
            verdicts, current, now, generation=report.generation, owned=_OUR_TYPES
        ),
    }
    return None if is_same(status, current) else status


def _state(report: ReportInput, current: Mapping[str, Any]) -> str:
    """Return upstream's word for an inference: once it was ready, it is never pending again.

    It is about whether somebody answers, so a Workspace that was rolled back is ready as well.
    """
    if serves(report):
        return "Ready"
    return "Pending" if text_at(current, "state") in {"", "Pending"} else "NotReady"


def merge_conditions(
    verdicts: Mapping[str, tuple[str, str, str]],
    current: Mapping[str, Any],
    now: datetime,
    *,
    generation: int,
    owned: Iterable[str],
) -> list[dict[str, Any]]:
    """Return the list of conditions: ours by `verdicts`, then those of others as they are.

    A condition's time moves only when its status does; a condition of `owned` without a verdict
    goes.

    Args:
        verdicts: (status, reason, message) by type, in the order in which to show them.
        current: The object's `.status`.
        now: Time of a change of status.
        generation: The generation that was observed; 0 is left out.
        owned: All types that we own.
    """
    before = {text_at(one, "type"): one for one in objects_at(current, "conditions")}
    merged = []
    for condition_type, (status, reason, message) in verdicts.items():
        old = before.get(condition_type, {})
        since = text_at(old, "lastTransitionTime") if text_at(old, "status") == status else ""
        condition: dict[str, Any] = {
            "type": condition_type,
            "status": str(status),
            "reason": str(reason),
            "message": message,
            "lastTransitionTime": since or timestamp(now),
        }
        if generation:
            condition["observedGeneration"] = generation
        merged.append(condition)
    ours = {*owned, *verdicts}
    return merged + [dict(one) for name, one in before.items() if name not in ours]


def is_same(new: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
    """Return whether two statuses say the same; only the order of conditions does not count."""
    return _comparable(new) == _comparable(current)


def _comparable(status: Mapping[str, Any]) -> dict[str, Any]:
    conditions = {text_at(one, "type"): dict(one) for one in objects_at(status, "conditions")}
    return {**status, "conditions": conditions}


def timestamp(moment: datetime) -> str:
    """Return a time as Kubernetes writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _in_order(timeline: Iterable[StepRecord]) -> list[StepRecord]:
    return sorted(timeline, key=lambda record: _STEP_ORDER[record.step])


def _step(record: StepRecord) -> dict[str, Any]:
    return {
        "step": str(record.step),
        "state": str(record.state),
        "seconds": round(record.seconds, 1),
        "reason": record.reason,
        "message": trim(record.message),
        "attempts": record.attempts,
    }


def _operation(record: OperationRecord) -> dict[str, Any]:
    line: dict[str, Any] = {
        "revision": record.revision,
        "generation": record.generation,
        "outcome": str(record.outcome),
        "reason": record.reason,
        "message": trim(record.message),
        "seconds": round(record.seconds, 1),
    }
    if record.finished_at is not None:
        line["finishedAt"] = timestamp(record.finished_at)
    return line
