"""What a NodeClaim's conditions say, and when its node counts as initialized.

Launched, Registered, Initialized: each waits for the one before it. Ready is all of them, as in
Karpenter's contract, so that whoever reads claims can't tell which of the two served one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.conditions import ConditionStatus, NodeClaimCondition, Reason
from api.errors import trim
from api.payloads import ReportNodeClaimInput
from planner.conditions import legal_reason
from planner.status import is_same, merge_conditions
from planner.world import NodeFacts

_Verdict = tuple[str, str, str]


def render_node_claim_status(
    report: ReportNodeClaimInput, current: Mapping[str, Any], now: datetime, generation: int = 0
) -> dict[str, Any] | None:
    """Return the whole new `.status` of a NodeClaim, or None when nothing differs.

    Args:
        report: What the workflow knows.
        current: The claim's `.status`; what is not ours in it (capacity, others' conditions) stays.
        now: When conditions that change their status did so.
        generation: The claim's generation, if the caller knows it.
    """
    status: dict[str, Any] = {
        **current,
        "conditions": merge_conditions(
            _verdicts(report), current, now, generation=generation, owned=NodeClaimCondition
        ),
    }
    if report.provider_id:
        status["providerID"] = report.provider_id
    if report.node_name:
        status["nodeName"] = report.node_name
    return None if is_same(status, current) else status


def _verdicts(report: ReportNodeClaimInput) -> dict[str, _Verdict]:
    progress = {
        NodeClaimCondition.LAUNCHED: (report.launched, "The machine was asked for."),
        NodeClaimCondition.REGISTERED: (report.registered, "The node joined the cluster."),
        NodeClaimCondition.INITIALIZED: (
            report.initialized,
            "The node is ready and shows its GPUs.",
        ),
    }
    verdicts: dict[str, _Verdict] = {}
    stopped_at: NodeClaimCondition | None = None
    for condition, (is_done, sentence) in progress.items():
        if stopped_at is not None:
            waits = f"Waits for {stopped_at}."
            verdicts[condition] = (ConditionStatus.UNKNOWN, Reason.PENDING, waits)
        elif is_done:
            verdicts[condition] = (ConditionStatus.TRUE, Reason.READY, sentence)
        else:
            stopped_at = condition
            verdicts[condition] = _stopped(report, condition)
    verdicts[NodeClaimCondition.READY] = _ready(report, stopped_at)
    return {str(condition): verdict for condition, verdict in verdicts.items()}


def _stopped(report: ReportNodeClaimInput, condition: NodeClaimCondition) -> _Verdict:
    if report.problem is not None:
        return _problem(report)
    sentence = {
        NodeClaimCondition.LAUNCHED: "The machine is being asked for.",
        NodeClaimCondition.REGISTERED: "The machine starts; its node has not joined yet.",
        NodeClaimCondition.INITIALIZED: "The node joined; it is not ready or shows no GPUs yet.",
    }[condition]
    return ConditionStatus.UNKNOWN, Reason.IN_PROGRESS, sentence


def _ready(report: ReportNodeClaimInput, stopped_at: NodeClaimCondition | None) -> _Verdict:
    if report.problem is not None:
        return _problem(report)
    if stopped_at is not None:
        return ConditionStatus.FALSE, Reason.PENDING, f"Waits for {stopped_at}."
    return ConditionStatus.TRUE, Reason.READY, "The node can be used."


def _problem(report: ReportNodeClaimInput) -> _Verdict:
    reason = report.problem.reason if report.problem else ""
    message = report.problem.message if report.problem else ""
    return ConditionStatus.FALSE, legal_reason(reason), trim(message)


def missing_for_initialized(node: NodeFacts | None, gpu_count: int) -> str:
    """Return what a claim's node lacks, for a heartbeat; an empty string when it lacks nothing."""
    if node is None:
        return "waiting for the node to join"
    if not node.is_ready:
        return f"node {node.name} joined and is not ready yet"
    if node.gpu_capacity < gpu_count:
        return f"node {node.name} shows {node.gpu_capacity} of {gpu_count} GPUs"
    return ""
