"""The numbers of one worker process, beside those of Temporal's SDK."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from activities.clients.informer import Informer
from api.payloads import RepairOutcome, StrayKind


class Metrics:
    """One registry a process, so that tests can have many."""

    def __init__(self) -> None:
        """Register everything, at zero."""
        # The time at which each counter began is noise beside every number.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.hints_received = Counter(
            "kaito_hints_received",
            "Hints that the planner made from Kubernetes events",
            registry=self.registry,
        )
        self.hints_coalesced = Counter(
            "kaito_hints_coalesced",
            "Hints that were merged into one that still waited",
            registry=self.registry,
        )
        self.hints_sent = Counter(
            "kaito_hints_sent",
            "Hints that Temporal accepted",
            ["workflow"],
            registry=self.registry,
        )
        self.hints_failed = Counter(
            "kaito_hints_failed",
            "Attempts to send a hint that failed; the hint stays and is sent again",
            ["status"],
            registry=self.registry,
        )
        self.hints_waiting = Gauge(
            "kaito_hints_waiting",
            "Workflows whose hint is not sent yet",
            registry=self.registry,
        )
        self.is_leader = Gauge(
            "kaito_watcher_is_leader",
            "1 while this process holds the watcher's lease",
            registry=self.registry,
        )
        self._api_requests = Counter(
            "kaito_api_requests",
            "Requests to the Kubernetes API server",
            ["verb", "resource"],
            registry=self.registry,
        )

        self.sweep = SweepMetrics(self.registry)

    def count_api_request(self, verb: str, resource: str) -> None:
        """Count one request; an observer for KubernetesClient."""
        self._api_requests.labels(verb, resource).inc()

    def follow_informers(self, informers: Sequence[Informer]) -> None:
        """Show the informers' own counts at each scrape."""
        self.registry.register(_InformerCollector(informers))

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


class SweepMetrics:
    """What sweeps found and did; those that this process ran, as any worker may run one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register everything, at zero."""
        self._looks = Counter(
            "kaito_sweep_looks",
            "Sweeps that looked, by whether they could list everything",
            ["is_complete"],
            registry=registry,
        )
        self._last_look = Gauge(
            "kaito_sweep_last_look_timestamp_seconds",
            "When a sweep last looked; 0: never in this process",
            registry=registry,
        )
        self._found = Counter(
            "kaito_strays_found",
            "Strays found; one that stays is found, and counted, by each sweep",
            ["kind"],
            registry=registry,
        )
        self._repairs = Counter(
            "kaito_strays_treated",
            "Strays that a sweep acted on, by how that ended",
            ["kind", "outcome"],
            registry=registry,
        )
        for is_complete in ("true", "false"):
            self._looks.labels(is_complete)
        for kind in StrayKind:
            self._found.labels(kind.value)
            for outcome in RepairOutcome:
                self._repairs.labels(kind.value, outcome.value)

    def found_strays(self, counts: Mapping[StrayKind, int], blind_spots: Sequence[str]) -> None:
        """Count one look; an observer for the sweep's activities."""
        self._looks.labels("false" if blind_spots else "true").inc()
        self._last_look.set_to_current_time()
        for kind, count in counts.items():
            self._found.labels(kind.value).inc(count)

    def repaired_stray(self, kind: StrayKind, outcome: RepairOutcome) -> None:
        """Count one repair; likewise."""
        self._repairs.labels(kind.value, outcome.value).inc()


class _InformerCollector(Collector):
    def __init__(self, informers: Sequence[Informer]) -> None:
        self._informers = informers

    def collect(self) -> Iterable[Metric]:
        relists = CounterMetricFamily(
            "kaito_watch_relists", "Full lists, the first one included", labels=["resource"]
        )
        silence = GaugeMetricFamily(
            "kaito_watch_silence_seconds",
            "Seconds since the API server last sent something on the watch",
            labels=["resource"],
        )
        for informer in self._informers:
            relists.add_metric([informer.kind.plural], informer.relists_count)
            silence.add_metric([informer.kind.plural], informer.seconds_since_contact())
        return [relists, silence]
