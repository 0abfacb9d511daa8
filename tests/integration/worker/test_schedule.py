"""A worker makes the sweep's schedule, runs what it starts, and shows the numbers."""

from __future__ import annotations

import functools

from temporalio.client import Client, ScheduleActionExecutionStartWorkflow
from temporalio.service import RPCError

from api.payloads import SweepResult
from tests.harness.temporal_server import TemporalServer
from tests.harness.waiting import eventually
from tests.integration.worker.conftest import StartWorker, WorkerProcess
from worker.schedule import SCHEDULE_ID
from workflows.sweep import SweepWorkflow


async def has_schedule(client: Client) -> bool:
    try:
        await client.get_schedule_handle(SCHEDULE_ID).describe()
    except RPCError:
        return False
    return True


async def has_swept(worker: WorkerProcess) -> bool:
    _, page = await worker.page("/metrics")
    return 'kaito_sweep_looks_total{is_complete="true"} 1.0' in page


async def test_a_worker_makes_the_schedule_and_sweeps(
    workers: StartWorker, temporal_server: TemporalServer
) -> None:
    client = await temporal_server.connect()
    worker = workers()
    await worker.until_ready()
    await eventually(functools.partial(has_schedule, client), what="the schedule")
    schedule = client.get_schedule_handle(SCHEDULE_ID)
    await schedule.trigger()
    await eventually(functools.partial(has_swept, worker), what="a sweep")

    async def actions() -> list[str]:
        recent = (await schedule.describe()).info.recent_actions
        return [
            one.action.workflow_id
            for one in recent
            if isinstance(one.action, ScheduleActionExecutionStartWorkflow)
        ]

    workflow_id = (await eventually(actions, what="the sweep's id"))[-1]
    handle = client.get_workflow_handle_for(SweepWorkflow.run, workflow_id)
    result = await handle.result()
    assert result == SweepResult(found=result.found, outcomes=result.outcomes)
    await schedule.delete()
