"""What a failed activity means: a problem for people and a remedy for the loop.

A failed activity must never fail the run. So `ActivityError`, which would, is turned at the call
into `ActivityFailed`, which is no Temporal failure: if one ever escaped, the workflow task would
stop visibly, as with any bug, and a fixed worker would go on.
"""

from __future__ import annotations

from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    RetryState,
)
from temporalio.exceptions import (
    TimeoutError as TemporalTimeoutError,
)

from api.errors import (
    BY_REASON,
    CapacityUnavailable,
    DeadlineExceeded,
    NotReadyYet,
    PlatformError,
    Remedy,
    trim,
)
from api.payloads import Problem


class ActivityFailed(Exception):
    """An activity gave up: why, in words for people, and what to do about it."""

    def __init__(
        self, activity: str, problem: Problem, remedy: Remedy, *, is_told: bool = False
    ) -> None:
        """Keep what the loop needs; `is_told`: the activity itself gave the problem."""
        super().__init__(f"{activity}: {problem.reason}: {problem.message}")
        self.activity = activity
        self.problem = problem
        self.remedy = remedy
        self.is_told = is_told


def remedy_for(reason: str) -> Remedy:
    """Return what to do about a reason; an unknown one is a newer worker's, and may pass."""
    return BY_REASON.get(reason, PlatformError).remedy


def is_of_capacity(problem: Problem) -> bool:
    """Return whether the provider has not what was asked for, and may have something else."""
    return issubclass(BY_REASON.get(problem.reason, PlatformError), CapacityUnavailable)


def is_of_machine(failed: ActivityFailed) -> bool:
    """Return whether an activity says that a machine did not come up in its time.

    An activity that no worker finished says nothing about machines.
    """
    return failed.is_told and failed.problem.reason == DeadlineExceeded.reason()


def from_activity_error(error: ActivityError) -> ActivityFailed:
    """Translate the failure of an activity, whatever way it failed."""
    activity = error.activity_type
    told = _application_error(error)
    if told is not None and told.type in BY_REASON:
        remedy = remedy_for(told.type)
        if remedy is Remedy.FAST_RETRY and _ran_out_of_time(error):
            # It was retried fast for as long as the limit allows; going on so would hide it.
            remedy = Remedy.SLOW_RETRY
        problem = Problem(reason=told.type, message=told.message)
        return ActivityFailed(activity, problem, remedy, is_told=True)
    if told is not None:
        # An error that the activities' translator does not know is a bug there; say so, slowly.
        message = trim(f"{activity} failed in a way that it has no name for: {told.message}")
        problem = Problem(reason=PlatformError.reason(), message=message)
        return ActivityFailed(activity, problem, Remedy.SLOW_RETRY)
    if _ran_out_of_time(error):
        message = f"{activity} was not finished by any worker within its time limit"
        problem = Problem(reason=DeadlineExceeded.reason(), message=message)
        return ActivityFailed(activity, problem, Remedy.SLOW_RETRY)
    # Cancelled from outside (an operator's `temporal activity` command): try again.
    problem = Problem(reason=NotReadyYet.reason(), message=f"{activity} was cancelled")
    return ActivityFailed(activity, problem, Remedy.FAST_RETRY)


def _application_error(error: BaseException) -> ApplicationError | None:
    cause = error.__cause__
    while cause is not None and not isinstance(cause, ApplicationError):
        cause = cause.__cause__
    return cause


def _ran_out_of_time(error: ActivityError) -> bool:
    return error.retry_state is RetryState.TIMEOUT or isinstance(error.cause, TemporalTimeoutError)
