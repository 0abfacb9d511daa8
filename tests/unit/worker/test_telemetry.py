"""Log lines are one fact each, and say in whose name they were written."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from worker.activity_log import ActivityLog
from worker.metrics import Metrics
from worker.settings import LogFormat, LogLevel, TelemetrySettings
from worker.telemetry import RepeatFilter, set_up_logs

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


def _outage_record(message: str) -> logging.LogRecord:
    return logging.LogRecord("activities.clients.informer", logging.INFO, "", 0, message, (), None)


def test_a_line_that_an_outage_repeats_is_written_now_and_then_with_a_count() -> None:
    now = 0.0
    repeat = RepeatFilter(clock=lambda: now)
    same = "the API server https://127.0.0.1:6443 does not answer (list pods): try %d"
    assert repeat.filter(_outage_record(same % 1))
    for attempt in range(5):
        now += 1.0
        assert not repeat.filter(_outage_record(same % attempt))
    assert repeat.filter(_outage_record("leads: lease kaito-system/kaito-watcher"))
    now += 30.0
    later = _outage_record(same % 9)
    assert repeat.filter(later)
    assert vars(later)["left_out"] == 5


def test_lines_about_workspaces_are_never_left_out() -> None:
    repeat = RepeatFilter(clock=lambda: 0.0)
    record = logging.LogRecord("worker.activity_log", logging.INFO, "", 0, "done", (), None)
    assert repeat.filter(record)
    assert repeat.filter(record)


@pytest.mark.parametrize(
    ("error", "is_written"), [(ApplicationError("known"), False), (ValueError("bug"), True)]
)
@pytest.mark.usefixtures("_logs_restored")
def test_only_a_bug_is_worth_the_sdks_traceback(error: Exception, is_written: bool) -> None:
    stream = _set_up(LogFormat.JSON)
    logging.getLogger("temporalio.activity").warning("failed", exc_info=error)
    assert bool(stream.getvalue()) is is_written


async def _end_an_activity(error: Exception | None) -> dict[str, Any]:
    """Run an activity behind the log and return the line that it left."""

    class Ends(ActivityInboundInterceptor):
        async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
            if error is not None:
                raise error
            return "result"

    stream = _set_up(LogFormat.JSON, LogLevel.DEBUG)
    inbound = ActivityLog().intercept_activity(Ends(_Nothing()))

    async def run() -> Any:
        return await inbound.execute_activity(
            ExecuteActivityInput(fn=run, args=[], executor=None, headers={})
        )

    if error is None:
        assert await ActivityEnvironment().run(run) == "result"
    else:
        with pytest.raises(type(error)):
            await ActivityEnvironment().run(run)
    (line,) = [
        decoded
        for decoded in map(json.loads, stream.getvalue().splitlines())
        if decoded["logger"] == "worker.activity_log"
    ]
    found: dict[str, Any] = line
    return found


class _Nothing(ActivityInboundInterceptor):
    def __init__(self) -> None:
        """Stand at the end of the chain."""


@pytest.mark.usefixtures("_logs_restored")
async def test_an_activity_that_ends_leaves_one_line_with_its_seconds() -> None:
    line = await _end_an_activity(None)
    assert line["message"] == "done"
    assert line["workflow_id"] == "test"
    assert line["seconds"] >= 0


@pytest.mark.usefixtures("_logs_restored")
async def test_an_activity_that_fails_says_its_reason() -> None:
    line = await _end_an_activity(ApplicationError("no such image", type="MissingReference"))
    assert line["level"] == "warning"
    assert line["message"] == "MissingReference: no such image"
    assert line["reason"] == "MissingReference"


@pytest.mark.usefixtures("_logs_restored")
async def test_a_benign_failure_is_no_warning() -> None:
    error = ApplicationError("stops", type="HandOver", category=ApplicationErrorCategory.BENIGN)
    assert (await _end_an_activity(error))["level"] == "debug"


@pytest.mark.usefixtures("_logs_restored")
async def test_a_cancelled_activity_says_so() -> None:
    stream = _set_up(LogFormat.JSON)

    class Cancelled(ActivityInboundInterceptor):
        async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
            raise asyncio.CancelledError

    inbound = ActivityLog().intercept_activity(Cancelled(_Nothing()))

    async def run() -> Any:
        return await inbound.execute_activity(
            ExecuteActivityInput(fn=run, args=[], executor=None, headers={})
        )

    with pytest.raises(asyncio.CancelledError):
        await ActivityEnvironment().run(run)
    assert _line(stream)["message"] == "cancelled"


def test_metrics_name_what_an_operator_asks_for() -> None:
    metrics = Metrics()
    metrics.count_api_request("list", "workspaces")
    metrics.hints_sent.labels("WorkspaceWorkflow").inc()
    text = metrics.render().decode()
    assert 'kaito_api_requests_total{resource="workspaces",verb="list"} 1.0' in text
    assert 'kaito_hints_sent_total{workflow="WorkspaceWorkflow"} 1.0' in text
    assert "kaito_watcher_is_leader 0.0" in text
    assert "process_resident_memory_bytes" in text
