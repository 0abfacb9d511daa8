"""One sweep treats what it finds, with care and with an end; and the schedule that starts it."""

from __future__ import annotations

import asyncio
import functools
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.client import Client, ScheduleDescription, ScheduleUpdate, ScheduleUpdateInput
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from api import names
from api import payloads as p
from tests.harness.waiting import eventually
from tests.workflow.conftest import workers
from tests.workflow.entity import faults
from worker import schedule
from workflows.sweep import MAX_DELETIONS, SweepWorkflow

DELETE, WAIT, START = p.StrayAction.DELETE, p.StrayAction.WAIT, p.StrayAction.START
REPAIRED, KEPT, FAILED = p.RepairOutcome.REPAIRED, p.RepairOutcome.KEPT, p.RepairOutcome.FAILED


def stray(name: str, action: p.StrayAction) -> p.Stray:
    kind = (
        p.StrayKind.WORKSPACE_WITHOUT_WORKFLOW
        if action is START
        else p.StrayKind.MACHINE_WITHOUT_CLAIM
    )
    return p.Stray(kind=kind, action=action, name=name, evidence="a test says so")


class FakeSweeping:
    """Finds what a test laid out, and repairs by noting it."""

    def __init__(self) -> None:
        self.strays: list[p.Stray] = []
        self.blind_spots: list[str] = []
        self.suspects: list[list[str]] = []
        """Names that each look was given as suspects."""
        self.repaired: list[str] = []
        self.outcomes: dict[str, p.RepairOutcome] = {}
        self.is_broken = False

    @activity.defn(name="find_strays")
    async def find_strays(self, payload: p.FindStraysInput) -> p.FindStraysResult:
        self.suspects.append([one.name for one in payload.suspects])
        if self.is_broken:
            raise ApplicationError("no", type="AccessDenied", non_retryable=True)
        counts = {one.kind: 0 for one in self.strays}
        for one in self.strays:
            counts[one.kind] += 1
        return p.FindStraysResult(strays=self.strays, counts=counts, blind_spots=self.blind_spots)

    @activity.defn(name="repair_stray")
    async def repair_stray(self, payload: p.RepairStrayInput) -> p.RepairStrayResult:
        name = payload.stray.name
        if name == "explodes":
            raise ApplicationError("boom", type="ProviderFailed", non_retryable=True)
        self.repaired.append(name)
        return p.RepairStrayResult(outcome=self.outcomes.get(name, REPAIRED), message="done")

    def activities(self) -> list[Callable[..., object]]:
        return [self.find_strays, self.repair_stray]


class Sweeps:
    """Runs sweeps on a real server."""

    def __init__(self, client: Client, world: FakeSweeping) -> None:
        self.client, self.world = client, world
        self.workflow_id = f"sweep-{uuid.uuid4().hex[:8]}"

    async def run(self) -> p.SweepResult:
        return await self.client.execute_workflow(
            SweepWorkflow.run, id=self.workflow_id, task_queue=names.TASK_QUEUE
        )

    async def details(self) -> str:
        handle = self.client.get_workflow_handle(self.workflow_id)
        return str(await handle.query("__temporal_workflow_metadata"))

    async def is_without_fault(self) -> bool:
        handle = self.client.get_workflow_handle(self.workflow_id)
        return not faults(await handle.fetch_history())


@pytest_asyncio.fixture
async def sweeps(environment: WorkflowEnvironment) -> AsyncIterator[Sweeps]:
    world = FakeSweeping()
    async with workers(environment, world):  # type: ignore[arg-type]
        yield Sweeps(environment.client, world)


async def test_a_sweep_of_a_world_in_order_does_nothing(sweeps: Sweeps) -> None:
    assert await sweeps.run() == p.SweepResult()
    assert sweeps.world.repaired == []
    assert await sweeps.is_without_fault()


async def test_each_stray_is_treated_by_its_action_and_told(sweeps: Sweeps) -> None:
    sweeps.world.strays = [stray("m1", DELETE), stray("m2", WAIT), stray("chat", START)]
    result = await sweeps.run()
    assert sweeps.world.repaired == ["m1", "chat"]
    assert result.outcomes == {REPAIRED: 2}
    assert result.found == {
        p.StrayKind.MACHINE_WITHOUT_CLAIM: 2,
        p.StrayKind.WORKSPACE_WITHOUT_WORKFLOW: 1,
    }
    assert (result.deletions_count, result.deletions_left) == (1, 0)
    assert [one.name for one in result.suspects] == ["m2"]
    details = await sweeps.details()
    for told in ("2 MachineWithoutClaim", "2 repaired", "grace period", "a test says so"):
        assert told in details


