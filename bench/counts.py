"""Counts: writes to the API server by either side's books, activities and events of histories."""

from __future__ import annotations

import base64
import re
import ssl
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
import yaml
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

from tests.harness.cluster import Cluster
from tests.harness.platform import Platform

Key = TypeVar("Key")

WRITE_VERBS: Final = frozenset({"create", "update", "patch", "apply", "delete"})

NOT_OF_A_WORKSPACE: Final = frozenset({"leases"})
"""The watcher's election goes on whether there are Workspaces or not."""

ONLY_WE_WRITE: Final = ("workspaces", "nodeclaims")
"""Kinds that nobody else in the benchmark's cluster writes, so that the API server's own count,
which does not tell callers apart, must agree with the worker's. It makes a Service of its own."""

_VERBS_OF_SERVER: Final = {"post": "create", "put": "update"}

_SAMPLE: Final = re.compile(r"^(\w+)\{([^}]*)\} (\S+)$", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Histories:
    """What some workflows wrote into their histories."""

    workflows_count: int = 0
    events_count: int = 0
    activities: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    """Events by type, without the prefix that all types share."""

    @property
    def activities_count(self) -> int:
        """Return how many activities were scheduled; a retry is no second one."""
        return self.activities.total()


def count_histories(histories: Iterable[Sequence[HistoryEvent]]) -> Histories:
    """Count what is in histories."""
    histories = list(histories)
    events = [event for history in histories for event in history]
    return Histories(
        workflows_count=len(histories),
        events_count=len(events),
        activities=Counter(
            event.activity_task_scheduled_event_attributes.activity_type.name
            for event in events
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
        ),
        events=Counter(
            EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in events
        ),
    )


async def fetch_histories(client: Client, query: str) -> dict[str, list[HistoryEvent]]:
    """Return the histories of the workflows that a visibility query finds, by workflow and run."""
    found = {}
    async for execution in client.list_workflows(query):
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
        history = await handle.fetch_history()
        found[f"{execution.id}/{execution.run_id}"] = list(history.events)
    return found


def of_kind(histories: Mapping[str, Sequence[HistoryEvent]], kind: str) -> Histories:
    """Count the histories whose workflow id begins with `kind` and a slash."""
    return count_histories(
        history for key, history in histories.items() if key.startswith(f"{kind}/")
    )


def parse_samples(text: str, metric: str) -> list[tuple[dict[str, str], float]]:
    """Return (labels, value) of each sample of a metric on a page of Prometheus' text format."""
    return [
        (dict(_LABEL.findall(labels)), float(value))
        for name, labels, value in _SAMPLE.findall(text)
        if name == metric
    ]


def parse_writes(text: str) -> Counter[str]:
    """Return writes by "verb resource" from the worker's page of metrics."""
    writes: Counter[str] = Counter()
    for labels, value in parse_samples(text, "kaito_api_requests_total"):
        verb, resource = labels["verb"], labels["resource"]
        if verb in WRITE_VERBS and resource not in NOT_OF_A_WORKSPACE:
            writes[f"{verb} {resource}"] += int(value)
    return writes


def parse_server_writes(text: str) -> Counter[str]:
    """Return the same from the API server's page, of the kinds that only the platform writes."""
    writes: Counter[str] = Counter()
    for labels, value in parse_samples(text, "apiserver_request_total"):
        verb = labels["verb"].lower()
        verb = _VERBS_OF_SERVER.get(verb, verb)
        if verb in WRITE_VERBS and labels["resource"] in ONLY_WE_WRITE:
            writes[f"{verb} {labels['resource']}"] += int(value)
    return writes


async def writes_of(platform: Platform) -> Counter[str]:
    """Return the writes of all workers so far."""
    total: Counter[str] = Counter()
    for name in platform.workers:
        _, text = await platform.ask_worker("/metrics", name)
        total += parse_writes(text)
    return total


async def server_writes_of(cluster: Cluster) -> Counter[str]:
    """Return the writes that the API server counted so far."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
        session.get(f"{cluster.url}/metrics", ssl=_administrator(cluster)) as response,
    ):
        response.raise_for_status()
        return parse_server_writes(await response.text())


def since(now: Counter[Key], earlier: Counter[Key]) -> Counter[Key]:
    """Return what was added since an earlier count."""
    return Counter(
        {key: count - earlier[key] for key, count in now.items() if count > earlier[key]}
    )


def _administrator(cluster: Cluster) -> ssl.SSLContext:
    kubeconfig = yaml.safe_load(cluster.kubeconfig.read_text())
    server, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
    context = ssl.create_default_context(
        cadata=base64.b64decode(server["certificate-authority-data"]).decode()
    )
    certificate = _write(cluster.folder / "bench.crt", user["client-certificate-data"])
    context.load_cert_chain(
        certificate, _write(cluster.folder / "bench.key", user["client-key-data"])
    )
    return context


def _write(path: Path, data: str) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(base64.b64decode(data))
    return path
