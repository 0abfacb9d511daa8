"""What the two entity workflows are started with, and what they carry through continue-as-new."""

from __future__ import annotations

from datetime import datetime

from api import payloads as p


class WorkspaceState(p.Payload):
    """What a WorkspaceWorkflow remembers between passes; new fields need defaults."""

    uid: str = ""
    """Object that the workflow works for; empty until the first plan."""
    generation: int = 0
    revision: str = ""
    phase: p.LifecyclePhase = p.LifecyclePhase.PENDING
    timeline: list[p.StepRecord] = []
    history: list[p.OperationRecord] = []
    problem: p.Problem | None = None
    failures_count: int = 0
    """Failed passes in a row; it sets the delay of the next slow retry."""
    is_paused: bool = False
    paused_reason: str = ""
    operation_started_at: datetime | None = None
    next_wake_at: datetime | None = None
    """Absolute, because timers do not survive continue-as-new."""
    has_resources: bool = False
    """The object was adopted once, so that a teardown must look for what it owns."""
    node_names: list[str] = []
    operations_count: int = 0
    """Operations begun since the workflow began; it tells their Events apart."""
    blocked_on: str = ""
    """Spec that nobody tries again before an edit or `retry`, as `<generation>/<revision>`."""
    refusals_count: int = 0
    last_refusal: str = ""
    """Why the last order of an operator was not followed."""
    reported_digest: str = ""
    """What the last report said, so that an equal one is not sent."""
    failed_offers: list[p.FailedOffer] = []
    """Offers that the current operation tried in vain."""
    recent_claims: dict[str, datetime] = {}
    """What the last plan said in its field of this name: the budget of replacements outlives a
    worker, and is the same whichever worker plans."""
    given_up: p.GivenUp | None = None
    """The spec's revision, where it failed; forgotten with the next spec and with `retry`."""
    restore: str = ""
    """The good revision that is kept in its stead."""
    approved_revision: str = ""
    """The last revision that an operator approved."""
    force_delete_reason: str = ""
    """Why the Workspace is let go though something of it may stay."""
    downtime_began_at: datetime | None = None
    """Since when the current operation left nobody to answer; None while somebody does."""
    awaiting_revision: str = ""
    """The revision that waits for an approval."""
    operation_notes: list[str] = []
    """What the record of the operation will say beside its outcome."""
    noted_generation: int = 0
    """The generation that notes made before an operation began are about."""
    leftovers: list[str] = []
    """What a forced deletion left behind."""


class WorkspaceWorkflowInput(p.Payload):
    """One Workspace, and the state of the run before this one."""

    workspace: p.WorkspaceRef
    state: WorkspaceState = WorkspaceState()
    continue_as_new_after_passes: int = 0
    """Test hook: begin a new run after this many passes; 0 leaves it to the history's size."""


class NodeClaimState(p.Payload):
    """What a NodeClaimWorkflow remembers between passes; new fields need defaults."""

    uid: str = ""
    provider_id: str = ""
    node_name: str = ""
    problem: p.Problem | None = None
    failures_count: int = 0
    next_wake_at: datetime | None = None
    reported_digest: str = ""
    """What the last report said, so that an equal one is not sent."""
    operation_token: str = ""
    """By which the provider's operation that makes the machine is found again after a crash."""


class NodeClaimWorkflowInput(p.Payload):
    """One NodeClaim, and the state of the run before this one."""

    claim: p.NodeClaimRef
    state: NodeClaimState = NodeClaimState()
    continue_as_new_after_passes: int = 0
    """Test hook: begin a new run after this many passes; 0 leaves it to the history's size."""