async def test_one_sweep_deletes_only_so_many_and_says_so(sweeps: Sweeps) -> None:
    sweeps.world.strays = [stray(f"m{n}", DELETE) for n in range(MAX_DELETIONS + 3)]
    sweeps.world.strays.append(stray("chat", START))
    result = await sweeps.run()
    assert len(sweeps.world.repaired) == MAX_DELETIONS + 1
    assert sweeps.world.repaired[-1] == "chat"
    assert (result.deletions_count, result.deletions_left) == (MAX_DELETIONS, 3)
    assert len(result.suspects) == 3
    assert "left for the next sweep" in await sweeps.details()


async def test_failures_count_as_deletions_end_nothing_and_stay_suspected(sweeps: Sweeps) -> None:
    sweeps.world.strays = [stray("explodes", DELETE), stray("kept", DELETE), stray("m", DELETE)]
    sweeps.world.outcomes = {"kept": KEPT}
    result = await sweeps.run()
    assert sweeps.world.repaired == ["kept", "m"]
    assert result.outcomes == {FAILED: 1, KEPT: 1, REPAIRED: 1}
    assert result.deletions_count == 3
    assert [one.name for one in result.suspects] == ["explodes", "kept"]
    assert await sweeps.is_without_fault()


async def test_a_sweep_that_sees_nothing_ends_well_and_suspects_nobody(sweeps: Sweeps) -> None:
    sweeps.world.is_broken = True
    result = await sweeps.run()
    (said,) = result.blind_spots
    assert "AccessDenied" in said
    assert result.suspects == []
    assert "led to no deletion" in await sweeps.details()


async def test_after_an_outage_grace_periods_begin_anew(sweeps: Sweeps) -> None:
    sweeps.world.strays = [stray("m", WAIT)]
    sweeps.world.blind_spots = ["Workspaces: the API server does not answer"]
    assert (await sweeps.run()).suspects == []


# --- The schedule -------------------------------------------------------------------------------


async def describe(client: Client) -> ScheduleDescription:
    return await client.get_schedule_handle(schedule.SCHEDULE_ID).describe()


async def test_the_schedule_hands_suspects_from_one_sweep_to_the_next(sweeps: Sweeps) -> None:
    sweeps.world.strays = [stray("m", WAIT)]
    await schedule.ensure_schedule(sweeps.client)
    handle = sweeps.client.get_schedule_handle(schedule.SCHEDULE_ID)

    async def has_swept(times: int) -> bool:
        is_idle = not (await describe(sweeps.client)).info.running_actions
        return is_idle and len(sweeps.world.suspects) == times

    for times in (1, 2):
        await handle.trigger()
        await eventually(functools.partial(has_swept, times), what=f"sweep {times}")
    assert sweeps.world.suspects == [[], ["m"]]


async def test_the_schedule_is_made_once_and_as_it_should_be(sweeps: Sweeps) -> None:
    await schedule.ensure_schedule(sweeps.client)
    first = await describe(sweeps.client)
    await schedule.ensure_schedule(sweeps.client)
    again = await describe(sweeps.client)
    assert again.info.last_updated_at == first.info.last_updated_at, "written without need"
    assert schedule._essence(again.schedule) == schedule._essence(schedule.wanted_schedule())


async def test_many_workers_make_one_schedule(sweeps: Sweeps) -> None:
    await asyncio.gather(*(schedule.ensure_schedule(sweeps.client) for _ in range(8)))
    found = [one.id async for one in await sweeps.client.list_schedules()]
    assert found in ([schedule.SCHEDULE_ID], [])  # Visibility of schedules lags.


async def test_a_pause_is_respected_and_what_differs_is_set_right(sweeps: Sweeps) -> None:
    await schedule.ensure_schedule(sweeps.client)
    handle = sweeps.client.get_schedule_handle(schedule.SCHEDULE_ID)

    async def slow_down(found: ScheduleUpdateInput) -> ScheduleUpdate:
        changed = found.description.schedule
        changed.spec.intervals[0].every = timedelta(days=1)
        return ScheduleUpdate(changed)

    await handle.update(slow_down)
    await handle.pause(note="an operator's reason")

    async def is_paused() -> bool:
        return (await describe(sweeps.client)).schedule.state.paused

    await eventually(is_paused, what="the server's own view of the pause")
    await schedule.ensure_schedule(sweeps.client)
    found = (await describe(sweeps.client)).schedule
    assert found.spec.intervals[0].every == schedule.INTERVAL
    assert found.state.paused
    assert found.state.note == "an operator's reason"


async def test_without_the_right_to_make_it_the_worker_says_so_and_goes_on(
    sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(client: Client) -> None:
        raise RPCError("not for you", RPCStatusCode.PERMISSION_DENIED, b"")

    monkeypatch.setattr(schedule, "ensure_schedule", refuse)
    keeping = asyncio.create_task(schedule.keep_schedule(sweeps.client))
    await asyncio.sleep(0.1)
    assert not keeping.done()
    keeping.cancel()
    assert "not for you" in caplog.text
    assert "temporal schedule create" in caplog.text
