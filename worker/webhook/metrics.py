"""The numbers of the webhook; only a process that has the role shows them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 3.0)
"""Around the 20 ms that an answer may take; 3 s is when the API server gives up."""


class Outcome(StrEnum):
    """How a request ended."""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNREAD = "unread"
    """Let through without looking: it asks for nothing."""
    MALFORMED = "malformed"
    FAILED = "failed"
    """By a bug, or because the caller went away."""


class WebhookMetrics:
    """Counts and seconds, in a process's own registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register everything, at zero."""
        self._requests = Counter(
            "kaito_webhook_requests",
            "Requests of API servers, by how they ended",
            ["outcome"],
            registry=registry,
        )
        for outcome in Outcome:
            self._requests.labels(outcome)
        self._seconds = Histogram(
            "kaito_webhook_request_seconds",
            "Seconds from a request's headers to its answer",
            buckets=BUCKETS_SECONDS,
            registry=registry,
        )
        self._certificate_ends = Gauge(
            "kaito_webhook_certificate_expiry_timestamp_seconds",
            "When the certificate that is in use expires, in Unix time",
            registry=registry,
        )
        self.is_trusted = Gauge(
            "kaito_webhook_is_registered",
            "1 while the API server is told to ask this webhook and to trust its certificate",
            registry=registry,
        )

    def count(self, outcome: Outcome, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(outcome).inc()
        self._seconds.observe(seconds)

    def certificate_ends_at(self, moment: datetime) -> None:
        """Show when the certificate in use expires."""
        self._certificate_ends.set(moment.timestamp())
