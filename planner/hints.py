"""Watch events become hints: who should look again, and never what they should do.

Level-triggered: a hint lost, repeated or late changes nothing but the time of the next look. So
this file may be wrong only in one direction that hurts, which is too rarely, and the resync of
each workflow repairs even that. It stays silent on what workflows write themselves (status,
finalizers) and on steps towards readiness, which running activities watch for themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from api import names
from api.payloads import DesiredChanged, NodeClaimRef, WorkspaceRef
from api.workflow_inputs import NodeClaimWorkflowInput, WorkspaceWorkflowInput
from planner.fields import (
    condition_status,
    conditions_of,
    device_count,
    int_at,
    is_deleting,
    labels_of,
    mapping_at,
    objects_at,
    text_at,
    text_map_at,
    value_at,
)
from planner.node_signals import node_signals
from planner.render.node_claim import OUR_NODE_CLASS_KINDS
from planner.world import NodeFault, SignalWeight

ADDED: Final = "ADDED"
DELETED: Final = "DELETED"

ANNOTATION_PREFIX: Final = f"{names.GROUP}/"
"""Annotations of a Workspace with this prefix are orders of its user (runtime, load balancer)."""


@dataclass(frozen=True)
class Hint:
    """One workflow to wake."""

    workflow: str
    workflow_id: str
    payload: DesiredChanged
    name: str
    """Of the Workspace or the NodeClaim."""
    namespace: str = ""
    can_start: bool = True
    """False: wake the workflow if it runs, but start none (there may be nothing to work for)."""

    @property
    def start_input(self) -> WorkspaceWorkflowInput | NodeClaimWorkflowInput:
        """Return what signal-with-start starts the workflow with.

        Without a uid: the workflow finds out for itself which object has this name now.
        """
        if self.workflow == names.NODE_CLAIM_WORKFLOW:
            return NodeClaimWorkflowInput(claim=NodeClaimRef(name=self.name))
        return WorkspaceWorkflowInput(
            workspace=WorkspaceRef(namespace=self.namespace, name=self.name)
        )


def merge(older: Hint, newer: Hint) -> Hint:
    """Return one hint for two of the same workflow, so that neither reason to wake is lost."""
    can_start = older.can_start or newer.can_start
    return replace(newer, payload=_merged(older.payload, newer.payload), can_start=can_start)


def _merged(older: DesiredChanged, newer: DesiredChanged) -> DesiredChanged:
    if older.uid and newer.uid and older.uid != newer.uid:
        # The object was made anew: what was said of the old one is no news any more. News of
        # something owned (generation 0) may come late, from what the old object owned.
        return older if older.generation and not newer.generation else newer
    payload = older if older.generation > newer.generation else newer
    return payload.model_copy(update={"deleting": older.deleting or newer.deleting})


def workspace_hints(
    event: str, obj: Mapping[str, Any], previous: Mapping[str, Any] | None = None
) -> tuple[Hint, ...]:
    """Return the hints of a change of a Workspace: on what its user did, not on its status."""
    is_news = event in {ADDED, DELETED} or previous is None or _orders(obj) != _orders(previous)
    namespace = text_at(obj, "metadata", "namespace")
    name = text_at(obj, "metadata", "name")
    if not is_news or not namespace or not name:
        return ()
    payload = DesiredChanged(
        uid=text_at(obj, "metadata", "uid"),
        generation=int_at(obj, "metadata", "generation"),
        resource_version=text_at(obj, "metadata", "resourceVersion"),
        deleting=event == DELETED or is_deleting(obj),
        cause=f"Workspace {event.lower()}",
    )
    return (
        Hint(
            workflow=names.WORKSPACE_WORKFLOW,
            workflow_id=names.workspace_workflow_id(namespace, name),
            payload=payload,
            name=name,
            namespace=namespace,
            can_start=event != DELETED,
        ),
    )


def _orders(workspace: Mapping[str, Any]) -> tuple[object, ...]:
    annotations = text_map_at(workspace, "metadata", "annotations")
    return (
        text_at(workspace, "metadata", "uid"),
        int_at(workspace, "metadata", "generation"),
        is_deleting(workspace),
        {key: annotations[key] for key in annotations if key.startswith(ANNOTATION_PREFIX)},
    )


def owned_hints(
    kind: str, event: str, obj: Mapping[str, Any], previous: Mapping[str, Any] | None = None
) -> tuple[Hint, ...]:
    """Return the hints of a change of a NodeClaim, StatefulSet, Pod or Node.

    Such a change wakes the Workspace named by the object's labels, but starts no workflow for it:
    whoever owns the object runs already, or the Workspace's own event starts it.
    """
    cause = f"{kind} {text_at(obj, 'metadata', 'name')} {event.lower()}"
    match kind:
        case "NodeClaim":
            return tuple(_claim_hints(event, obj, previous, cause))
        case "StatefulSet":
            return tuple(_workload_hints(event, obj, previous, cause))
        case "Pod":
            return tuple(_pod_hints(event, obj, previous, cause))
        case "Node":
            return tuple(_node_hints(event, obj, previous, cause))
    return ()


def config_map_hints(
    event: str, config_map: Mapping[str, Any], workspaces: Iterable[Mapping[str, Any]]
) -> tuple[Hint, ...]:
    """Return the hints of a change of a ConfigMap: for each of `workspaces` that names it.

    One that appears counts as well: a Workspace may wait for it.
    """
    namespace = text_at(config_map, "metadata", "namespace")
    name = text_at(config_map, "metadata", "name")
    payload = DesiredChanged(cause=f"ConfigMap {name} {event.lower()}")
    return tuple(
        Hint(
            workflow=names.WORKSPACE_WORKFLOW,
            workflow_id=names.workspace_workflow_id(namespace, text_at(one, "metadata", "name")),
            payload=payload.model_copy(update={"uid": text_at(one, "metadata", "uid")}),
            name=text_at(one, "metadata", "name"),
            namespace=namespace,
            can_start=False,
        )
        for one in workspaces
        if text_at(one, "metadata", "namespace") == namespace
        and name in {text_at(one, "inference", "config"), text_at(one, "tuning", "config")}
    )


def _claim_hints(
    event: str, claim: Mapping[str, Any], previous: Mapping[str, Any] | None, cause: str
) -> Iterator[Hint]:
    is_edge = event in {ADDED, DELETED} or previous is None
    if _is_served_by_us(claim) and (is_edge or _claim_orders(claim) != _claim_orders(previous)):
        yield from _claim_hint(event, claim, cause)
    # A claim that appears was made by the Workspace's own workflow, which waits for it.
    if event != ADDED and (is_edge or _claim_verdict(claim) != _claim_verdict(previous)):
        yield from _owner_hint(claim, cause)


def _is_served_by_us(claim: Mapping[str, Any]) -> bool:
    node_class = mapping_at(claim, "spec", "nodeClassRef")
    return (
        text_at(node_class, "group") == names.NODE_CLASS_GROUP
        and text_at(node_class, "kind") in OUR_NODE_CLASS_KINDS
    )


def _claim_orders(claim: Mapping[str, Any] | None) -> tuple[object, ...]:
    return (
        text_at(claim, "metadata", "uid"),
        int_at(claim, "metadata", "generation"),
        is_deleting(claim),
    )


def _claim_verdict(claim: Mapping[str, Any] | None) -> tuple[object, ...]:
    failed = {
        (found, text_at(condition, "reason"))
        for found, condition in conditions_of(claim)
        if text_at(condition, "status") == "False"
    }
    return condition_status(claim, "Ready") == "True", is_deleting(claim), failed


def _workload_hints(
    event: str, workload: Mapping[str, Any], previous: Mapping[str, Any] | None, cause: str
) -> Iterator[Hint]:
    if event == ADDED:
        return
    if event == DELETED or previous is None or _scale(workload) != _scale(previous):
        yield from _owner_hint(workload, cause)


def _scale(workload: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        int_at(workload, "metadata", "generation"),
        is_deleting(workload),
        value_at(workload, "spec", "replicas"),
        int_at(workload, "status", "readyReplicas"),
    )


def _pod_hints(
    event: str, pod: Mapping[str, Any], previous: Mapping[str, Any] | None, cause: str
) -> Iterator[Hint]:
    """Hint when a serving pod stops serving; its StatefulSet tells when it serves again."""
    if labels_of(pod).get(names.LABEL_ROLE) != names.ROLE_INFERENCE or event == ADDED:
        return
    was_ready = previous is not None and condition_status(previous, "Ready") == "True"
    is_ready = event != DELETED and condition_status(pod, "Ready") == "True"
    if was_ready and not is_ready:
        yield from _owner_hint(pod, cause)


def _node_hints(
    event: str, node: Mapping[str, Any], previous: Mapping[str, Any] | None, cause: str
) -> Iterator[Hint]:
    """Hint for nodes that a claim made: its claim on any change of health, its Workspace on loss.

    A Workspace learns of the good news by its claim, and whoever uses an existing node learns of
    its loss by its own pods: a node does not know them.
    """
    if event == ADDED or names.LABEL_WORKSPACE_UID not in labels_of(node):
        return
    is_edge = event == DELETED or previous is None
    if not is_edge and _health(node) == _health(previous):
        return
    # A claim's machine, and so its node, has the claim's name.
    yield from _hint_for_claim(text_at(node, "metadata", "name"), DesiredChanged(cause=cause))
    if is_edge or _is_worse(_health(node), _health(previous)):
        yield from _owner_hint(node, cause)


@dataclass(frozen=True)
class _Health:
    """What is good and what is bad about a node."""

    merits: tuple[bool, bool, int]
    """Whether it is ready, whether it stays, and its GPUs: more is better in each."""
    faults: frozenset[str]
    """What may end it: a notice that the cloud takes it back, a fault of its GPUs."""


def _health(node: Mapping[str, Any] | None) -> _Health:
    gpus = device_count(value_at(node, "status", "allocatable", names.GPU_RESOURCE))
    taints = objects_at(node, "spec", "taints")
    signals = node_signals(conditions_of(node), taints, labels_of(node))
    # Warnings end nothing, and a node that is not ready is told by its merits.
    faults = (
        one.source
        for one in signals
        if one.weight is not SignalWeight.WARNING and one.fault is not NodeFault.UNREACHABLE
    )
    merits = (condition_status(node, "Ready") == "True", not is_deleting(node), gpus)
    return _Health(merits, frozenset(faults))


def _is_worse(now: _Health, before: _Health) -> bool:
    is_less = any(new < old for new, old in zip(now.merits, before.merits, strict=True))
    return is_less or bool(now.faults - before.faults)


def _claim_hint(event: str, claim: Mapping[str, Any], cause: str) -> Iterator[Hint]:
    payload = DesiredChanged(
        uid=text_at(claim, "metadata", "uid"),
        generation=int_at(claim, "metadata", "generation"),
        resource_version=text_at(claim, "metadata", "resourceVersion"),
        deleting=event == DELETED or is_deleting(claim),
        cause=cause,
    )
    name = text_at(claim, "metadata", "name")
    yield from _hint_for_claim(name, payload, can_start=event != DELETED)


def _hint_for_claim(
    name: str, payload: DesiredChanged, *, can_start: bool = False
) -> Iterator[Hint]:
    if name:
        yield Hint(
            workflow=names.NODE_CLAIM_WORKFLOW,
            workflow_id=names.node_claim_workflow_id(name),
            payload=payload,
            name=name,
            can_start=can_start,
        )


def _owner_hint(obj: Mapping[str, Any], cause: str) -> Iterator[Hint]:
    """Yield the hint for the Workspace that the labels name, if they name one."""
    labels = labels_of(obj)
    name = labels.get(names.LABEL_WORKSPACE, "")
    # Namespaced objects lie beside their Workspace, even if somebody edited the label.
    namespace = text_at(obj, "metadata", "namespace") or labels.get(
        names.LABEL_WORKSPACE_NAMESPACE, ""
    )
    if name and namespace:
        yield Hint(
            workflow=names.WORKSPACE_WORKFLOW,
            workflow_id=names.workspace_workflow_id(namespace, name),
            payload=DesiredChanged(uid=labels.get(names.LABEL_WORKSPACE_UID, ""), cause=cause),
            name=name,
            namespace=namespace,
            can_start=False,
        )
