"""Events about what a sweep did, on the object that it did it to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from activities.clients.kubernetes import EVENTS, ApiError, Kind, KubernetesClient
from api import names
from api.errors import ClusterUnavailable, trim
from api.payloads import EventKind

CLUSTER_SCOPED_NAMESPACE: Final = "default"
"""Where Kubernetes keeps Events about objects without a namespace."""


async def tell(  # noqa: PLR0917 - what an Event says, in its own order
    cluster: KubernetesClient,
    kind: Kind,
    obj: Mapping[str, Any],
    event_kind: EventKind,
    reason: str,
    message: str,
) -> None:
    """Write an Event; one that can't be written is no reason to leave a repair undone."""
    metadata = obj["metadata"]
    namespace = metadata.get("namespace") or CLUSTER_SCOPED_NAMESPACE
    timestamp = datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    seed = f"{metadata['uid']}/{reason}/{timestamp}"
    suffix = hashlib.sha256(seed.encode()).hexdigest()[:10]
    event = {
        "metadata": {
            "name": f"{metadata['name']}.{suffix}",
            "namespace": namespace,
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
        },
        "involvedObject": {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata["uid"],
        },
        "type": event_kind.value,
        "reason": reason,
        "message": trim(message),
        "source": {"component": names.MANAGED_BY},
        "reportingComponent": names.MANAGED_BY,
        "reportingInstance": names.MANAGED_BY,
        "firstTimestamp": timestamp,
        "lastTimestamp": timestamp,
        "count": 1,
    }
    try:
        await cluster.create(EVENTS, event, namespace)
    except (ApiError, ClusterUnavailable):
        # The log has it, too.
        return
