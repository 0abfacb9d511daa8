"""Keeps Temporal's schedule of the sweep as it should be; an operator's pause is respected.

Every process with the watcher's role does it: the schedule's id makes one of many, and who finds it
as it should be writes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Final

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from api import names
from workflows.sweep import SWEEP_WORKFLOW

_logger = logging.getLogger(__name__)

SCHEDULE_ID: Final = "kaito-sweep"

WORKFLOW_ID: Final = "sweep"
"""Temporal adds the time to it."""

INTERVAL: Final = timedelta(minutes=15)
"""15 min between sweeps: with the grace period of 10 min a stray node is given back within 30 min,
at 4 USD an hour for less than 2 USD, and Azure's budget for reads hardly notices one list."""

JITTER: Final = timedelta(minutes=2)
"""Up to 2 min later, so that several installations do not ask one subscription at once."""

CATCH_UP: Final = timedelta(minutes=1)
"""1 min: a sweep that was missed is not made up for, as the next one sees the same world."""

EXECUTION_TIMEOUT: Final = timedelta(hours=1)
"""1 h for one sweep, which takes seconds: one that hangs must not hold up the next for ever."""

RPC_TIMEOUT: Final = timedelta(seconds=10)

KEEP_SECONDS: Final = 3600.0
"""1 h between two looks at the schedule: one that somebody deleted is back within that time."""

RETRY_SECONDS: Final = 60.0
"""1 min after Temporal did not answer."""

_NO_RIGHT: Final = frozenset(
    {
        RPCStatusCode.PERMISSION_DENIED,
        RPCStatusCode.UNAUTHENTICATED,
        RPCStatusCode.UNIMPLEMENTED,
    }
)


async def keep_schedule(client: Client) -> None:
    """See to it that the schedule exists and is as it should be, until cancelled."""
    is_told = False
    while True:
        pause_seconds = KEEP_SECONDS
        try:
            await ensure_schedule(client)
        except RPCError as error:
            if error.status not in _NO_RIGHT:
                pause_seconds = RETRY_SECONDS
            if not is_told:
                _logger.warning(
                    "schedule %s can't be kept (%s: %s); strays are not swept up until it exists: "
                    "%s",
                    SCHEDULE_ID,
                    error.status.name,
                    error.message,
                    creation_command(client.namespace),
                )
            is_told = True
        else:
            is_told = False
        await asyncio.sleep(pause_seconds)


async def ensure_schedule(client: Client) -> None:
    """Create the schedule, or set right what differs; paused stays paused.

    Raises:
        RPCError: Temporal refused or did not answer.
    """
    try:
        await client.create_schedule(SCHEDULE_ID, wanted_schedule(), rpc_timeout=RPC_TIMEOUT)
    except ScheduleAlreadyRunningError:
        handle = client.get_schedule_handle(SCHEDULE_ID)
        await handle.update(_set_right, rpc_timeout=RPC_TIMEOUT)
    else:
        _logger.info("created schedule %s", SCHEDULE_ID)


def wanted_schedule() -> Schedule:
    """Return the schedule as it should be."""
    return Schedule(
        action=ScheduleActionStartWorkflow(
            SWEEP_WORKFLOW,
            id=WORKFLOW_ID,
            task_queue=names.TASK_QUEUE,
            execution_timeout=EXECUTION_TIMEOUT,
            static_summary="Finds what got lost, and repairs it",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=INTERVAL)], jitter=JITTER),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
        state=ScheduleState(note="Kept by kaito-temporal; pause it to stop sweeping"),
    )


def _set_right(found: ScheduleUpdateInput) -> ScheduleUpdate | None:
    schedule, wanted = found.description.schedule, wanted_schedule()
    if _essence(schedule) == _essence(wanted):
        return None
    _logger.info("schedule %s differs from what it should be; set right", SCHEDULE_ID)
    # The state is the operator's: paused or not, and why.
    return ScheduleUpdate(schedule=replace(wanted, state=schedule.state))


def _essence(schedule: Schedule) -> tuple[object, ...]:
    """Return what counts of a schedule."""
    action, spec, policy = schedule.action, schedule.spec, schedule.policy
    if not isinstance(action, ScheduleActionStartWorkflow):
        return ()
    intervals = [(one.every, one.offset or timedelta(0)) for one in spec.intervals]
    others = (len(spec.calendars), len(spec.cron_expressions), len(spec.skip))
    return (
        (action.workflow, action.id, action.task_queue, action.execution_timeout),
        (intervals, others, spec.jitter),
        (policy.overlap, policy.catchup_window, policy.pause_on_failure),
    )


def creation_command(namespace: str) -> str:
    """Return the shell command that makes the schedule by hand."""
    return (
        f"temporal schedule create --namespace {namespace} --schedule-id {SCHEDULE_ID} "
        f"--workflow-id {WORKFLOW_ID} --type {SWEEP_WORKFLOW} --task-queue {names.TASK_QUEUE} "
        f"--interval {int(INTERVAL.total_seconds())}s --jitter {int(JITTER.total_seconds())}s "
        f"--overlap-policy Skip --catchup-window {int(CATCH_UP.total_seconds())}s "
        f"--execution-timeout {int(EXECUTION_TIMEOUT.total_seconds())}s"
    )
