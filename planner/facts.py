"""Kubernetes objects become facts: the one place that knows where in an object a fact lies.

Total by design: an object with missing keys, nulls or odd types reads as one that has nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from api import names
from api.errors import BY_REASON
from api.payloads import RevisionOutcome, RevisionRecord
from planner.fields import (
    condition_status,
    conditions_of,
    device_count,
    int_at,
    is_deleting,
    is_true_at,
    labels_of,
    mapping_at,
    objects_at,
    text_at,
    texts_at,
    value_at,
)
from planner.gpus import gpu_requests_by_node, own_gpu_requests
from planner.karpenter_conditions import failure_of
from planner.node_signals import OUT_OF_SERVICE, node_signals
from planner.pod_facts import gpu_request, pod_facts
from planner.render.pods import SPOT_TAINT_KEY, SPOT_TAINT_VALUE
from planner.times import time_from
from planner.workload_facts import workload_facts
from planner.world import ClaimFacts, NodeFacts, ServiceFacts

__all__ = [
    "claim_facts",
    "gpu_request",
    "gpu_requests_by_node",
    "node_facts",
    "own_gpu_requests",
    "pod_facts",
    "revision_records",
    "service_facts",
    "workload_facts",
]

_STATE_TAINTS: Final = frozenset(
    {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/unschedulable",
        OUT_OF_SERVICE,
    }
)
"""Taints that Kubernetes sets to mirror a state which a fact of its own tells."""

_MIG_PREFIX: Final = "nvidia.com/mig-"
"""Of devices, and of the taints that keep others away from them. Pods tolerate the one of the
slices that they ask for, and find no place on nodes with others anyway."""

_TOLERATED_TAINTS: Final = frozenset(
    {
        (names.TAINT_GPU_KEY, names.TAINT_GPU_VALUE),
        (SPOT_TAINT_KEY, SPOT_TAINT_VALUE),
    }
)
"""Pods of ours tolerate them (`planner.render.pods`)."""

_NEWEST_CLAIM_CONDITION_SENTENCES: Final = (
    ("Ready", "ready"),
    ("Initialized", "initialized, about to be ready"),
    ("Registered", "node joined, waiting until it is ready and shows its GPUs"),
    ("Launched", "launched, waiting for its node to join"),
)


def node_facts(obj: Mapping[str, Any]) -> NodeFacts:
    """Return the facts of one Node."""
    taints = objects_at(obj, "spec", "taints")
    labels = labels_of(obj)
    return NodeFacts(
        name=text_at(obj, "metadata", "name"),
        uid=text_at(obj, "metadata", "uid"),
        labels=labels,
        is_ready=condition_status(obj, "Ready") == "True",
        is_schedulable=not is_true_at(obj, "spec", "unschedulable") and not is_deleting(obj),
        is_deleting=is_deleting(obj),
        provider_id=text_at(obj, "spec", "providerID"),
        gpu_capacity=device_count(value_at(obj, "status", "allocatable", names.GPU_RESOURCE)),
        gpu_total=device_count(value_at(obj, "status", "capacity", names.GPU_RESOURCE)),
        mig_capacity={
            device: device_count(count)
            for device, count in mapping_at(obj, "status", "allocatable").items()
            if isinstance(device, str) and device.startswith(_MIG_PREFIX)
        },
        blocking_taint=next(filter(None, map(_blocking_taint, taints)), ""),
        is_out_of_service=any(text_at(taint, "key") == OUT_OF_SERVICE for taint in taints),
        signals=tuple(node_signals(conditions_of(obj), taints, labels)),
        image_names=frozenset(
            name
            for image in objects_at(obj, "status", "images")
            for name in texts_at(image, "names")
        ),
    )


def _blocking_taint(taint: Mapping[str, Any]) -> str:
    """Return the taint as text when pods of ours do not tolerate it, else an empty string."""
    key, value, effect = (text_at(taint, part) for part in ("key", "value", "effect"))
    if effect not in {"NoSchedule", "NoExecute"} or key in _STATE_TAINTS:
        return ""
    is_tolerated = (
        key == names.GPU_RESOURCE
        or key.startswith(_MIG_PREFIX)
        or (key, value) in _TOLERATED_TAINTS
    )
    if is_tolerated and effect == "NoSchedule":
        return ""
    return f"{key}={value}:{effect}" if value else f"{key}:{effect}"


def claim_facts(obj: Mapping[str, Any]) -> ClaimFacts:
    """Return the facts of one NodeClaim."""
    failure_reason, failure_message = _claim_failure(obj)
    return ClaimFacts(
        name=text_at(obj, "metadata", "name"),
        labels=labels_of(obj),
        uid=text_at(obj, "metadata", "uid"),
        instance_type=_claim_instance_type(obj),
        created_at=time_from(text_at(obj, "metadata", "creationTimestamp")),
        is_ready=condition_status(obj, "Ready") == "True",
        is_initialized=condition_status(obj, "Initialized") == "True",
        is_deleting=is_deleting(obj),
        node_name=text_at(obj, "status", "nodeName"),
        provider_id=text_at(obj, "status", "providerID"),
        failure_reason=failure_reason,
        failure_message=failure_message,
        sentence=_claim_sentence(obj, failure_message),
    )


def _claim_instance_type(obj: Mapping[str, Any]) -> str:
    for requirement in objects_at(obj, "spec", "requirements"):
        if text_at(requirement, "key") == names.LABEL_INSTANCE_TYPE:
            return next(iter(texts_at(requirement, "values")), "")
    return labels_of(obj).get(names.LABEL_INSTANCE_TYPE, "")


def _claim_failure(obj: Mapping[str, Any]) -> tuple[str, str]:
    group = text_at(obj, "spec", "nodeClassRef", "group")
    for condition_type, condition in conditions_of(obj):
        status, reason, message = (text_at(condition, x) for x in ("status", "reason", "message"))
        if status == "False" and reason in BY_REASON:
            return reason, message
        if group != names.NODE_CLASS_GROUP:
            # Karpenter serves it, and has other words for what went wrong.
            failure = failure_of(condition_type, status, reason, message)
            if failure is not None:
                return failure
    return "", ""


def _claim_sentence(obj: Mapping[str, Any], failure_message: str) -> str:
    if is_deleting(obj):
        return "being deleted"
    if failure_message:
        return failure_message
    for condition_type, sentence in _NEWEST_CLAIM_CONDITION_SENTENCES:
        if condition_status(obj, condition_type) == "True":
            return sentence
    return "waiting to be launched"


def service_facts(obj: Mapping[str, Any]) -> ServiceFacts:
    """Return the facts of one Service."""
    selected = mapping_at(obj, "spec", "selector").get(names.LABEL_REVISION)
    return ServiceFacts(
        name=text_at(obj, "metadata", "name"),
        workspace_uid=labels_of(obj).get(names.LABEL_WORKSPACE_UID, ""),
        active_revision=selected if isinstance(selected, str) else "",
        is_public=text_at(obj, "spec", "type") == "LoadBalancer",
    )


_OUTCOMES: Final = {str(outcome): outcome for outcome in RevisionOutcome}


def revision_records(objects: Iterable[Mapping[str, Any]]) -> tuple[RevisionRecord, ...]:
    """Return what the ControllerRevisions of one Workspace tell, newest first."""
    found = [
        RevisionRecord(
            revision=labels_of(obj).get(names.LABEL_REVISION, ""),
            number=int_at(obj, "revision"),
            outcome=_OUTCOMES.get(
                text_at(obj, "metadata", "annotations", names.ANNOTATION_OUTCOME),
                RevisionOutcome.UNKNOWN,
            ),
        )
        for obj in objects
    ]
    return tuple(sorted(found, key=lambda one: (-one.number, one.revision)))
