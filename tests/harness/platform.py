"""A whole platform for fault tests: real servers, worker processes to kill, and what must hold.

Platform ─ Cluster (full) ◄── workers (`python -m worker`) ──► TemporalServer
         ├ NodeCloud: machines, with a ledger of every one that was asked for
         └ ModelStub: answers for the pods, which kwok only pretends to run
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.clients.kubernetes import (
    NODE_CLAIMS,
    NODES,
    PODS,
    STATEFUL_SETS,
    WORKSPACES,
    Kind,
    KubernetesClient,
)
from api import names
from tests.harness.cluster import ROOT, Cluster
from tests.harness.model_stub import ModelStub
from tests.harness.node_cloud import NodeCloud
from tests.harness.processes import Process, release_port, reserve_port
from tests.harness.storm_proxy import StormProxy
from tests.harness.temporal_server import TemporalServer
from tests.harness.waiting import eventually

_T = TypeVar("_T")

PRESET = "smollm2-135m-instruct"
NAMESPACE = "default"
SERVER_SIDE_CAUSES = {
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
}
CONVERGE_SECONDS = 120.0
"""A killed quick activity is noticed by its start-to-close limit (20 to 30 s) and no sooner."""


def workspace(
    name: str, namespace: str = NAMESPACE, *, count: int = 1, **inference: Any
) -> dict[str, Any]:
    """Build a Workspace of the smallest model."""
    return {
        "apiVersion": WORKSPACES.api_version,
        "kind": WORKSPACES.kind,
        "metadata": {"name": name, "namespace": namespace},
        "resource": {
            "instanceType": "onebox.small",
            "count": count,
            "labelSelector": {"matchLabels": {"apps": name}},
        },
        "inference": {"preset": {"name": PRESET}, **inference},
    }


@dataclass
class Platform:
    """Everything that runs, and the questions of a fault test."""

    cluster: Cluster
    temporal: TemporalServer
    cloud: NodeCloud
    model: ModelStub
    kube: KubernetesClient
    client: Client
    workers: dict[str, Process] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    """Settings of every worker that starts from now on, before those that are usual here."""
    proxy: StormProxy | None = None
    """Between the workers and the API server, where there is one."""

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        *,
        workers: int = 1,
        boot_seconds: float = 0.5,
        node_limit: int = 100,
        pod_ready_seconds: float = 0.2,
        plays_pods: bool = True,
        has_proxy: bool = False,
    ) -> AsyncIterator[Platform]:
        """Start all of it; at the end nothing is left."""
        async with AsyncExitStack() as stack:
            cluster = Cluster(full=True, pod_ready_seconds=pod_ready_seconds, plays_pods=plays_pods)
            temporal = TemporalServer()
            await asyncio.gather(
                stack.enter_async_context(cluster.running()),
                stack.enter_async_context(temporal.running()),
            )
            platform = cls(
                cluster=cluster,
                temporal=temporal,
                cloud=await stack.enter_async_context(
                    NodeCloud(cluster, node_limit=node_limit, boot_seconds=boot_seconds)
                ),
                model=await stack.enter_async_context(ModelStub(PRESET)),
                kube=await stack.enter_async_context(cluster.client()),
                client=await temporal.connect(),
            )
            if has_proxy:
                platform.proxy = await stack.enter_async_context(StormProxy(cluster))
            stack.callback(platform.stop_workers)
            for index in range(workers):
                platform.start_worker(f"worker-{index + 1}")
            for name in platform.workers:
                await platform.until_worker_ready(name)
            yield platform

    # --- worker processes -------------------------------------------------------------------

    def start_worker(self, name: str = "worker-1") -> Process:
        """Start a worker process, or start it again after it ended."""
        if name not in self.workers:
            self.ports[name] = reserve_port()
            self.workers[name] = Process(
                name,
                [sys.executable, "-m", "worker"],
                folder=self.cluster.folder,
                working_folder=ROOT,
                environment=self._worker_environment(self.ports[name]),
            )
        self.workers[name].start()
        return self.workers[name]

    def kill_worker(self, name: str = "worker-1") -> None:
        """SIGKILL: nothing is said goodbye to."""
        self.workers[name].kill()

    def stop_workers(self) -> None:
        """Kill every worker process and give its port back."""
        for name, process in self.workers.items():
            process.kill()
            release_port(self.ports[name])
        self.workers.clear()
        self.ports.clear()

    async def until_worker_ready(self, name: str = "worker-1", *, seconds: float = 60.0) -> None:
        """Wait until the worker's /readyz says so."""

        async def ready() -> bool:
            self.workers[name].check()
            return (await self.ask_worker("/readyz", name))[0] == 200

        await eventually(ready, what=f"{name} being ready", seconds=seconds)

    async def ask_worker(self, path: str, name: str = "worker-1") -> tuple[int, str]:
        """Return status and text of one of the worker's pages; (0, "") when nobody answers."""
        return await ask(f"http://127.0.0.1:{self.ports[name]}{path}")

    def _worker_environment(self, http_port: int) -> dict[str, str]:
        kubeconfig = self.cluster.kubeconfig if self.proxy is None else self.proxy.kubeconfig
        defaults = {
            "KUBECONFIG": str(kubeconfig),
            "TEMPORAL_ADDRESS": self.temporal.address,
            "TEMPORAL_NAMESPACE": self.temporal.namespace,
            "KAITO_PROVISIONER": "onebox",
            "KAITO_ONEBOX_ENDPOINT": self.cloud.endpoint,
            "KAITO_ENDPOINT_BASE_URL": self.model.base_url,
            "KAITO_IMAGE_REGISTRY": "registry.invalid",
            "KAITO_HTTP_HOST": "127.0.0.1",
            "KAITO_HTTP_PORT": str(http_port),
        }
        return worker_environment(**{**defaults, **self.environment})

    # --- Workspaces -------------------------------------------------------------------------

    async def apply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Apply a Workspace, as kubectl would."""
        return await self._ask(
            lambda: self.kube.apply(WORKSPACES, body, body["metadata"]["namespace"])
        )

    async def delete(self, name: str) -> None:
        """Ask for a Workspace's deletion."""
        await self._ask(lambda: self.kube.delete(WORKSPACES, name, NAMESPACE))

    async def find(self, name: str) -> dict[str, Any] | None:
        """Return a Workspace."""
        return await self._ask(lambda: self.kube.find(WORKSPACES, name, NAMESPACE))

    async def phase(self, name: str) -> str:
        """Return `.status.phase`, empty when there is none."""
        found = await self.find(name)
        return "" if found is None else str(found.get("status", {}).get("phase", ""))

    async def until_phase(
        self, name: str, phase: str, *, generation: int = 0, seconds: float = CONVERGE_SECONDS
    ) -> dict[str, Any]:
        """Wait until a Workspace's status says `phase` (for `generation`, where one is given)."""

        def accept(found: dict[str, Any] | None) -> bool:
            status = {} if found is None else found.get("status", {})
            return status.get("phase") == phase and (
                not generation or status.get("observedGeneration") == generation
            )

        found = await eventually(
            lambda: self.find(name), accept=accept, what=f"{name} being {phase}", seconds=seconds
        )
        assert found is not None
        return found

    async def until_gone(self, name: str, *, seconds: float = CONVERGE_SECONDS) -> None:
        """Wait until the Workspace object is gone."""
        await eventually(
            lambda: self.find(name),
            accept=lambda found: found is None,
            what=f"{name} being gone",
            seconds=seconds,
        )

    async def owned(self, kind: Kind, name: str = "") -> list[dict[str, Any]]:
        """Return objects of a kind that carry our label (for `name`, where one is given)."""
        found = await self._ask(lambda: self.kube.list(kind))
        return [
            obj
            for obj in found
            if names.LABEL_WORKSPACE in (labels := obj["metadata"].get("labels") or {})
            and (not name or labels[names.LABEL_WORKSPACE] == name)
        ]

    # --- Temporal ---------------------------------------------------------------------------

    async def until_activity(
        self, workflow_id: str, activity: str, *, seconds: float = 60.0
    ) -> None:
        """Wait until one of a workflow's runs has scheduled an activity."""
        await eventually(
            lambda: self.scheduled(workflow_id),
            accept=lambda scheduled: activity in scheduled,
            what=f"{activity} of {workflow_id}",
            seconds=seconds,
        )

    async def scheduled(self, workflow_id: str) -> list[str]:
        """Return the activities that a workflow has scheduled in all of its runs, in order."""
        runs = [
            execution
            async for execution in self.client.list_workflows(f"WorkflowId = '{workflow_id}'")
        ]
        return [
            event.activity_task_scheduled_event_attributes.activity_type.name
            for run in sorted(runs, key=lambda execution: execution.start_time)
            for event in await self._events(workflow_id, run.run_id)
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
        ]

    async def histories(self) -> dict[str, list[HistoryEvent]]:
        """Return every history that the server knows, by `workflow id/run id`."""
        found: dict[str, list[HistoryEvent]] = {}
        async for execution in self.client.list_workflows(""):
            found[f"{execution.id}/{execution.run_id}"] = await self._events(
                execution.id, execution.run_id
            )
        return found

    async def _events(self, workflow_id: str, run_id: str) -> list[HistoryEvent]:
        handle = self.client.get_workflow_handle(workflow_id, run_id=run_id)
        try:
            return list((await handle.fetch_history()).events)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return []
            raise

    async def signal(self, name: str, signal: str, *arguments: Any) -> None:
        """Signal a Workspace's workflow."""
        handle = self.client.get_workflow_handle(names.workspace_workflow_id(NAMESPACE, name))
        await handle.signal(signal, args=list(arguments))

    # --- what must hold ---------------------------------------------------------------------

    async def assert_no_task_failed(self) -> None:
        """No workflow task failed in any history: code and histories agree, and no bug showed.

        Two causes come from the server and are no failures: a signal that arrives while a workflow
        completes makes it turn the completion down and show the signal first, and a test that
        terminates a workflow cuts off its task.
        """
        failures = [
            f"{key}: {WorkflowTaskFailedCause.Name(attributes.cause)} {attributes.failure.message}"
            for key, events in (await self.histories()).items()
            for event in events
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
            and (attributes := event.workflow_task_failed_event_attributes).cause
            not in SERVER_SIDE_CAUSES
        ]
        assert not failures, "\n".join(failures)

    async def assert_one_of_each(self, name: str, *, count: int = 1) -> None:
        """One workload of one revision, `count` claims with machines, none bought twice."""
        # Earlier revisions are kept without pods, so that one can go back to them.
        workloads = [
            obj for obj in await self.owned(STATEFUL_SETS, name) if obj["spec"]["replicas"]
        ]
        revisions = {obj["metadata"]["labels"][names.LABEL_REVISION] for obj in workloads}
        assert len(workloads) == len(revisions) == 1, [obj["metadata"]["name"] for obj in workloads]
        claims = {obj["metadata"]["name"] for obj in await self.owned(NODE_CLAIMS, name)}
        assert len(claims) == count, claims
        assert claims <= set(self.cloud.machines), (claims, self.cloud.machines)
        self.assert_nothing_bought_twice()

    def assert_nothing_bought_twice(self) -> None:
        """No machine was created twice without having been given back in between."""
        alive: set[str] = set()
        for line in self.cloud.ledger:
            verb, name = line.split()
            if verb == "create":
                assert name not in alive, self.cloud.ledger
                alive.add(name)
            else:
                alive.discard(name)

    async def assert_nothing_left(self) -> None:
        """No object and no machine remains of any Workspace."""
        for kind in (STATEFUL_SETS, NODE_CLAIMS, NODES):
            left = await self.owned(kind)
            assert not left, [f"{kind.kind}/{obj['metadata']['name']}" for obj in left]
        assert not self.cloud.machines

    async def describe(self, *, lines: int = 200) -> str:
        """Return everything that explains a failed test: objects, histories, ledger, logs."""
        parts = [f"ledger: {self.cloud.ledger}"]
        for kind in (WORKSPACES, NODE_CLAIMS, NODES, STATEFUL_SETS, PODS):
            for obj in await self._ask(functools.partial(self.kube.list, kind)):
                metadata = {
                    key: value
                    for key, value in obj["metadata"].items()
                    if key not in {"managedFields", "annotations"}
                }
                parts.append(
                    f"{kind.kind} {json.dumps(metadata)} {json.dumps(obj.get('status', {}))}"
                )
        for key, events in (await self.histories()).items():
            parts.append(key)
            parts += [
                f"  {event.event_id} {event.event_time.ToJsonString()} "
                f"{EventType.Name(event.event_type).removeprefix('EVENT_TYPE_')} "
                f"{event.activity_task_scheduled_event_attributes.activity_type.name}"
                for event in events
            ]
        parts += [
            f"{name}:\n{process.log_tail(lines)}"
            for name, process in (*self.workers.items(), *self.cluster.processes.items())
            if name != "etcd"
        ]
        return "\n".join(parts)

    async def _ask(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Ask the API server again and again while it is away."""
        return await self.cluster.until_it_answers(call)


def worker_environment(**variables: str) -> dict[str, str]:
    """Return the environment of a worker process: nothing of this test's own but PATH."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(Path.home()),
        "PYTHONUNBUFFERED": "1",
        **variables,
    }


async def ask(url: str) -> tuple[int, str]:
    """Return status and text of a page; (0, "") when nobody answers."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
            session.get(url) as response,
        ):
            return response.status, await response.text()
    except (aiohttp.ClientError, OSError):
        return 0, ""
