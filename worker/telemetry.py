"""What a process says: one line a fact, and the numbers of Temporal's SDK.

Every line that is written while an activity or a workflow runs carries its workflow id, so that
one `grep` shows all that ever happened to one Workspace.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from worker.settings import LogFormat, TelemetrySettings

CONTEXT_FIELDS: Final = ("workflow_id", "workflow_type", "activity", "attempt", "left_out")
"""Fields of a line that say in whose name it was written, in the order of the console."""

FACTS_FIELD: Final = "facts"
"""`logger.info("...", extra={"facts": {...}})`: further fields of a line."""

SDK_LOGGER: Final = "temporalio.core"
SDK_ACTIVITY_LOGGER: Final = "temporalio.activity"

OUTAGE_LOGGERS: Final = (SDK_LOGGER, "activities.clients", "worker.watcher")
"""Who speaks while Temporal or the API server is away."""

REPEAT_SECONDS: Final = 30.0
"""30 s: an outage stays visible in the log and does not fill it."""

REPEAT_KEY_CHARACTERS: Final = 60
"""Lines that begin alike say the same; addresses, counts and causes come later in the line."""


class ContextFilter(logging.Filter):
    """Notes the running activity or workflow on each record; passes everything."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; where none runs, add nothing."""
        if activity.in_activity():
            info = activity.info()
            record.workflow_id = info.workflow_id
            record.workflow_type = info.workflow_type
            record.activity = info.activity_type
            record.attempt = info.attempt
        elif workflow.in_workflow():
            workflow_info = workflow.info()
            record.workflow_id = workflow_info.workflow_id
            record.workflow_type = workflow_info.workflow_type
        return True


def is_not_said_twice(record: logging.LogRecord) -> bool:
    """Drop the SDK's own line about a failed activity whose failure is an expected one.

    `worker.activity_log` has said it in one line; only a bug's traceback is worth more.
    """
    error = record.exc_info[1] if record.exc_info else None
    return record.name != SDK_ACTIVITY_LOGGER or not isinstance(
        error, (ApplicationError, asyncio.CancelledError)
    )


class RepeatFilter(logging.Filter):
    """Lets a line through once in a while when an outage makes it repeat many times a second.

    Only lines of `OUTAGE_LOGGERS`: what happened to one Workspace is never left out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing seen."""
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether to write the line; one that is written tells how many were not."""
        if not record.name.startswith(OUTAGE_LOGGERS):
            return True
        now = self._clock()
        key = (record.name, record.levelno, record.getMessage()[:REPEAT_KEY_CHARACTERS])
        written_at, left_out_count = self._seen.get(key, (now - REPEAT_SECONDS, 0))
        if now - written_at < REPEAT_SECONDS:
            self._seen[key] = (written_at, left_out_count + 1)
            return False
        self._seen = {
            other: seen for other, seen in self._seen.items() if now - seen[0] < REPEAT_SECONDS
        }
        self._seen[key] = (now, 0)
        if left_out_count:
            record.left_out = left_out_count
        return True


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    found = {name: getattr(record, name) for name in CONTEXT_FIELDS if hasattr(record, name)}
    found.update(getattr(record, FACTS_FIELD, {}))
    return found


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class ConsoleFormatter(logging.Formatter):
    """A line for people: time, level, message, then what it is about."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        clock = datetime.fromtimestamp(record.created, tz=UTC).astimezone().strftime("%H:%M:%S")
        about = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        line = f"{clock} {record.levelname.lower():7} {record.getMessage()}"
        if about:
            line = f"{line}  [{about}]"
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


FORMATTERS: Final[dict[LogFormat, type[logging.Formatter]]] = {
    LogFormat.JSON: JsonFormatter,
    LogFormat.CONSOLE: ConsoleFormatter,
}


def set_up_logs(settings: TelemetrySettings, stream: TextIO | None = None) -> None:
    """Send every log line of the process to `stream` (standard error by default)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(FORMATTERS[settings.log_format]())
    handler.addFilter(is_not_said_twice)
    handler.addFilter(RepeatFilter())
    handler.addFilter(ContextFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    # The SDK appends its context to each message as a dictionary; our fields say it once.
    activity.logger.activity_info_on_message = False
    workflow.logger.workflow_info_on_message = False


def start_runtime(metrics_port: int) -> Runtime:
    """Start the SDK's core: its log lines become ours, its metrics are served on loopback."""
    return Runtime(
        telemetry=TelemetryConfig(
            logging=LoggingConfig(
                filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
                forwarding=LogForwardingConfig(logger=logging.getLogger(SDK_LOGGER)),
            ),
            metrics=PrometheusConfig(
                bind_address=f"127.0.0.1:{metrics_port}",
                durations_as_seconds=True,
                counters_total_suffix=True,
                unit_suffix=True,
            ),
        )
    )


def free_loopback_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
