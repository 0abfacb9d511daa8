"""What queries answer."""

from __future__ import annotations

from datetime import datetime

from api import payloads as p
from api.workflow_inputs import WorkspaceState


class WorkspaceView(p.Payload):
    """The answer to the query `status`."""

    phase: p.LifecyclePhase
    generation: int = 0
    revision: str = ""
    active_revision: str = ""
    problem: p.Problem | None = None
    timeline: list[p.StepRecord]
    node_names: list[str]
    failed_offers: list[p.FailedOffer]
    """What was asked for in vain since the operation, or its last attempt, began."""
    is_paused: bool = False
    paused_reason: str = ""
    failures_count: int = 0
    next_look_at: datetime | None = None
    last_refusal: str = ""


def workspace_view(state: WorkspaceState, plan: p.WorkspacePlan | None) -> WorkspaceView:
    """Choose what an operator wants to know from what the workflow remembers."""
    return WorkspaceView(
        phase=state.phase,
        generation=state.generation,
        revision=state.revision,
        active_revision=plan.active_revision if plan else "",
        problem=state.problem,
        timeline=state.timeline,
        node_names=state.node_names,
        is_paused=state.is_paused,
        paused_reason=state.paused_reason,
        failures_count=state.failures_count,
        next_look_at=state.next_wake_at,
        last_refusal=state.last_refusal,
        failed_offers=state.failed_offers,
    )
