"""The real SDK, and an Azure of our own for it to talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from activities.clients.azure import AgentPools
from activities.clients.azure.agent_pools import AksAgentPools
from activities.clients.azure.compute import AzureCompute
from tests.emulators.azure import AzureEmulator
from tests.integration.azure.parts import Clients


@pytest_asyncio.fixture
async def azure() -> AsyncIterator[AzureEmulator]:
    async with AzureEmulator() as emulator:
        yield emulator


@pytest_asyncio.fixture
async def clients(azure: AzureEmulator) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        yield Clients(azure, stack)


@pytest.fixture
def aks(clients: Clients) -> AksAgentPools:
    return clients.aks()


@pytest.fixture
def compute(clients: Clients) -> AzureCompute:
    return clients.compute()


@pytest.fixture(params=["aks", "arc"])
def make_pools(request: pytest.FixtureRequest, clients: Clients) -> Callable[[], AgentPools]:
    """Return a maker of clients of one service: what both promise is tested on both."""
    makers: dict[str, Callable[[], AgentPools]] = {"aks": clients.aks, "arc": clients.arc}
    return makers[request.param]


@pytest.fixture
def pools(make_pools: Callable[[], AgentPools]) -> AgentPools:
    return make_pools()
