"""What a plan means for the revisions of a Workspace: who is in the way, who may be brought back.

Pure, and careful with plans of earlier versions: they name neither `spec_revision` nor records, and
then every answer here is the one that was given before there were rollouts.
"""

from __future__ import annotations

from typing import Final

from api import payloads as p
from api import revisions
from api.errors import BY_REASON, CapacityUnavailable, ClusterUnavailable, PlatformError, Remedy
from api.workflow_inputs import WorkspaceState
from workflows.failures import ActivityFailed

BLAMED: Final = frozenset({"pull_images", "ensure_workload", "await_workload", "verify_endpoint"})
"""Activities whose failure is the revision's. Nodes that do not come, and old pods that do not go,
are nobody's who wrote the spec."""

_PASSING: Final = (CapacityUnavailable, ClusterUnavailable)


def asked_for(plan: p.WorkspacePlan) -> str:
    """Return the revision that the spec asks for; empty when it could not be computed."""
    return plan.spec_revision or plan.revision


def is_restore(plan: p.WorkspacePlan) -> bool:
    """Whether the plan is for an earlier revision, in the stead of the one asked for."""
    return bool(plan.revision) and plan.revision != asked_for(plan)


def is_given_up(plan: p.WorkspacePlan, state: WorkspaceState) -> bool:
    """Whether the plan is for the very revision that failed: nothing is there to keep instead."""
    return state.given_up is not None and state.given_up.revision == plan.revision


def in_the_way(plan: p.WorkspacePlan) -> list[str]:
    """Return the revisions to stop before the new pods start.

    Under Surge only what serves may stay beside them; what never served is of no use to anyone.
    """
    if plan.mode is not p.RolloutMode.SURGE:
        return plan.stale_revisions
    return [name for name in plan.stale_revisions if name != plan.active_revision]


def left_over(plan: p.WorkspacePlan) -> list[str]:
    """Return the stale revisions that no step of the plan stops."""
    if not plan.spec_revision or {p.Step.WORKLOAD, p.Step.RETIRE} & set(plan.steps):
        return []
    return plan.stale_revisions


def outcome_of(plan: p.WorkspacePlan, revision: str) -> p.RevisionOutcome | None:
    """Return what the cluster remembers of a revision; None when nothing."""
    return next((one.outcome for one in plan.recorded if one.revision == revision), None)


def revision_to_restore(
    plan: p.WorkspacePlan, state: WorkspaceState, failed: ActivityFailed
) -> str:
    """Return the good revision to bring back after a failure; empty when the failure stays.

    Only a rollout is undone. What has the traffic already was good once, and when it falls ill, an
    older revision is no cure for it.
    """
    is_tried_in_vain = state.given_up is not None
    is_repair = plan.revision == plan.active_revision or (
        not plan.active_revision and outcome_of(plan, plan.revision) is p.RevisionOutcome.GOOD
    )
    if is_tried_in_vain or is_repair or not plan.auto_rollback or not is_blamed(failed):
        return ""
    return good_revision(plan)


def is_blamed(failed: ActivityFailed) -> bool:
    """Whether a failure is the revision's, and neither the cloud's nor the cluster's."""
    kind = BY_REASON.get(failed.problem.reason, PlatformError)
    is_passing = failed.remedy is Remedy.FAST_RETRY or issubclass(kind, _PASSING)
    return failed.activity in BLAMED and not is_passing


def good_revision(plan: p.WorkspacePlan) -> str:
    """Return the best revision but the planned one: the active one, else the newest good one."""
    return revisions.good_revision(plan.recorded, plan.active_revision, plan.revision)


# --- Approval --------------------------------------------------------------------------------


def needs_approval(plan: p.WorkspacePlan, state: WorkspaceState) -> bool:
    """Whether the plan's steps wait for an operator's word; what has begun is not held up."""
    if not plan.requires_approval or not plan.steps or is_restore(plan):
        return False
    has_begun = state.operation_started_at is not None and state.revision == plan.revision
    return not has_begun and plan.revision != state.approved_revision


# --- The order `rollback` ----------------------------------------------------------------------


def rollback_target(order: p.RollbackOrder, plan: p.WorkspacePlan) -> str:
    """Return the revision that the order means; empty when there is none."""
    return order.revision or revisions.newest_good(plan.recorded, asked_for(plan))


def rollback_refusal(order: p.RollbackOrder, plan: p.WorkspacePlan) -> str:
    """Return why the order can't be followed, and what to do instead; empty when it can."""
    target = rollback_target(order, plan)
    if plan.deleting:
        return "the Workspace is being deleted"
    if not target:
        return "there is no earlier revision that was good; set the spec to what you want instead"
    if target == asked_for(plan):
        return f"revision {target} is what the spec asks for already"
    outcome = outcome_of(plan, target)
    if outcome is None:
        known = ", ".join(one.revision for one in plan.recorded) or "none"
        return f"no revision {target} is recorded; recorded are: {known}"
    if outcome is p.RevisionOutcome.GIVEN_UP:
        return f"revision {target} failed and was given up; name one that was good"
    return ""
