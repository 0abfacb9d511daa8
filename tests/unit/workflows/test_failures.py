"""What each way in which an activity can fail means to the loop."""

from __future__ import annotations

from random import Random

import pytest
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    RetryState,
    TimeoutType,
)
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from api.errors import BY_REASON, PlatformError, Remedy
from api.payloads import Problem
from workflows.failures import (
    ActivityFailed,
    from_activity_error,
    is_of_machine,
    remedy_for,
)
from workflows.outcomes import Blocked, Waiting, of_failure


def activity_error(
    cause: BaseException, state: RetryState = RetryState.NON_RETRYABLE_FAILURE
) -> ActivityError:
    error = ActivityError(
        "Activity task failed",
        scheduled_event_id=1,
        started_event_id=2,
        identity="worker",
        activity_type="await_nodes",
        activity_id="1",
        retry_state=state,
    )
    error.__cause__ = cause
    return error


def timed_out(kind: TimeoutType, cause: BaseException | None = None) -> ActivityError:
    timeout = TemporalTimeoutError("timed out", type=kind, last_heartbeat_details=[])
    timeout.__cause__ = cause
    return activity_error(timeout, RetryState.TIMEOUT)


@pytest.mark.parametrize("reason", BY_REASON)
def test_a_known_reason_keeps_its_words_and_its_remedy(reason: str) -> None:
    failed = from_activity_error(activity_error(ApplicationError("in its words", type=reason)))
    assert failed.problem == Problem(reason=reason, message="in its words")
    assert failed.remedy is BY_REASON[reason].remedy
    assert failed.activity == "await_nodes"


def test_a_fast_retry_that_ran_out_of_time_becomes_a_slow_one_and_is_shown() -> None:
    told = ApplicationError("connection refused", type="ClusterUnavailable")
    for error in (
        activity_error(told, RetryState.TIMEOUT),
        timed_out(TimeoutType.SCHEDULE_TO_CLOSE, told),
    ):
        failed = from_activity_error(error)
        assert failed.remedy is Remedy.SLOW_RETRY
        assert failed.problem.reason == "ClusterUnavailable"


@pytest.mark.parametrize("kind", [TimeoutType.SCHEDULE_TO_CLOSE, TimeoutType.HEARTBEAT])
def test_a_bare_timeout_names_the_activity(kind: TimeoutType) -> None:
    failed = from_activity_error(timed_out(kind))
    assert failed.problem.reason == "DeadlineExceeded"
    assert "await_nodes" in failed.problem.message
    assert failed.remedy is Remedy.SLOW_RETRY


def test_an_error_that_nobody_named_is_shown_as_such() -> None:
    failed = from_activity_error(activity_error(ApplicationError("'x'", type="KeyError")))
    assert failed.problem.reason == PlatformError.reason()
    assert "await_nodes" in failed.problem.message
    assert failed.remedy is Remedy.SLOW_RETRY


def test_a_cancellation_from_outside_is_tried_again_soon() -> None:
    failed = from_activity_error(activity_error(CancelledError("by an operator")))
    assert failed.remedy is Remedy.FAST_RETRY


def test_a_reason_of_a_newer_worker_is_tried_again_slowly() -> None:
    assert remedy_for("InventedTomorrow") is Remedy.SLOW_RETRY


@pytest.mark.parametrize("reason", BY_REASON)
def test_only_what_an_edit_mends_blocks(reason: str) -> None:
    failed = ActivityFailed("x", Problem(reason=reason, message=""), BY_REASON[reason].remedy)
    outcome = of_failure(failed, 1, Random(1))  # noqa: S311 - seeded on purpose
    match BY_REASON[reason].remedy:
        case Remedy.EDIT:
            assert outcome == Blocked(failed.problem)
        case Remedy.SLOW_RETRY:
            assert isinstance(outcome, Waiting)
            assert outcome.problem == failed.problem
        case Remedy.FAST_RETRY:
            assert isinstance(outcome, Waiting)
            assert outcome.problem is None


def test_only_who_looked_at_a_machine_can_say_that_it_did_not_come_up() -> None:
    told = ApplicationError("the node never joined", type="DeadlineExceeded")
    assert is_of_machine(from_activity_error(activity_error(told)))
    nobody_worked = from_activity_error(timed_out(TimeoutType.SCHEDULE_TO_START))
    assert nobody_worked.problem.reason == "DeadlineExceeded"
    assert not is_of_machine(nobody_worked)
    other = ApplicationError("HTTP 500", type="ProviderFailed")
    assert not is_of_machine(from_activity_error(activity_error(other)))
