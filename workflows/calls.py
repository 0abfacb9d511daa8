"""The one place that calls an activity: limits by its name, failures translated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows import failures, limits

Argument = TypeVar("Argument")
Result = TypeVar("Result")


async def execute(
    contract: Callable[[Argument], Awaitable[Result]],
    argument: Argument,
    *,
    summary: str,
    deadline_seconds: int = 0,
) -> Result:
    """Run an activity by its contract and return its result.

    Args:
        contract: A function of `api.contracts`.
        argument: Its payload.
        summary: One line for Temporal's UI, about this call.
        deadline_seconds: The deadline that a wait was given in its payload.

    Raises:
        failures.ActivityFailed: The activity gave up.
        asyncio.CancelledError: The work around this call was superseded.
    """
    its = limits.LIMITS[contract.__name__]
    deadline = timedelta(seconds=deadline_seconds)
    try:
        result = await workflow.execute_activity(
            contract,
            argument,
            task_queue=its.task_queue,
            start_to_close_timeout=deadline + its.start_to_close,
            schedule_to_close_timeout=deadline + its.schedule_to_close,
            heartbeat_timeout=its.heartbeat,
            retry_policy=its.retry,
            cancellation_type=its.cancellation,
            summary=summary,
        )
    except ActivityError as error:
        raise_if_superseded()
        raise failures.from_activity_error(error) from error
    raise_if_superseded()
    return result


def raise_if_superseded() -> None:
    """Stop here if the task that runs this was cancelled.

    An activity that is waited for until it has ended may end well after all; its result then comes
    back as if nothing had happened, and the cancellation would be lost.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
