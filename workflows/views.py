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
    spec_revision: str = ""
    """What the spec asks for; another than `revision` after a rollback."""
    mode: p.RolloutMode = p.RolloutMode.NONE
    announcement: str = ""
    """What the rollout changes, how, and what it costs; empty when nothing that serves goes."""
    expected_downtime_seconds: int | None = None
    given_up: p.GivenUp | None = None
    restore: str = ""
    """The good revision that is kept in the stead of the one given up."""
    awaiting_revision: str = ""
    """The revision that waits for `approve`."""
    approved_revision: str = ""
    recorded: list[p.RevisionRecord]
    """Revisions that `rollback` may name, newest first."""
    leftovers: list[str]
    """What a forced deletion left behind."""


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
        spec_revision=plan.spec_revision if plan else "",
        mode=plan.mode if plan else p.RolloutMode.NONE,
        announcement=plan.announcement if plan else "",
        expected_downtime_seconds=plan.expected_downtime_seconds if plan else None,
        given_up=state.given_up,
        restore=state.restore,
        awaiting_revision=state.awaiting_revision,
        approved_revision=state.approved_revision,
        recorded=plan.recorded if plan else [],
        leftovers=state.leftovers,
    )
