"""Builders of Kubernetes objects: the smallest object that has what a test is about."""

from __future__ import annotations

from typing import Any

from api import names


def metadata(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, **fields}


def condition(condition_type: str, status: str, **fields: Any) -> dict[str, Any]:
    return {"type": condition_type, "status": status, **fields}


def owner_labels(
    uid: str = "uid-1", workspace: str = "llm", namespace: str = "default", **more: str
) -> dict[str, str]:
    return {
        names.LABEL_WORKSPACE: workspace,
        names.LABEL_WORKSPACE_NAMESPACE: namespace,
        names.LABEL_WORKSPACE_UID: uid,
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        **more,
    }


def node(
    name: str = "node-a",
    *,
    ready: str = "True",
    gpus: str | int = "1",
    labels: dict[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
    unschedulable: bool | None = None,
    deleting: bool = False,
    images: list[dict[str, Any]] | None = None,
    conditions: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    meta = metadata(name, labels={names.LABEL_INSTANCE_TYPE: "onebox.small", **(labels or {})})
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    spec: dict[str, Any] = {"providerID": f"onebox:///{name}", "taints": taints or []}
    if unschedulable is not None:
        spec["unschedulable"] = unschedulable
    return {
        "metadata": meta,
        "spec": spec,
        "status": {
            "allocatable": {names.GPU_RESOURCE: gpus},
            "conditions": [condition("Ready", ready), *(conditions or [])],
            "images": images or [],
        },
    }


def gpu_container(gpus: str | int | None, name: str = "llm", **fields: Any) -> dict[str, Any]:
    resources = {} if gpus is None else {"limits": {names.GPU_RESOURCE: gpus}}
    return {"name": name, "resources": resources, **fields}


def pod(
    name: str = "llm-abc-0",
    *,
    node_name: str = "node-a",
    phase: str = "Running",
    ready: str = "False",
    labels: dict[str, str] | None = None,
    gpus: str | int | None = 1,
    init_containers: list[dict[str, Any]] | None = None,
    statuses: list[dict[str, Any]] | None = None,
    init_statuses: list[dict[str, Any]] | None = None,
    conditions: list[dict[str, Any]] | None = None,
    deleting: bool = False,
    **status: Any,
) -> dict[str, Any]:
    meta = metadata(name, namespace="default", labels=owner_labels() if labels is None else labels)
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "metadata": meta,
        "spec": {
            "nodeName": node_name,
            "containers": [gpu_container(gpus)],
            "initContainers": init_containers or [],
        },
        "status": {
            "phase": phase,
            "podIP": "10.244.1.7",
            "conditions": [condition("Ready", ready), *(conditions or [])],
            "containerStatuses": statuses or [],
            "initContainerStatuses": init_statuses or [],
            **status,
        },
    }


def waiting(reason: str, message: str = "", **fields: Any) -> dict[str, Any]:
    return {"name": "llm", "state": {"waiting": {"reason": reason, "message": message}}, **fields}


def terminated(exit_code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": exit_code, "reason": reason, "message": message}}


def stateful_set(
    name: str = "llm-abc",
    *,
    revision: str = "abc",
    replicas: int | None = 1,
    ready: int = 1,
    updated: int = 1,
    generation: int = 1,
    observed: int = 1,
    node_names: tuple[str, ...] = ("node-a",),
    uid: str = "uid-1",
    gpus: int = 1,
    deleting: bool = False,
) -> dict[str, Any]:
    meta = metadata(
        name,
        namespace="default",
        generation=generation,
        labels=owner_labels(uid, **{names.LABEL_REVISION: revision}),
    )
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    terms = [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [one]}]}
        for one in node_names
    ]
    required = {"nodeSelectorTerms": terms}
    return {
        "metadata": meta,
        "spec": {
            "replicas": replicas,
            "template": {
                "spec": {
                    "containers": [gpu_container(gpus)],
                    "affinity": {
                        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}
                    },
                }
            },
        },
        "status": {
            "observedGeneration": observed,
            "readyReplicas": ready,
            "updatedReplicas": updated,
        },
    }


def node_claim(
    name: str = "ws0123456789",
    *,
    conditions: list[dict[str, Any]] | None = None,
    group: str = names.NODE_CLASS_GROUP,
    generation: int = 1,
    uid: str = "claim-uid",
    deleting: bool = False,
    node_name: str = "",
    labels: dict[str, str] | None = None,
) -> dict[str, Any]:
    meta = metadata(
        name,
        uid=uid,
        generation=generation,
        labels=owner_labels() if labels is None else labels,
    )
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "metadata": meta,
        "spec": {
            "nodeClassRef": {"group": group, "kind": "OneboxNodeClass", "name": "default"},
            "requirements": [
                {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
                {"key": names.LABEL_INSTANCE_TYPE, "operator": "In", "values": ["onebox.small"]},
            ],
        },
        "status": {
            "conditions": conditions or [],
            "nodeName": node_name,
            "providerID": f"onebox:///{name}",
        },
    }


def workspace(
    name: str = "llm",
    *,
    uid: str = "uid-1",
    generation: int = 1,
    annotations: dict[str, str] | None = None,
    finalizers: list[str] | None = None,
    deleting: bool = False,
    status: dict[str, Any] | None = None,
) -> dict[str, Any]:
    meta = metadata(
        name,
        namespace="default",
        uid=uid,
        generation=generation,
        resourceVersion="7",
        annotations=annotations or {},
        finalizers=finalizers or [],
    )
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": meta, "status": status or {}}
