"""Of which container the log tells why a pod fails, where its status does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from planner.fields import int_at, mapping_at, objects_at, text_at
from planner.pod_facts import OOM_KILLED


@dataclass(frozen=True)
class SilentEnd:
    """An instance of a container that failed and left no message in the pod's status."""

    container: str
    is_previous: bool
    """The container has started again since."""
    restart_count: int
    """Tells this end from the container's other ones."""


def silent_end(pod: Mapping[str, Any]) -> SilentEnd | None:
    """Return the first container that failed, if its status holds no last words.

    Pods of the user's own rarely ask for them (`terminationMessagePolicy`).
    """
    for field in ("initContainerStatuses", "containerStatuses"):
        for status in objects_at(pod, "status", field):
            for state in ("state", "lastState"):
                ended = mapping_at(status, state, "terminated")
                if not _is_failure(ended):
                    continue
                if text_at(ended, "message"):
                    return None
                return SilentEnd(
                    container=text_at(status, "name"),
                    is_previous=state == "lastState",
                    restart_count=int_at(status, "restartCount"),
                )
    return None


def _is_failure(ended: Mapping[str, Any]) -> bool:
    return bool(
        int_at(ended, "exitCode")
        or int_at(ended, "signal")
        or text_at(ended, "reason") == OOM_KILLED
    )
