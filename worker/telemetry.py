"""What a process says: one line a fact, and the numbers of Temporal's SDK.

Every line that is written while an activity or a workflow runs carries its workflow id, so that
one `grep` shows all that ever happened to one Workspace.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from temporalio import activity, workflow
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from worker.settings import LogFormat, TelemetrySettings

CONTEXT_FIELDS: Final = ("workflow_id", "workflow_type", "activity", "attempt")
"""Fields of a line that say in whose name it was written, in the order of the console."""

FACTS_FIELD: Final = "facts"
"""`logger.info("...", extra={"facts": {...}})`: further fields of a line."""

SDK_LOGGER: Final = "temporalio.core"


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
        time = datetime.fromtimestamp(record.created, tz=UTC).astimezone().strftime("%H:%M:%S")
        about = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        line = f"{time} {record.levelname.lower():7} {record.getMessage()}"
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
