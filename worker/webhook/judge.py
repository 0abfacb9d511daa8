"""Which writes of a Workspace are judged, and by what: the planner's rules, on the object alone.

Judged is what somebody asks for. What only reports (status), holds (finalizers) or sorts (labels)
passes unread, and so does an object that is being deleted: an invalid Workspace must stay easy to
get rid of. The registration's `matchConditions` keep most of these from being sent at all; this
judge does not rely on that, because whoever edits the registration may take them away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api import names
from api.errors import InvalidWorkspace
from api.preset import Catalogue, Preset
from api.workspace import Workspace
from planner import availability, validation
from planner.fields import is_deleting, text_map_at
from planner.hints import ANNOTATION_PREFIX
from planner.rules.base import Violation
from planner.world import PlatformSettings
from worker.webhook.review import Review, Verdict

JUDGED_OPERATIONS: Final = ("CREATE", "UPDATE")

UNREAD: Final = Verdict(is_judged=False)

_NOT_ASKED_FOR: Final = frozenset({"apiVersion", "kind", "metadata", "status"})
"""Fields beside those in which the user says what is wanted."""


class Judge:
    """Answers reviews from what this process holds in memory: no cluster, no model hub, no disk."""

    def __init__(self, settings: PlatformSettings, catalogue: Catalogue) -> None:
        """Take what the rules look at beside the Workspace."""
        self._settings = settings
        self._catalogue = catalogue

    def judge(self, review: Review) -> Verdict:
        """Return what to answer; whatever the object holds, this does not raise."""
        if not is_judged(review):
            return UNREAD
        try:
            workspace = Workspace.from_object(review.obj)
        except InvalidWorkspace as error:
            return Verdict(violations=[_unreadable(error)])
        old = _read_old(review.old)
        preset = self._catalogue.get(workspace.preset_name)
        violations = validation.validate(
            workspace, preset, self._settings, self._catalogue, old=old
        )
        if violations:
            return Verdict(violations=violations)
        return Verdict(warnings=self._warnings(workspace, preset))

    def _warnings(self, workspace: Workspace, preset: Preset | None) -> list[str]:
        # Not refused: the Workspace is right, and a later version carries it out.
        return [
            *(one.sentence for one in availability.unavailable(workspace, self._settings)),
            *validation.warnings(workspace, preset, self._settings, self._catalogue),
        ]


def is_judged(review: Review) -> bool:
    """Return whether this write asks for something."""
    is_ours = (review.group, review.resource) == (names.GROUP, names.WORKSPACE_PLURAL)
    if not is_ours or review.subresource or review.operation not in JUDGED_OPERATIONS:
        return False
    if is_deleting(review.obj):
        return False
    return review.operation == "CREATE" or asks_for(review.obj) != asks_for(review.old)


def asks_for(obj: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """Return what of an object says what is wanted: its fields, and annotations of our group."""
    fields = {key: value for key, value in obj.items() if key not in _NOT_ASKED_FOR}
    annotations = text_map_at(obj, "metadata", "annotations")
    ours = {key: annotations[key] for key in annotations if key.startswith(ANNOTATION_PREFIX)}
    return fields, ours


def _read_old(obj: Mapping[str, Any]) -> Workspace | None:
    """Return the stored Workspace; None for a new one, or one that no version could read."""
    try:
        return Workspace.from_object(obj) if obj else None
    except InvalidWorkspace:
        # Judged like a new one: the edit may well be the repair.
        return None


def _unreadable(error: InvalidWorkspace) -> Violation:
    problem, _, remedy = str(error).removeprefix(f"{error.field}: ").partition("; ")
    return Violation("readable", error.field or "metadata", problem, remedy or "write it anew")
