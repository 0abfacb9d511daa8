"""Fixtures that every tier shares: real servers on loopback, and no network beyond it."""

from __future__ import annotations

import socket
import uuid
from collections.abc import AsyncIterator

# Its pytest plugin imports it at the end of the session, deep in the stack, where CPython 3.11 was
# seen to fail with "AST constructor recursion depth mismatch"; loaded here, it is loaded once.
import hypothesis
import pytest
import pytest_asyncio

from tests.harness.cluster import Cluster
from tests.harness.network_guard import GuardedSocket
from tests.harness.temporal_server import TemporalServer

# Clocks of shared machines judge nothing here: how long an example takes depends on who else works.
hypothesis.settings.register_profile(
    "shared-machine",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("shared-machine")


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # onebox's nodes have addresses of their own; its tests leave loopback rightly.
    if request.node.get_closest_marker("e2e") is None:
        monkeypatch.setattr(socket, "socket", GuardedSocket)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster() -> AsyncIterator[Cluster]:
    """A real API server and etcd, with our CRDs; nothing acts on the objects in it."""
    async with Cluster().running() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def full_cluster() -> AsyncIterator[Cluster]:
    """The same with controllers, scheduler and kwok: workloads get pods, and pods get ready."""
    async with Cluster(full=True).running() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal_server() -> AsyncIterator[TemporalServer]:
    """A real Temporal server; a test that kills it must start it again."""
    async with TemporalServer().running() as running:
        yield running


@pytest_asyncio.fixture
async def namespace(cluster: Cluster) -> str:
    """Return the name of a new namespace in `cluster`."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    await cluster.create_namespace(name)
    return name


@pytest_asyncio.fixture
async def full_namespace(full_cluster: Cluster) -> str:
    """Return the name of a new namespace in `full_cluster`."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    await full_cluster.create_namespace(name)
    return name
