"""Log lines are one fact each, and say in whose name they were written."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from temporalio import activity
from temporalio.testing import ActivityEnvironment

from worker.metrics import Metrics
from worker.settings import LogFormat, LogLevel, TelemetrySettings
from worker.telemetry import set_up_logs

_logger = logging.getLogger("kaito.test")


@pytest.fixture
def _logs_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _set_up(log_format: LogFormat, log_level: LogLevel = LogLevel.INFO) -> io.StringIO:
    stream = io.StringIO()
    set_up_logs(TelemetrySettings(log_level=log_level, log_format=log_format), stream)
    return stream


def _line(stream: io.StringIO) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(stream.getvalue())
    return decoded


@pytest.mark.usefixtures("_logs_restored")
def test_a_json_line_holds_the_fact_and_its_fields() -> None:
    stream = _set_up(LogFormat.JSON)
    _logger.info("created %d claims", 2, extra={"facts": {"workspace": "default/phi"}})
    line = _line(stream)
    assert line["message"] == "created 2 claims"
    assert line["level"] == "info"
    assert line["logger"] == "kaito.test"
    assert line["workspace"] == "default/phi"
    assert line["time"].endswith("+00:00")


@pytest.mark.usefixtures("_logs_restored")
def test_a_message_of_two_lines_stays_one_line_of_json() -> None:
    stream = _set_up(LogFormat.JSON)
    _logger.warning("first\nsecond")
    assert stream.getvalue().count("\n") == 1
    assert _line(stream)["message"] == "first\nsecond"


@pytest.mark.usefixtures("_logs_restored")
def test_an_error_keeps_its_traceback() -> None:
    stream = _set_up(LogFormat.JSON)
    try:
        raise ValueError("broken")  # noqa: TRY301 - the traceback is what this is about
    except ValueError:
        _logger.exception("failed")
    assert "ValueError: broken" in _line(stream)["error"]


@pytest.mark.usefixtures("_logs_restored")
async def test_a_line_of_an_activity_carries_its_workflow_id() -> None:
    stream = _set_up(LogFormat.JSON)

    @activity.defn
    async def work() -> None:
        _logger.info("asked the API server")

    await ActivityEnvironment().run(work)
    line = _line(stream)
    assert line["workflow_id"] == "test"
    assert line["activity"] == "unknown"
    assert line["attempt"] == 1


@pytest.mark.usefixtures("_logs_restored")
def test_a_line_outside_of_activities_has_no_such_fields() -> None:
    stream = _set_up(LogFormat.JSON)
    _logger.info("started")
    assert "workflow_id" not in _line(stream)


@pytest.mark.usefixtures("_logs_restored")
def test_a_console_line_is_for_people() -> None:
    stream = _set_up(LogFormat.CONSOLE)
    _logger.info("leads", extra={"facts": {"lease": "kaito-system/kaito-watcher"}})
    assert stream.getvalue().rstrip().endswith("leads  [lease=kaito-system/kaito-watcher]")


@pytest.mark.usefixtures("_logs_restored")
def test_lines_below_the_level_are_not_written() -> None:
    stream = _set_up(LogFormat.CONSOLE, LogLevel.WARNING)
    _logger.info("quiet")
    assert stream.getvalue() == ""


def test_metrics_name_what_an_operator_asks_for() -> None:
    metrics = Metrics()
    metrics.count_api_request("list", "workspaces")
    metrics.hints_sent.labels("WorkspaceWorkflow").inc()
    text = metrics.render().decode()
    assert 'kaito_api_requests_total{resource="workspaces",verb="list"} 1.0' in text
    assert 'kaito_hints_sent_total{workflow="WorkspaceWorkflow"} 1.0' in text
    assert "kaito_watcher_is_leader 0.0" in text
    assert "process_resident_memory_bytes" in text
