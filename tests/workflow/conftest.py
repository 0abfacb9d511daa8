"""A time-skipping server, a world and an entity workflow for each test."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from api import names
from api.payloads import WorkspaceRef
from api.workflow_inputs import WorkspaceWorkflowInput
from tests.workflow.entity import Entity, faults
from tests.workflow.fake_claim import FakeClaim
from tests.workflow.fake_world import FakeWorld
from workflows.registry import WORKFLOWS, workflow_runner

PROGRAMS = Path(__file__).parents[2] / ".venv" / "bin"


@pytest_asyncio.fixture
async def environment(request: pytest.FixtureRequest) -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal server: the one that jumps over waiting times where a test asks for this fixture.

    The others get the real server. The jumping one is a model of it that refuses to cancel an
    activity which ended a moment ago, and then a workflow stands still for ten seconds.

    One per test (0.2 to 0.5 s): a workflow that is ended in the middle of a task leaves the jumping
    server's clock locked, and the next test would wait for ever.
    """
    asks_for_time = "environment" in inspect.signature(request.function).parameters
    start = start_skipping_server if asks_for_time else start_real_server
    async with await start() as environment:
        await register_search_attributes(environment)
        yield environment


async def start_skipping_server() -> WorkflowEnvironment:
    """Start Temporal's test server."""
    return await WorkflowEnvironment.start_time_skipping(
        data_converter=pydantic_data_converter,
        test_server_existing_path=str(PROGRAMS / "temporal-test-server"),
    )


async def start_real_server() -> WorkflowEnvironment:
    """Start Temporal's development server, in memory."""
    return await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(PROGRAMS / "temporal"),
        dev_server_log_level="error",
    )


async def register_search_attributes(environment: WorkflowEnvironment) -> None:
    """Make our search attributes known; an upsert of an unknown one wedges a workflow."""
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    number = IndexedValueType.INDEXED_VALUE_TYPE_INT
    await environment.client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=environment.client.namespace,
            search_attributes={
                **dict.fromkeys(names.KEYWORD_SEARCH_ATTRIBUTES, keyword),
                **dict.fromkeys(names.INT_SEARCH_ATTRIBUTES, number),
            },
        )
    )


@asynccontextmanager
async def workers(
    environment: WorkflowEnvironment, world: FakeWorld | FakeClaim
) -> AsyncIterator[None]:
    """Serve both queues with the activities of a world."""
    async with AsyncExitStack() as stack:
        for queue, workflows in ((names.TASK_QUEUE, WORKFLOWS), (names.WAIT_TASK_QUEUE, ())):
            worker = Worker(
                environment.client,
                task_queue=queue,
                workflows=workflows,
                workflow_runner=workflow_runner(),
                activities=world.activities(),
            )
            await stack.enter_async_context(worker)
        yield


class WorkspaceEntity(Entity):
    """The entity of a Workspace; hints name the object as it is in the world."""

    def __init__(self, environment: WorkflowEnvironment, world: FakeWorld) -> None:
        workflow_id = names.workspace_workflow_id(world.ref.namespace, world.ref.name)
        super().__init__(environment, names.WORKSPACE_WORKFLOW, workflow_id, names.TASK_QUEUE)
        self.world = world
        self.passes_per_run = 0

    async def tell(self, **fields: object) -> None:
        """Send the hint that the watcher would send now."""
        found = self.world.workspace
        seen: dict[str, object] = {}
        if found is not None:
            seen = {
                "uid": found.uid,
                "generation": found.generation,
                "deleting": found.deleting,
            }
        await self.hint(
            WorkspaceWorkflowInput(
                workspace=WorkspaceRef(
                    namespace=self.world.ref.namespace, name=self.world.ref.name
                ),
                continue_as_new_after_passes=self.passes_per_run,
            ),
            **(seen | fields),
        )

    async def tell_owned(self) -> None:
        """Send the hint of a change of an owned object."""
        assert self.world.workspace is not None
        await self.hint(
            WorkspaceWorkflowInput(workspace=self.world.ref),
            uid=self.world.workspace.uid,
            cause="StatefulSet w modified",
        )


@pytest.fixture
def world() -> FakeWorld:
    """A Workspace that was just applied."""
    return FakeWorld(name=f"w-{uuid.uuid4().hex[:8]}")


@pytest_asyncio.fixture
async def entity(
    environment: WorkflowEnvironment, world: FakeWorld
) -> AsyncIterator[WorkspaceEntity]:
    """Its workflow; after the test no history may hold a failed workflow task."""
    entity = WorkspaceEntity(environment, world)
    async with workers(environment, world):
        yield entity
        await entity.terminate()
        histories = await entity.histories()
    assert histories, "the test started no workflow"
    assert [fault for history in histories for fault in faults(history)] == []
