"""How a revision takes the place of the one that serves, and what is said of it beforehand.

    nothing serves, or it is the wanted one already    None
    rollout.strategy: InPlace, or left out             the old pods stop, then the new ones start
    rollout.strategy: Surge                            the new ones start beside the old ones

A revision serves while the Service selects it and it has pods, or wants some. One that was stopped
in the middle of a rollout serves nobody any more, so that nothing more is lost by going on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.errors import trim
from api.payloads import (
    RevisionRecord,
    RolloutMode,
    Step,
    StepDeadlines,
    StepState,
)
from api.revisions import good_revision
from api.workspace import FailedResources, Rollout, RolloutStrategy, Workspace
from planner.edit_effect import Change, Wish, changes_between
from planner.redaction import redact
from planner.world import World

DEFAULT_HISTORY_LIMIT: Final = 10
"""Kubernetes' own for Deployments, and more than anybody goes back."""

MAX_TOLD_CHANGES: Final = 4
"""In one announcement; a preview lists them all."""

_TEMPLATE: Final = "inference.template"

_DOWN_WHILE: Final = (Step.WORKLOAD, Step.ENDPOINT, Step.TRAFFIC)
"""Steps of a rollout in place during which nobody answers."""


@dataclass(frozen=True)
class Transition:
    """From what serves to what is wanted."""

    mode: RolloutMode
    active_revision: str
    """What serves; empty when nothing does."""
    revision: str
    """What is wanted."""

    @classmethod
    def of(
        cls, workspace: Workspace, world: World, revision: str, active_revision: str
    ) -> Transition:
        """Judge it from the pods that there are and from the policy.

        Args:
            workspace: Says how its edits are carried out.
            world: What was observed.
            revision: That is wanted.
            active_revision: That the Service selects.
        """
        serves = any(one.revision == active_revision and one.has_home for one in world.workloads)
        if not active_revision or active_revision == revision or not serves:
            return cls(RolloutMode.NONE, active_revision if serves else "", revision)
        is_surge = _policy(workspace).strategy is RolloutStrategy.SURGE
        mode = RolloutMode.SURGE if is_surge else RolloutMode.IN_PLACE
        return cls(mode, active_revision, revision)

    @property
    def replaces(self) -> bool:
        """Whether pods that serve are replaced."""
        return self.mode is not RolloutMode.NONE

    def others_requests(self, world: World) -> dict[str, int]:
        """Return the devices that are not free for the new pods, by node name.

        Under Surge those of the pods that serve are not; in place they are, once those stopped.
        """
        taken = dict(world.gpu_requests)
        if self.mode is RolloutMode.SURGE:
            for name, count in world.own_gpu_requests.get(self.active_revision, {}).items():
                taken[name] = taken.get(name, 0) + count
        return taken

    def said(
        self,
        workspace: Workspace,
        recorded: Sequence[RevisionRecord],
        deadlines: StepDeadlines,
        changes: Iterable[Change],
    ) -> dict[str, Any]:
        """Return what a plan says of the rollout; its fields by name.

        Args:
            workspace: As it is wanted.
            recorded: What the cluster remembers, newest first.
            deadlines: Of the steps.
            changes: From what serves to what is wanted, as far as that is known.
        """
        policy = _policy(workspace)
        auto_rollback = policy.auto_rollback is not False
        downtime = self._expected_downtime_seconds(workspace)
        found = {
            "mode": self.mode,
            "auto_rollback": auto_rollback,
            "requires_approval": bool(policy.require_approval) and self.replaces,
            "frees_failed": policy.failed_resources is FailedResources.FREE,
            "history_limit": policy.revision_history_limit or DEFAULT_HISTORY_LIMIT,
            "expected_downtime_seconds": downtime,
        }
        if not self.replaces:
            return found
        back = good_revision(recorded, self.active_revision, self.revision) if auto_rollback else ""
        sentences = [
            f"Revision {self.revision} replaces {self.active_revision}{_told(changes)}.",
            self._cost(deadlines, downtime),
            f"If it fails, revision {back} is brought back." if back else "",
        ]
        return {**found, "announcement": trim(" ".join(filter(None, sentences)))}

    def _expected_downtime_seconds(self, workspace: Workspace) -> int | None:
        if self.mode is RolloutMode.SURGE:
            return 0
        return measured_downtime_seconds(workspace) if self.replaces else None

    def _cost(self, deadlines: StepDeadlines, downtime: int | None) -> str:
        if self.mode is RolloutMode.SURGE:
            return (
                "Surge: the new pods start beside the old ones, which answer until they are "
                "verified; no downtime is expected."
            )
        limit = downtime_limit_seconds(deadlines)
        measured = f"about {downtime} s, as the last time, and " if downtime is not None else ""
        return (
            f"InPlace: the old pods stop before the new ones start; nobody answers for {measured}"
            f"{limit} s at most."
        )


def downtime_limit_seconds(deadlines: StepDeadlines) -> int:
    """Return for how long at most nobody answers while a revision is replaced in place."""
    return deadlines.workload_seconds + deadlines.endpoint_seconds


def measured_downtime_seconds(workspace: Workspace) -> int | None:
    """Return how long the last operation took from stopping pods to traffic; None if none did.

    The first start counts as well: it takes as long, because images are pulled before.
    """
    done = {
        entry.step: entry.seconds
        for entry in workspace.status.timeline
        if entry.state == StepState.DONE
    }
    if not set(_DOWN_WHILE) <= done.keys():
        return None
    seconds = sum(done[step] for step in _DOWN_WHILE)
    return math.ceil(seconds) if math.isfinite(seconds) else None


def changes_of(serving: Wish | None, wanted: Wish) -> list[Change]:
    """Return what pods feel of an edit; nothing where what serves was not recorded."""
    if serving is None:
        return []
    return [one for one in changes_between(serving, wanted) if not one.note]


def _told(changes: Iterable[Change]) -> str:
    words = list(dict.fromkeys(_words(one) for one in changes))
    more = len(words) - MAX_TOLD_CHANGES
    shown = [*words[:MAX_TOLD_CHANGES], *([f"{more} more"] if more > 0 else [])]
    return f": {', '.join(shown)}" if shown else ""


def _words(change: Change) -> str:
    """Return a change as many people may read it: an Event is less private than a spec."""
    if change.field.startswith(_TEMPLATE):
        # What the user's own containers are given may be anything.
        return _TEMPLATE
    before, after = (_public(change.field, value) for value in (change.before, change.after))
    if not before:
        return f"{change.field} = {after}"
    if not after:
        return f"{change.field} removed"
    return f"{change.field} {before} → {after}"


def _public(field: str, value: str) -> str:
    return redact(f"{field}={value}").removeprefix(f"{field}=")


def _policy(workspace: Workspace) -> Rollout:
    return workspace.rollout or Rollout()
