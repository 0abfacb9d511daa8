"""What the watcher's hints add up to between two passes.

Hints are levels, not differences: only the newest matters, and a pass consumes them. They decide
two things only: whether work in flight is outdated, and whether a plan is older than the hint that
asked for it. A hint that lies costs a pass and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from api.payloads import DesiredChanged, WorkspacePlan


@dataclass(frozen=True)
class Target:
    """The object and generation that work in flight is for."""

    uid: str
    generation: int
    is_teardown: bool = False


class HintBox:
    """Collects hints; `take` empties it."""

    def __init__(self) -> None:
        """Begin without a hint."""
        self._uids: set[str] = set()
        self.newest: DesiredChanged | None = None
        """The newest hint about the object itself since the last `take`."""
        self._last: DesiredChanged | None = None
        self._gone: set[str] = set()

    @property
    def is_filled(self) -> bool:
        """Whether some hint came since the last `take` that no object gone explains."""
        return bool(self._uids)

    def put(self, hint: DesiredChanged) -> None:
        """Remember a hint, unless it repeats the last one or is about an object that is gone."""
        is_repeated = hint == self._last and hint.resource_version != ""
        if is_repeated or hint.uid in self._gone:
            return
        self._last = hint
        self._uids.add(hint.uid)
        if hint.generation == 0 and not hint.deleting:
            return  # An owned object changed: worth another plan, and nothing else.
        newest = self.newest
        if newest is not None and newest.uid == hint.uid:
            hint = hint.model_copy(
                update={
                    "generation": max(newest.generation, hint.generation),
                    "deleting": newest.deleting or hint.deleting,
                }
            )
        self.newest = hint

    def take(self) -> DesiredChanged | None:
        """Empty the box and return the newest hint about the object itself."""
        newest, self.newest = self.newest, None
        self._uids.clear()
        return newest

    def forget(self, uid: str) -> None:
        """Drop hints about an object that is gone, also those yet to come."""
        if not uid:
            return
        self._gone.add(uid)
        self._uids.discard(uid)
        if self.newest is not None and self.newest.uid == uid:
            self.newest = None

    def supersedes(self, target: Target | None) -> bool:
        """Whether work for `target` is outdated. Nothing outdates a teardown."""
        newest = self.newest
        if newest is None or target is None or target.is_teardown:
            return False
        if newest.uid not in {"", target.uid}:
            return True
        return newest.deleting or newest.generation > target.generation

    def calls_for_deletion(self, uid: str) -> bool:
        """Whether `uid` is being deleted or was replaced, which goes on while paused, too."""
        newest = self.newest
        return newest is not None and (newest.deleting or newest.uid not in {"", uid})


def is_older(plan: WorkspacePlan, hint: DesiredChanged | None) -> bool:
    """Whether a plan was made from a view of the object that is older than `hint`'s."""
    if hint is None:
        return False
    if not plan.found:
        return not hint.deleting
    if hint.uid not in {"", plan.uid}:
        return not hint.deleting
    return plan.generation < hint.generation or (hint.deleting and not plan.deleting)
