"""What must hold after a run, whatever went wrong in it.

Two kinds. What must become true (`Truth`) is asked for again and again until a deadline; what may
never have happened (`unbroken`, `histories_are_sound`) is judged once, from what was recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent

from activities.clients.kubernetes import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    NODE_CLAIMS,
    NODES,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    WORKSPACES,
)
from api import names
from api.payloads import RevisionOutcome
from tests.chaos.lives import Life
from tests.chaos.recorder import Sight, answers
from tests.chaos.variants import is_broken, settings_of
from tests.chaos.world import World
from tests.harness.platform import NAMESPACE, SERVER_SIDE_CAUSES
from workflows.limits import MAX_HISTORY_EVENTS

HISTORY_SLACK: Final = 300
"""Events that one pass may add after the limit was reached: the longest operation has about 200."""

OWNED_KINDS: Final = (
    STATEFUL_SETS,
    PODS,
    SERVICES,
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    NODE_CLAIMS,
    NODES,
)
FAILED_PHASES: Final = frozenset({"Failed", "Waiting"})


class Truth:
    """What the cluster and the statuses must say in the end."""

    def __init__(self, world: World) -> None:
        self._platform = world.platform

    async def wrongs_of(self, life: Life) -> list[str]:
        """Return what is not as it must be, for one Workspace that lives."""
        obj = await self._platform.find(life.name)
        if obj is None:
            return [f"{life.name} is gone, and nobody deleted it"]
        inference = obj["inference"]
        text = await settings_of(self._platform.kube, inference)
        facts = await self._facts(obj)
        status = obj.get("status") or {}
        wrongs = []
        if status.get("observedGeneration") != obj["metadata"]["generation"]:
            wrongs.append(f"observedGeneration is {status.get('observedGeneration')}")
        if not is_broken(inference, text):
            wrongs += _wrongs_of_good(status, facts) + _wrongs_of_serving(status, facts)
            wrongs += [] if facts.text == text else [f"pods have {facts.text!r}, not {text!r}"]
        elif facts.has_good:
            wrongs += _wrongs_of_rolled_back(status) + _wrongs_of_serving(status, facts)
        else:
            wrongs += _wrongs_of_failed(status)
        return [f"{life.name} ({life.uids[-1][:8]}): {wrong}" for wrong in wrongs]

    async def _facts(self, obj: Mapping[str, Any]) -> _Facts:
        uid = {names.LABEL_WORKSPACE_UID: obj["metadata"]["uid"]}
        kube = self._platform.kube
        service = await kube.find(SERVICES, obj["metadata"]["name"], NAMESPACE)
        selected = ""
        if service is not None:
            selected = (service["spec"].get("selector") or {}).get(names.LABEL_REVISION, "")
        records = await kube.list(CONTROLLER_REVISIONS, NAMESPACE, uid)
        copy = await kube.find(
            CONFIG_MAPS, names.workload_name(obj["metadata"]["name"], selected), NAMESPACE
        )
        return _Facts(
            selected=selected,
            has_good=any(
                (one["metadata"].get("annotations") or {}).get(names.ANNOTATION_OUTCOME)
                == RevisionOutcome.GOOD
                for one in records
            ),
            workloads=await kube.list(STATEFUL_SETS, NAMESPACE, uid),
            pods=await kube.list(PODS, NAMESPACE, uid),
            text="" if copy is None else next(iter(copy["data"].values())),
        )

    async def left_of(self, uids: Iterable[str]) -> list[str]:
        """Return what is left of Workspaces that are gone."""
        gone, left = set(uids), []
        for kind in (*OWNED_KINDS, WORKSPACES):
            for obj in await self._platform.kube.list(kind):
                metadata = obj["metadata"]
                uid = (metadata.get("labels") or {}).get(names.LABEL_WORKSPACE_UID)
                if uid in gone or metadata["uid"] in gone:
                    left.append(
                        f"{kind.kind} {metadata['name']} is left"
                        f"{', finalizers: ' if metadata.get('finalizers') else ''}"
                        f"{', '.join(metadata.get('finalizers') or [])}"
                    )
        return left

    async def machines_left(self) -> list[str]:
        """Return machines that no claim stands for."""
        claims = {one["metadata"]["name"] for one in await self._platform.kube.list(NODE_CLAIMS)}
        left = set(self._platform.cloud.machines) - claims
        return [f"machine {name} has no claim" for name in sorted(left)]


class _Facts:
    """What the cluster says of one Workspace, whatever its status says."""

    def __init__(
        self,
        *,
        selected: str,
        has_good: bool,
        workloads: list[dict[str, Any]],
        pods: list[dict[str, Any]],
        text: str,
    ) -> None:
        self.selected = selected
        self.has_good = has_good
        self.text = text
        self.running = sorted(
            one["metadata"]["labels"][names.LABEL_REVISION]
            for one in workloads
            if one["spec"].get("replicas") or (one.get("status") or {}).get("replicas")
        )
        self.ready = sorted(
            one["metadata"]["name"]
            for one in pods
            if one["metadata"]["labels"].get(names.LABEL_REVISION) == selected
            and any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in (one.get("status") or {}).get("conditions") or []
            )
        )


def _conditions(status: Mapping[str, Any]) -> dict[str, str]:
    return {one["type"]: one["status"] for one in status.get("conditions") or []}


def _wrongs_of_good(status: Mapping[str, Any], facts: _Facts) -> list[str]:
    conditions, wrongs = _conditions(status), []
    if status.get("phase") != "Ready":
        wrongs.append(f"its spec is good, and its phase is {status.get('phase')}")
    wrongs += [
        f"it serves, and {name} is {conditions.get(name)}"
        for name in ("InferenceReady", "WorkspaceSucceeded", "RolloutHealthy", "ResourceReady")
        if conditions.get(name) != "True"
    ]
    if not facts.has_good:
        wrongs.append("it serves, and no recorded revision is marked good")
    return wrongs


def _wrongs_of_serving(status: Mapping[str, Any], facts: _Facts) -> list[str]:
    wrongs = []
    if facts.running != [facts.selected]:
        wrongs.append(f"{facts.selected} is selected, and pods are wanted of {facts.running}")
    if not facts.ready:
        wrongs.append(f"{facts.selected} is selected, and no pod of it is ready")
    if status.get("activeRevision") != facts.selected:
        wrongs.append(f"activeRevision is {status.get('activeRevision')}, not {facts.selected}")
    if status.get("revision") != facts.selected:
        wrongs.append(f"revision is {status.get('revision')}, not {facts.selected}")
    if _conditions(status).get("Progressing") != "False":
        wrongs.append("nothing is to be done, and Progressing is not False")
    return wrongs


def _wrongs_of_rolled_back(status: Mapping[str, Any]) -> list[str]:
    conditions, wrongs = _conditions(status), []
    if status.get("phase") != "RolledBack":
        wrongs.append(
            f"its spec is broken, another was good, and its phase is {status.get('phase')}"
        )
    expected = {"InferenceReady": "True", "RolloutHealthy": "False", "WorkspaceSucceeded": "False"}
    for name, value in expected.items():
        if conditions.get(name) != value:
            wrongs.append(f"it was rolled back, and {name} is {conditions.get(name)}")
    return wrongs


def _wrongs_of_failed(status: Mapping[str, Any]) -> list[str]:
    conditions, wrongs = _conditions(status), []
    if status.get("phase") not in FAILED_PHASES:
        wrongs.append(f"nothing was ever good, and its phase is {status.get('phase')}")
    return wrongs + [
        f"nothing was ever good, and {name} is True"
        for name in ("InferenceReady", "WorkspaceSucceeded")
        if conditions.get(name) == "True"
    ]


def unbroken(life: Life, sights: Iterable[Sight]) -> list[str]:
    """Return the moments at which a Workspace under Surge led its callers to nothing.

    They begin with the first moment at which the Service led to a ready pod, and end with the
    Workspace's deletion.
    """
    sights = list(sights)
    if any(sight.kind == "Workspace" and sight.strategy != "Surge" for sight in sights):
        return []
    wrongs = [
        f"{life.name}: at version {sight.version} ({sight.kind} {sight.name}) the Service "
        f"leads to {selected or 'nothing'}, of which no pod is ready"
        for sight, selected, leads in answers(sights)
        if not leads
    ]
    return wrongs[:3]


def histories_are_sound(histories: Mapping[str, list[HistoryEvent]]) -> list[str]:
    """Return failed workflow tasks, failed workflows, and histories that grew too long."""
    wrongs = []
    for key, events in histories.items():
        if len(events) > MAX_HISTORY_EVENTS + HISTORY_SLACK:
            wrongs.append(f"{key}: its history has {len(events)} events")
        for event in events:
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                attributes = event.workflow_task_failed_event_attributes
                if attributes.cause not in SERVER_SIDE_CAUSES:
                    cause = WorkflowTaskFailedCause.Name(attributes.cause)
                    wrongs.append(f"{key}: {cause} {attributes.failure.message}")
            elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
                failure = event.workflow_execution_failed_event_attributes.failure
                wrongs.append(f"{key}: the workflow failed: {failure.message}")
    return wrongs
