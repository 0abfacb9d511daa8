"""What the suite is run against: each provisioner with the cloud behind it, and what it can't do.

A new provisioner is one class here and one line in `SUBJECTS`; what it does not promise is declared
in its `exceptions`, by the claim's name and with the reason.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar, Final

import pytest

from activities.context import ActivitySettings
from activities.provisioners.azure_settings import AzureSettings
from planner.world import PlatformSettings
from tests.conformance.pool_nodes import PoolNodes
from tests.emulators.azure import (
    CATALOGUE,
    CLUSTER,
    RESOURCE_GROUP,
    SUBSCRIPTION,
    AzureEmulator,
    FailLate,
    Refuse,
    Slow,
)
from tests.harness.cluster import Cluster
from tests.harness.node_cloud import NodeCloud

BUYS_NOTHING: Final = "nothing is ever bought"


class Subject(ABC):
    """One provisioner's cloud, as a test sees it."""

    name: ClassVar[str]
    instance_type: ClassVar[str]
    exceptions: ClassVar[Mapping[str, str]] = {}
    """Claims of the suite that it does not hold, with the reason."""

    def promises(self, claim: str) -> None:
        """Skip the test where this provisioner does not hold its claim."""
        if claim in self.exceptions:
            pytest.skip(f"{self.name}: {self.exceptions[claim]}")

    @abstractmethod
    def settings(self) -> ActivitySettings:
        """Return what an operator would set."""

    @abstractmethod
    def alive(self) -> list[str]:
        """Return the machines that the cloud has now, by name."""

    @abstractmethod
    def bought_count(self) -> int:
        """Return how many machines were ever bought."""

    @abstractmethod
    def run_out(self) -> str:
        """Have no machine left; return words that the provider uses for it."""

    @abstractmethod
    def be_slow(self, seconds: float) -> None:
        """Let machines take so long."""

    def run_out_late(self) -> str:
        """Accept machines, and have none when their turn comes; return the provider's words."""
        raise NotImplementedError

    @abstractmethod
    def put_strangers_machine(self, name: str) -> None:
        """Have a machine of this name that is not ours; needs a running loop."""


class Byo(Subject):
    """Existing nodes only."""

    name = "byo"
    instance_type = "Standard_NC24ads_A100_v4"
    exceptions: ClassVar[Mapping[str, str]] = {
        "buys": BUYS_NOTHING,
        "late": BUYS_NOTHING,
        "strangers": BUYS_NOTHING,
    }

    def settings(self) -> ActivitySettings:
        return ActivitySettings(platform=PlatformSettings(provisioner="byo"))

    def alive(self) -> list[str]:
        return []

    def bought_count(self) -> int:
        return 0

    def run_out(self) -> str:
        return "provisioning is off"

    def be_slow(self, seconds: float) -> None:
        """Nothing comes."""

    def put_strangers_machine(self, name: str) -> None:
        """Everybody's machines are strangers'."""


class Onebox(Subject):
    """This machine's node agent, played by the harness."""

    name = "onebox"
    instance_type = "onebox.small"
    exceptions: ClassVar[Mapping[str, str]] = {
        "strangers": "the agent is ours alone: nobody else makes machines with it",
        "late": "the agent refuses at once or not at all",
    }

    def __init__(self, cloud: NodeCloud) -> None:
        """Take the agent."""
        self.cloud = cloud

    def settings(self) -> ActivitySettings:
        return ActivitySettings(
            platform=PlatformSettings(provisioner="onebox"), onebox_endpoint=self.cloud.endpoint
        )

    def alive(self) -> list[str]:
        return sorted(self.cloud.machines)

    def bought_count(self) -> int:
        return sum(line.startswith("create ") for line in self.cloud.ledger)

    def run_out(self) -> str:
        self.cloud.node_limit = 0
        return "machines are taken"

    def be_slow(self, seconds: float) -> None:
        self.cloud.boot_seconds = seconds

    def put_strangers_machine(self, name: str) -> None:
        raise NotImplementedError


class Aks(Subject):
    """Agent pools of an emulated AKS."""

    name = "aks"
    kind: ClassVar[str] = "aks"
    instance_type = "Standard_NC24ads_A100_v4"

    def __init__(self, azure: AzureEmulator, nodes: PoolNodes) -> None:
        """Take the cloud."""
        self.azure = azure
        self.nodes = nodes

    def settings(self) -> ActivitySettings:
        return ActivitySettings(
            platform=PlatformSettings(provisioner=self.name),
            azure=AzureSettings(
                SUBSCRIPTION, RESOURCE_GROUP, CLUSTER, endpoint=self.azure.base_url
            ),
        )

    def alive(self) -> list[str]:
        return sorted(pool.name for pool in self.azure.ledger.alive())

    def bought_count(self) -> int:
        return len(self.azure.ledger.pools)

    def run_out(self) -> str:
        self.azure.faults.add(Refuse(CATALOGUE["family-quota"]), times=None)
        return "Insufficient vcpu quota"

    def run_out_late(self) -> str:
        """Accept machines, and have none when their turn comes."""
        self.azure.faults.add(FailLate(CATALOGUE["zonal-allocation-failed"]))
        return "do not have sufficient capacity"

    def be_slow(self, seconds: float) -> None:
        self.azure.faults.add(Slow(seconds), times=None)

    def put_strangers_machine(self, name: str) -> None:
        cluster = self.azure.cloud.clusters[self.kind, CLUSTER]
        properties = {"vmSize": self.instance_type, "count": 1}
        self.azure.cloud.put_pool(
            cluster, name, {"properties": properties}, client_request_id="a person"
        )


class AksArc(Aks):
    """Node pools of an emulated AKS Arc."""

    name = "aks-arc"
    kind = "arc"
    exceptions: ClassVar[Mapping[str, str]] = {
        "abort": "an operation of Arc's can't be stopped; the machine goes once it has come",
        "quota": "the machines are their owner's: there is no quota",
    }


SUBJECTS: Final = ("byo", "onebox", "aks", "aks-arc")


@asynccontextmanager
async def open_subject(name: str, cluster: Cluster) -> AsyncIterator[Subject]:
    """Start the cloud behind a provisioner."""
    if name == "byo":
        yield Byo()
    elif name == "onebox":
        async with NodeCloud(cluster, boot_seconds=0.1) as cloud:
            yield Onebox(cloud)
    else:
        async with AzureEmulator() as azure:
            kind = Aks if name == "aks" else AksArc
            yield kind(azure, PoolNodes(azure, cluster))
