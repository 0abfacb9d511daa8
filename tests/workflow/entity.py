"""One entity workflow under test: signals, queries, and the histories of all its runs."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import WorkflowHandle, WorkflowHistory
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from api import payloads as p
from tests.workflow.fake_world import UNTIL_SECONDS

TIMER_STARTED: Final = EventType.EVENT_TYPE_TIMER_STARTED

# No fault of the workflow's code: the server refused to close a run because a signal had just
# arrived, and gives the task again; or the test ended the run in the middle of a task.
HARMLESS_CAUSES = {
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
}


class Entity:
    """Talks to one workflow id."""

    def __init__(
        self, environment: WorkflowEnvironment, workflow: str, workflow_id: str, queue: str
    ) -> None:
        self.environment = environment
        self.client = environment.client
        self.workflow = workflow
        self.id = workflow_id
        self.queue = queue
        self.first_run_ids: list[str] = []

    async def hint(self, start_input: Any, **fields: Any) -> None:
        """Signal with start, as the watcher does."""
        handle: WorkflowHandle[Any, Any] = await self.client.start_workflow(
            self.workflow,
            start_input,
            id=self.id,
            task_queue=self.queue,
            start_signal="desired_changed",
            start_signal_args=[p.DesiredChanged(**fields)],
        )
        run_id = handle.first_execution_run_id or handle.result_run_id
        if run_id and run_id not in self.first_run_ids:
            self.first_run_ids.append(run_id)

    @property
    def handle(self) -> WorkflowHandle[Any, Any]:
        """The newest run."""
        return self.client.get_workflow_handle(self.id)

    async def signal(self, name: str, *args: Any) -> None:
        """Send a signal by its name."""
        await self.handle.signal(name, args=args)

    async def query(self, name: str) -> Any:
        """Ask a query by its name."""
        return await self.handle.query(name)

    async def settled(self) -> None:
        """Wait until no activity runs, where the server can tell.

        The jumping server's clock stands still while an activity runs. It is also the one that
        stumbles when work is superseded whose activity ended that moment.
        """
        if self.environment.supports_time_skipping_v1:
            await self.environment.sleep(1)

    async def ended(self) -> None:
        """Wait until the newest run, and those that it goes on in, are over."""
        await self.handle.result()

    async def terminate(self) -> None:
        """End the workflow, if it still runs."""
        try:
            await self.handle.terminate("the test is over")
        except RPCError:
            return

    async def histories(self) -> list[WorkflowHistory]:
        """Return the history of every run of every chain, oldest first."""
        found: list[WorkflowHistory] = []
        seen: set[str] = set()
        for first in self.first_run_ids:
            run_id: str | None = first
            while run_id and run_id not in seen:
                seen.add(run_id)
                handle = self.client.get_workflow_handle(self.id, run_id=run_id)
                history = await handle.fetch_history()
                found.append(history)
                last = history.events[-1].workflow_execution_continued_as_new_event_attributes
                run_id = last.new_execution_run_id or None
        return found


async def until_asleep(entity: Entity) -> None:
    """Wait until the last thing that the workflow did was to start a timer."""
    async with asyncio.timeout(UNTIL_SECONDS):
        while (await entity.histories())[-1].events[-1].event_type != TIMER_STARTED:
            continue  # Asking the server is what takes time here.


def faults(history: WorkflowHistory) -> list[str]:
    """Name what must be in no history: failed workflow tasks and failed runs."""
    found: list[str] = []
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
            failed = event.workflow_task_failed_event_attributes
            if failed.cause not in HARMLESS_CAUSES:
                found.append(f"workflow task failed: {failed.failure.message or failed.cause}")
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
            failure = event.workflow_execution_failed_event_attributes.failure
            found.append(f"run failed: {failure.message}")
    return found


def activities(history: WorkflowHistory) -> list[str]:
    """Return the activities of a history, in order."""
    return [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]


def claims_told(history: WorkflowHistory) -> list[int]:
    """Return the ids of the events that are orders to the workflows of claims."""
    kind = EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED
    return [event.event_id for event in history.events if event.event_type == kind]
