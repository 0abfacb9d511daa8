"""StatefulSet objects become facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api import names
from planner.fields import int_at, is_deleting, labels_of, objects_at, text_at, texts_at, value_at
from planner.world import WorkloadFacts

_REQUIRED_NODE_TERMS: Final = (
    *("spec", "template", "spec", "affinity", "nodeAffinity"),
    *("requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"),
)


def workload_facts(obj: Mapping[str, Any]) -> WorkloadFacts:
    """Return the facts of one StatefulSet."""
    wanted = value_at(obj, "spec", "replicas")
    replicas = 1 if wanted is None else int_at(obj, "spec", "replicas")  # Kubernetes' default
    has_seen_spec = int_at(obj, "status", "observedGeneration") >= int_at(
        obj, "metadata", "generation"
    )
    return WorkloadFacts(
        name=text_at(obj, "metadata", "name"),
        revision=labels_of(obj).get(names.LABEL_REVISION, ""),
        replicas=replicas,
        pod_count=int_at(obj, "status", "replicas"),
        ready_replicas=int_at(obj, "status", "readyReplicas"),
        is_current=has_seen_spec and int_at(obj, "status", "updatedReplicas") >= replicas,
        node_names=_node_names(obj),
        is_deleting=is_deleting(obj),
    )


def _node_names(obj: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        name
        for term in objects_at(obj, *_REQUIRED_NODE_TERMS)
        for field in objects_at(term, "matchFields")
        if text_at(field, "key") == "metadata.name" and text_at(field, "operator") == "In"
        for name in texts_at(field, "values")
    )
