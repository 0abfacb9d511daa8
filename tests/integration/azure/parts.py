"""Clients of an emulated Azure, and waiting for it; the fixtures are in `conftest`."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import Any, Self

from azure.core.credentials import AccessToken

from activities.clients.azure import (
    AgentPools,
    AzureEndpoint,
    OperationState,
    OperationStatus,
    PoolSpec,
)
from activities.clients.azure.agent_pools import AksAgentPools
from activities.clients.azure.arc_pools import ArcAgentPools
from activities.clients.azure.caller import Caller
from activities.clients.azure.compute import AzureCompute
from activities.clients.azure.limits import Deadlines
from tests.emulators.azure import CLUSTER, RESOURCE_GROUP, SUBSCRIPTION, AzureEmulator
from tests.harness.waiting import eventually

NAME = "ws0123456789"
VM_SIZE = "Standard_NC24ads_A100_v4"
TAGS = {"kaito.sh/workspace": "chat", "kaito.sh/nodeclaim": NAME}


class StaticCredential:
    """A token that Azure never issued."""

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken("token", int(time.monotonic()) + 2_000_000_000)

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_details: object) -> None:
        """Nothing is open."""


class Clients:
    """Makes clients of the emulator; each stands for one process of the platform."""

    def __init__(self, azure: AzureEmulator, stack: AsyncExitStack) -> None:
        self._azure = azure
        self._stack = stack

    def caller(self, deadlines: Deadlines | None = None, **endpoint: Any) -> Caller:
        settings = {
            "subscription_id": SUBSCRIPTION,
            "resource_group": RESOURCE_GROUP,
            "cluster_name": CLUSTER,
            "base_url": self._azure.base_url,
            **endpoint,
        }
        caller = Caller(AzureEndpoint(**settings), StaticCredential(), deadlines=deadlines)
        self._stack.push_async_callback(caller.close)
        return caller

    def aks(self, deadlines: Deadlines | None = None, **endpoint: Any) -> AksAgentPools:
        return AksAgentPools(self.caller(deadlines, **endpoint))

    def arc(self, deadlines: Deadlines | None = None, **endpoint: Any) -> ArcAgentPools:
        return ArcAgentPools(self.caller(deadlines, **endpoint))

    def compute(self, deadlines: Deadlines | None = None, **endpoint: Any) -> AzureCompute:
        return AzureCompute(self.caller(deadlines, **endpoint))


def spec(name: str = NAME, **changes: Any) -> PoolSpec:
    settings = {
        "name": name,
        "vm_size": VM_SIZE,
        "labels": {"kaito.sh/workspace": "chat"},
        "taints": ["sku=gpu:NoSchedule"],
        "tags": {**TAGS, "kaito.sh/nodeclaim": name},
        **changes,
    }
    return PoolSpec(**settings)


async def over(pools: AgentPools, token: str) -> OperationStatus:
    """Return how the operation ended."""
    return await eventually(
        lambda: pools.poll(token, key="k"),
        what="the end of the operation",
        accept=lambda status: status.state is not OperationState.RUNNING,
    )


async def gone(pools: AgentPools, name: str) -> None:
    """Wait until the provider itself says that there is no such pool."""
    await eventually(
        lambda: pools.find(name, key="k"),
        what=f"the end of agent pool {name}",
        accept=lambda pool: pool is None,
    )
