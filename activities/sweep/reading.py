"""Reads one object so that its absence is a proof."""

from __future__ import annotations

from typing import Any, Final

from activities.clients.kubernetes import ApiError, Kind, KubernetesClient

_NOT_FOUND: Final = "NotFound"
"""Kubernetes' word for an object that is not there. A kind that is not served (its CRD was removed,
or the API server has just started) has the same HTTP status and no such word (measured)."""


async def find_for_certain(
    cluster: KubernetesClient, kind: Kind, name: str, namespace: str = ""
) -> dict[str, Any] | None:
    """Return an object past every cache; None only if the API server knows its kind and not it.

    Raises:
        ApiError: for anything else that it refuses.
        ClusterUnavailable: it does not answer.
    """
    try:
        return await cluster.get(kind, name, namespace)
    except ApiError as error:
        if error.reason == _NOT_FOUND:
            return None
        raise
