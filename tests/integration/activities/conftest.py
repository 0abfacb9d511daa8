"""Activities as a worker runs them, on a real API server with controllers, scheduler and kwok."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from temporalio.testing import ActivityEnvironment

from activities.clients.kubernetes import WORKSPACES, KubernetesClient
from activities.context import ActivityContext, ActivitySettings, open_context
from api.payloads import WorkspaceRef
from planner.world import PlatformSettings
from presets.loader import load_catalogue
from tests import gen
from tests.harness.cluster import Cluster
from tests.harness.model_stub import ModelStub
from tests.harness.node_cloud import NodeCloud
from tests.integration.activities.fake_hub import FakeHub

Run = Callable[..., Awaitable[Any]]

MODEL = "smollm2-135m-instruct"


@pytest_asyncio.fixture
async def cloud(full_cluster: Cluster) -> AsyncIterator[NodeCloud]:
    async with NodeCloud(full_cluster, node_limit=2, boot_seconds=0.2) as running:
        yield running


@pytest_asyncio.fixture
async def model() -> AsyncIterator[ModelStub]:
    async with ModelStub(MODEL) as running:
        yield running


@pytest_asyncio.fixture
async def hub() -> AsyncIterator[FakeHub]:
    async with FakeHub() as running:
        yield running


@pytest_asyncio.fixture
async def client(full_cluster: Cluster) -> AsyncIterator[KubernetesClient]:
    async with full_cluster.client() as connected:
        yield connected


@pytest_asyncio.fixture
async def ctx(
    client: KubernetesClient, cloud: NodeCloud, model: ModelStub, hub: FakeHub
) -> AsyncIterator[ActivityContext]:
    settings = ActivitySettings(
        platform=PlatformSettings(
            provisioner="onebox", image_registry="registry.test", hub_endpoint=hub.base_url
        ),
        onebox_endpoint=cloud.endpoint,
        endpoint_base_url=model.base_url,
    )
    async with open_context(settings, client, load_catalogue()) as opened:
        yield opened


class Runner:
    """Runs activities and keeps what their heartbeats said."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.environment = ActivityEnvironment()
        self.environment.on_heartbeat = lambda *details: self.sentences.append(str(details[0]))

    async def __call__(self, activity: Callable[..., Awaitable[Any]], payload: Any) -> Any:
        # A deadline counts from here, as it would from the moment of scheduling.
        self.environment.info = replace(self.environment.info, scheduled_time=datetime.now(tz=UTC))
        return await self.environment.run(activity, payload)


@pytest.fixture
def run() -> Runner:
    return Runner()


@pytest_asyncio.fixture
async def ref(client: KubernetesClient, full_namespace: str) -> WorkspaceRef:
    """A Workspace that was applied a moment ago."""
    created = await client.create(
        WORKSPACES, gen.workspace_object(namespace=full_namespace, name="chat"), full_namespace
    )
    return WorkspaceRef(namespace=full_namespace, name="chat", uid=created["metadata"]["uid"])
