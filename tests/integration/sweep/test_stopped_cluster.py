"""`az aks stop`: the pools of a stopped cluster look lost, and nothing of them may be touched."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from temporalio.client import Client

from activities.clients.kubernetes import KubernetesClient
from activities.context import ActivityContext, ActivitySettings, open_context
from activities.node_claim.reading import LABEL_NODE_CLAIM
from activities.provisioners import MachineRequest
from activities.provisioners.azure_settings import AzureSettings
from api import names
from api import payloads as p
from planner.world import PlatformSettings
from presets.loader import load_catalogue
from tests.emulators.azure import CLUSTER, RESOURCE_GROUP, SUBSCRIPTION, AzureEmulator
from tests.harness.waiting import eventually
from tests.integration.sweep.conftest import World, labels_for, machine_stray

INSTANCE_TYPE = "Standard_NC24ads_A100_v4"


@pytest_asyncio.fixture
async def azure() -> AsyncIterator[AzureEmulator]:
    async with AzureEmulator() as running:
        yield running


@pytest_asyncio.fixture
async def aks(
    kube: KubernetesClient, azure: AzureEmulator, namespace: str
) -> AsyncIterator[ActivityContext]:
    async with open_context(settings_of("aks", azure, namespace), kube, load_catalogue()) as opened:
        yield opened


def settings_of(provisioner: str, azure: AzureEmulator, namespace: str) -> ActivitySettings:
    return ActivitySettings(
        platform=PlatformSettings(provisioner=provisioner),
        azure=AzureSettings(SUBSCRIPTION, RESOURCE_GROUP, CLUSTER, endpoint=azure.base_url),
        watch_namespace=namespace,
    )


async def stray_pool(aks: ActivityContext, azure: AzureEmulator, namespace: str) -> str:
    """Make a pool whose claim and Workspace are gone."""
    gone = p.WorkspaceRef(namespace=namespace, name="gone", uid=str(uuid.uuid4()))
    name = f"ws{uuid.uuid4().hex[:10]}"
    request = MachineRequest(name=name, instance_type=INSTANCE_TYPE, tags=labels_for(gone))
    await aks.provisioner.launch(request)

    async def is_running() -> bool:
        machine = await aks.provisioner.observe(name)
        return machine is not None and machine.state == "running"

    await eventually(is_running, what="the pool")
    assert [pool.name for pool in azure.ledger.alive()] == [name]
    return name


async def test_a_stopped_cluster_keeps_its_pools_until_it_runs_again(
    aks: ActivityContext,
    azure: AzureEmulator,
    temporal: Client,
    namespace: str,
    dead_kube: KubernetesClient,
) -> None:
    name = await stray_pool(aks, azure, namespace)
    world = World(aks, temporal, namespace)
    decided = (await world.sweeper.look_later())[name]
    assert decided.action is p.StrayAction.DELETE

    azure.cloud.clusters["aks", CLUSTER].power_state = "Stopped"
    # Its API server is gone with it: what the lists do not say proves nothing.
    blind = world.seen_by(replace(aks, cluster=dead_kube))
    assert (await blind.look([decided])).strays == []
    assert (await blind.repair(decided)).outcome is p.RepairOutcome.FAILED
    # Even if it still answered, as in the minute of stopping, Azure itself refuses.
    refused = await world.sweeper.repair(decided)
    assert refused.outcome is p.RepairOutcome.FAILED
    assert [pool.name for pool in azure.ledger.alive()] == [name]

    azure.cloud.clusters["aks", CLUSTER].power_state = "Running"
    assert (await world.sweeper.repair(decided)).outcome is p.RepairOutcome.REPAIRED

    async def is_gone() -> bool:
        return not azure.ledger.alive()

    await eventually(is_gone, what="the end of the pool")


async def test_a_pool_of_somebody_else_is_not_touched(
    aks: ActivityContext, azure: AzureEmulator, temporal: Client, namespace: str
) -> None:
    cluster = azure.cloud.clusters["aks", CLUSTER]
    properties = {"vmSize": INSTANCE_TYPE, "count": 1}
    azure.cloud.put_pool(
        cluster, "gpupool", {"properties": properties}, client_request_id="a person"
    )
    world = World(aks, temporal, namespace)
    assert "gpupool" not in await world.sweeper.look_later()
    # Even if it had been taken for ours, the provider knows better.
    mistaken = await world.sweeper.repair(machine_stray("gpupool"))
    assert mistaken.outcome is p.RepairOutcome.PASSED
    assert [pool.name for pool in azure.ledger.alive()] == ["gpupool"]


@pytest.mark.parametrize("provisioner", ["aks", "aks-arc"])
async def test_a_pool_is_ours_by_its_tags_and_not_by_labels_that_anybody_may_write(
    kube: KubernetesClient,
    azure: AzureEmulator,
    temporal: Client,
    namespace: str,
    provisioner: str,
) -> None:
    kind = "arc" if provisioner == "aks-arc" else "aks"
    settings = settings_of(provisioner, azure, namespace)
    async with open_context(settings, kube, load_catalogue()) as ctx:
        name = await stray_pool(ctx, azure, namespace)
        labels = {LABEL_NODE_CLAIM: "upstreams", names.LABEL_WORKSPACE: "chat"}
        properties = {"vmSize": INSTANCE_TYPE, "count": 1, "nodeLabels": labels}
        azure.cloud.put_pool(
            azure.cloud.clusters[kind, CLUSTER],
            "upstreams",
            {"properties": properties},
            client_request_id="gpu-provisioner",
        )
        world = World(ctx, temporal, namespace)

        strays = await world.sweeper.look_later()

        assert strays[name].action is p.StrayAction.DELETE
        assert "upstreams" not in strays
        assert (await world.sweeper.repair(strays[name])).outcome is p.RepairOutcome.REPAIRED
        mistaken = await world.sweeper.repair(machine_stray("upstreams"))
        assert mistaken.outcome is p.RepairOutcome.PASSED

        async def is_gone() -> bool:
            return [pool.name for pool in azure.ledger.alive()] == ["upstreams"]

        await eventually(is_gone, what="the end of our pool alone")
