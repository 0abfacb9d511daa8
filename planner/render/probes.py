"""Probes: how Kubernetes learns that a model server starts, answers and lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

HEALTH_PATH: Final = "/health"

STARTUP_PERIOD_SECONDS: Final = 2
"""2 s: readiness is seen soon after it happens; an unanswered connection costs nothing."""
STARTUP_TIMEOUT_SECONDS: Final = 2
READINESS_PERIOD_SECONDS: Final = 5
READINESS_FAILURES: Final = 3
LIVENESS_PERIOD_SECONDS: Final = 10
LIVENESS_FAILURES: Final = 6
"""With the period above, a server is silent for a minute before it is started anew: a long
generation on a busy CPU delays `/health` for seconds (a guess)."""
TIMEOUT_SECONDS: Final = 5


@dataclass(frozen=True)
class Probes:
    """The three of one container."""

    startup: dict[str, Any]
    """Gives the server the preset's deadline, and keeps the other two back until it is up."""
    readiness: dict[str, Any]
    liveness: dict[str, Any]

    def as_fields(self) -> dict[str, Any]:
        """Return them as fields of a container."""
        return {
            "startupProbe": self.startup,
            "readinessProbe": self.readiness,
            "livenessProbe": self.liveness,
        }


def http_probes(ready_deadline_seconds: int) -> Probes:
    """Return probes that ask the pod's own server."""
    return Probes(
        startup=_http_probe(
            STARTUP_PERIOD_SECONDS,
            -(-ready_deadline_seconds // STARTUP_PERIOD_SECONDS),
            STARTUP_TIMEOUT_SECONDS,
        ),
        readiness=_http_probe(READINESS_PERIOD_SECONDS, READINESS_FAILURES, TIMEOUT_SECONDS),
        liveness=_http_probe(LIVENESS_PERIOD_SECONDS, LIVENESS_FAILURES, TIMEOUT_SECONDS),
    )


def exec_probe(
    line: str, period_seconds: int, failures: int, timeout_seconds: int
) -> dict[str, Any]:
    """Return a probe that runs a line of shell in the container."""
    return {
        "exec": {"command": ["/bin/sh", "-c", line]},
        "periodSeconds": period_seconds,
        "timeoutSeconds": timeout_seconds,
        "failureThreshold": failures,
    }


def _http_probe(period_seconds: int, failures: int, timeout_seconds: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": HEALTH_PATH, "port": "http"},
        "periodSeconds": period_seconds,
        "timeoutSeconds": timeout_seconds,
        "failureThreshold": failures,
    }
