"""Conditions of a Workspace and of a NodeClaim: their types, and what each reason means to whom."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict


class ConditionType(StrEnum):
    """Condition types of a Workspace. The first seven are upstream's names."""

    NODE_CLAIM_READY = "NodeClaimReady"
    NODES_READY = "NodesReady"
    RESOURCE_READY = "ResourceReady"
    INFERENCE_READY = "InferenceReady"
    JOB_STARTED = "JobStarted"
    WORKSPACE_SUCCEEDED = "WorkspaceSucceeded"
    WORKSPACE_DELETING = "WorkspaceDeleting"
    PROGRESSING = "Progressing"
    ROLLOUT_HEALTHY = "RolloutHealthy"


class NodeClaimCondition(StrEnum):
    """Condition types of a NodeClaim, as Karpenter defines them."""

    LAUNCHED = "Launched"
    REGISTERED = "Registered"
    INITIALIZED = "Initialized"
    READY = "Ready"


class ConditionStatus(StrEnum):
    """The three values that a condition may have; unset means Unknown."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """Reasons that are not errors; errors use their class names (see `api.errors`)."""

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    READY = "Ready"
    NOT_APPLICABLE = "NotApplicable"
    PAUSED = "Paused"
    DELETING = "Deleting"
    NODE_LOST = "NodeLost"
    SUPERSEDED = "Superseded"
    RESTORING = "Restoring"
    ROLLED_BACK = "RolledBack"
    AWAITING_APPROVAL = "AwaitingApproval"


REASON_HELP: Final[dict[Reason, str]] = {
    Reason.PENDING: "An earlier step has not finished. Nobody needs to act.",
    Reason.IN_PROGRESS: "The step is running. Nobody needs to act.",
    Reason.READY: "The step is done and its result was seen in the cluster.",
    Reason.NOT_APPLICABLE: "This Workspace has no such step.",
    Reason.PAUSED: "An operator sent `pause`; send `resume` to go on.",
    Reason.DELETING: "The Workspace was deleted and its resources are being removed.",
    Reason.NODE_LOST: "A node that was ready is gone or not ready; the platform repairs it.",
    Reason.SUPERSEDED: "A newer spec replaced this operation.",
    Reason.RESTORING: (
        "The revision that the spec asks for failed, and the last good one is being brought back. "
        "Nobody needs to act."
    ),
    Reason.ROLLED_BACK: (
        "The last good revision serves, because the one that the spec asks for failed. Correct the "
        "spec, or send `retry` to try it again."
    ),
    Reason.AWAITING_APPROVAL: (
        "`rollout.requireApproval` is set; an operator who agrees with the edit sends `approve`."
    ),
}
"""One sentence and who acts, per reason; `docs/reasons.md` is generated from it."""


class Condition(BaseModel):
    """One condition in Kubernetes' own shape (metav1.Condition)."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    type: str
    status: ConditionStatus
    reason: str
    message: str = ""
    lastTransitionTime: str = ""  # noqa: N815 - Kubernetes' spelling
    observedGeneration: int = 0  # noqa: N815 - Kubernetes' spelling
