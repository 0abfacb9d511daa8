"""Why a container ended, from its log, where the pod's status does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from activities.clients.kubernetes import ApiError, KubernetesClient
from api.errors import ClusterUnavailable
from planner import facts
from planner.pod_logs import SilentEnd, silent_end
from planner.redaction import redact
from planner.world import PodFacts

TAIL_LINES: Final = 40
"""40 lines: a traceback with the cause at its end; as many as the kubelet would put into a status
(it takes 80, or 2 KiB)."""


class LastWords:
    """Reads each failed instance of a container once, for one wait."""

    def __init__(self, cluster: KubernetesClient) -> None:
        """Read from this cluster."""
        self._cluster = cluster
        self._read: dict[tuple[str, SilentEnd], str] = {}

    async def facts_of(self, pod: Mapping[str, Any]) -> PodFacts:
        """Return the facts of a pod; what its log said last, where its status holds nothing.

        Neither tells a secret.
        """
        found = facts.pod_facts(pod)
        found = replace(found, last_exit_message=redact(found.last_exit_message))
        end = None if found.is_ready or found.is_deleting else silent_end(pod)
        if end is None or not found.last_exit:
            return found
        key = (pod["metadata"].get("uid", ""), end)
        if key not in self._read:
            self._read[key] = await self._tail(pod, end)
        return replace(found, last_exit_message=self._read[key])

    async def _tail(self, pod: Mapping[str, Any], end: SilentEnd) -> str:
        metadata = pod["metadata"]
        try:
            text = await self._cluster.read_log(
                metadata["name"],
                metadata["namespace"],
                container=end.container,
                previous=end.is_previous,
                tail_lines=TAIL_LINES,
            )
        except (ApiError, ClusterUnavailable):
            # The node may be gone, or the log rotated away: that the container failed is known.
            return ""
        return redact(text)
