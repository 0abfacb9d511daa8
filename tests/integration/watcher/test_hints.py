"""What happens in Kubernetes reaches the right workflow, once and in its newest form."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from activities.clients.informer import Informer
from activities.clients.kubernetes import (
    CONFIG_MAPS,
    NODE_CLAIMS,
    STATEFUL_SETS,
    WORKSPACES,
    ApiError,
    KubernetesClient,
)
from api import names
from tests.harness.temporal_server import TemporalServer
from tests.harness.waiting import eventually
from tests.integration.watcher.conftest import Station

pytestmark = pytest.mark.integration


async def test_a_new_workspace_starts_its_workflow_with_a_hint(station: Station) -> None:
    async with station.watching() as watcher:
        await watcher.until_it_leads()
        created = await station.create("phi")
        (hint,) = await station.until_hint("phi")
    assert hint.uid == created["metadata"]["uid"]
    assert hint.generation == 1
    assert not hint.deleting
    handle = station.client.get_workflow_handle(
        names.workspace_workflow_id(station.namespace, "phi")
    )
    described = await handle.describe()
    assert described.workflow_type == names.WORKSPACE_WORKFLOW
    assert described.task_queue == names.TASK_QUEUE
    assert await described.static_summary() == f"Workspace {station.namespace}/phi"


async def test_a_workspace_that_was_there_before_the_watcher_is_hinted_once(
    station: Station,
) -> None:
    await station.create("old")
    async with station.watching() as watcher:
        await station.until_hint("old")
        await eventually(
            lambda: _settled(watcher.metric, "kaito_hints_waiting"), what="an empty queue"
        )
        assert len(await station.hints("old")) == 1


async def test_an_edit_is_hinted_with_its_generation(station: Station) -> None:
    async with station.watching() as watcher:
        await watcher.until_it_leads()
        await station.create("phi")
        await station.until_hint("phi")
        await station.edit("phi", inference={"config": "mine"})
        hints = await station.until_hint("phi", lambda found: found[-1].generation == 2)
    assert [hint.generation for hint in hints] == [1, 2]


async def test_a_burst_of_edits_becomes_a_few_hints_that_end_with_the_newest(
    station: Station,
) -> None:
    async with station.watching() as watcher:
        await watcher.until_it_leads()
        await station.create("phi")
        for index in range(50):
            await station.edit("phi", inference={"config": f"config-{index}"})
        hints = await station.until_hint(
            "phi", lambda found: bool(found) and found[-1].generation == 51
        )
        assert watcher.metric("kaito_hints_coalesced_total") > 20
    assert len(hints) < 20
    assert [hint.generation for hint in hints] == sorted(hint.generation for hint in hints)


async def test_a_config_map_wakes_the_workspaces_that_name_it_and_no_others(
    station: Station,
) -> None:
    kube, namespace = station.kube, station.namespace
    async with station.watching() as watcher:
        await watcher.until_it_leads()
        for name, config in (("phi", "settings"), ("other", "elsewhere")):
            await station.create(name, config=config)
            await station.until_hint(name)
        body = {"metadata": {"name": "settings"}, "data": {"inference_config.yaml": "vllm: {}"}}
        await kube.create(CONFIG_MAPS, body, namespace)
        await station.until_hint("phi", lambda found: len(found) == 2)
        await kube.merge_patch(CONFIG_MAPS, "settings", {"data": {"more": "x"}}, namespace)
        await station.until_hint("phi", lambda found: len(found) == 3)
        await kube.delete(CONFIG_MAPS, "settings", namespace)
        hints = await station.until_hint("phi", lambda found: len(found) == 4)
        assert len(await station.hints("other")) == 1
    assert [hint.cause for hint in hints[1:]] == [
        f"ConfigMap settings {what}" for what in ("added", "modified", "deleted")
    ]
    # That it changed is all that was asked for.
    assert not any(
        "data" in obj
        for informer in watcher.informers
        if informer.kind == CONFIG_MAPS
        for obj in informer.list()
    )


async def test_a_write_to_the_status_is_no_hint(station: Station) -> None:
    async with station.watching() as watcher:
        await watcher.until_it_leads()
        await station.create("phi")
        await station.until_hint("phi")
        await station.kube.merge_patch(
            WORKSPACES, "phi", {"status": {"workerNodes": ["n1"]}}, station.namespace, "status"
        )
        # The watch delivers in order: once this edit is hinted, the status write was seen, too.
        await station.edit("phi", inference={"config": "mine"})
        hints = await station.until_hint("phi", lambda found: found[-1].generation == 2)
    assert len(hints) == 2


async def test_a_deletion_is_hinted_while_the_finalizer_holds_the_object(station: Station) -> None:
    async with station.watching() as watcher:
        await watcher.until_it_leads()
        await station.create("phi")
        await station.edit("phi", metadata={"finalizers": [names.FINALIZER_WORKSPACE]})
        await station.until_hint("phi")
        await station.kube.delete(WORKSPACES, "phi", station.namespace)
        await station.until_hint("phi", lambda found: found[-1].deleting)


async def test_the_loss_of_a_workload_wakes_its_workspace_and_starts_none(
    station: Station,
) -> None:
    async with station.watching() as watcher:
        await watcher.until_it_leads()
        await station.create("phi")
        await station.until_hint("phi")
        for owner in ("phi", "stranger"):
            await station.kube.create(
                STATEFUL_SETS, _workload(f"{owner}-0000", owner), station.namespace
            )
            await station.kube.delete(STATEFUL_SETS, f"{owner}-0000", station.namespace)
        hints = await station.until_hint("phi", lambda found: len(found) == 2)
        assert hints[-1].generation == 0
        await eventually(
            lambda: _settled(watcher.metric, "kaito_hints_waiting"), what="an empty queue"
        )
        assert await station.status("stranger") == ""


async def test_a_claim_of_ours_starts_its_own_workflow(station: Station) -> None:
    claim = f"ws{station.namespace.removeprefix('test-')}"
    async with station.watching() as watcher:
        await watcher.until_it_leads()
        await station.kube.create(NODE_CLAIMS, _claim(claim))
        workflow_id = names.node_claim_workflow_id(claim)
        (hint,) = await eventually(
            lambda: station.hints_of(workflow_id), what="a hint for the claim"
        )
        assert hint.generation == 1
        await station.kube.delete(NODE_CLAIMS, claim)


async def test_hints_wait_while_temporal_is_away_and_arrive_when_it_is_back(
    station: Station,
) -> None:
    async with TemporalServer().running() as server:
        station.client = await server.connect()
        async with station.watching() as watcher:
            await watcher.until_it_leads()
            await station.create("before")
            await station.until_hint("before")
            server.kill()
            for index in range(20):
                await station.create(f"during-{index}")
            await station.edit("before", inference={"config": "mine"})
            await eventually(
                lambda: _at_least(watcher.metric, "kaito_hints_waiting", 21), what="hints waiting"
            )
            await server.start()
            await station.until_hint("before", lambda found: found[-1].generation == 2)
            for index in range(20):
                assert len(await station.until_hint(f"during-{index}")) == 1


async def test_a_workflow_that_is_gone_comes_back_by_the_resync(station: Station) -> None:
    async with station.watching(resync_seconds=0.5) as watcher:
        await watcher.until_it_leads()
        await station.create("phi")
        await station.until_hint("phi")
        handle = station.client.get_workflow_handle(
            names.workspace_workflow_id(station.namespace, "phi")
        )
        await handle.terminate("lost")
        await eventually(
            lambda: station.status("phi"),
            accept=lambda status: status == "RUNNING",
            what="a new run",
        )


async def test_the_resync_does_not_wake_workflows_that_run(station: Station) -> None:
    async with station.watching(resync_seconds=0.2) as watcher:
        await watcher.until_it_leads()
        await station.create("phi")
        await station.until_hint("phi")
        rounds_so_far = watcher.metric("kaito_hints_sent_total", workflow=names.WORKSPACE_WORKFLOW)
        await eventually(
            lambda: _at_least(
                watcher.metric,
                "kaito_hints_sent_total",
                rounds_so_far + 3,
                workflow=names.WORKSPACE_WORKFLOW,
            ),
            what="three rounds of resync",
        )
        assert len(await station.hints("phi")) == 1


# --- lost watches -------------------------------------------------------------------------------


async def test_nothing_is_missed_when_the_api_server_restarts(station: Station) -> None:
    async with station.watching() as watcher:
        await watcher.until_it_leads()
        await station.create("edited")
        await station.create("deleted")
        await station.edit("deleted", metadata={"finalizers": [names.FINALIZER_WORKSPACE]})
        await station.until_hint("edited")
        await station.until_hint("deleted")
        await station.cluster.restart_apiserver()
        # The watcher still sleeps between two attempts; all of this happens behind its back.
        async with station.cluster.client() as kube:
            station.kube = kube
            await station.edit("edited", inference={"config": "mine"})
            await kube.delete(WORKSPACES, "deleted", station.namespace)
            for index in range(10):
                await station.create(f"new-{index}")
        await station.until_hint("edited", lambda found: found[-1].generation == 2)
        await station.until_hint("deleted", lambda found: found[-1].deleting)
        for index in range(10):
            await station.until_hint(f"new-{index}")


class ShortWatchClient(KubernetesClient):
    """Watches for a second at a time, and between two watches as long as the test wants."""

    def __init__(self, configuration: Any) -> None:
        super().__init__(configuration)
        self.may_watch = asyncio.Event()
        self.may_watch.set()
        self.is_between_watches = asyncio.Event()
        self.refusals: list[int] = []

    async def watch(self, *args: Any, **options: Any) -> Any:
        self.is_between_watches.set()
        await self.may_watch.wait()
        self.is_between_watches.clear()
        options["timeout_seconds"] = 1
        try:
            async for event in super().watch(*args, **options):
                yield event
        except ApiError as error:
            self.refusals.append(error.status)
            raise


async def test_a_resource_version_that_etcd_has_forgotten_leads_to_a_new_list(
    station: Station,
) -> None:
    async with ShortWatchClient.connect(str(station.cluster.kubeconfig)) as short:
        assert isinstance(short, ShortWatchClient)
        informer = Informer(short, WORKSPACES, namespace=station.namespace)
        async with station.watching(informers=[informer]) as watcher:
            await watcher.until_it_leads()
            await station.create("known")
            await station.until_hint("known")
            short.may_watch.clear()
            await short.is_between_watches.wait()
            await station.create("unseen")
            await station.kube.delete(WORKSPACES, "known", station.namespace)
            await station.cluster.compact()
            # A fresh watch cache: the old version is now known to nobody.
            await station.cluster.restart_apiserver()
            await station.cluster.until_it_answers(lambda: _watch_once(station))
            short.may_watch.set()
            await station.until_hint("unseen")
            await station.until_hint("known", lambda found: found[-1].deleting)
    assert 410 in short.refusals
    assert informer.relists_count >= 2


# --- helpers ------------------------------------------------------------------------------------


async def _watch_once(station: Station) -> None:
    """See that the API server serves watches again: for a moment it answers 429 instead."""
    _, version = await station.kube.list_page(WORKSPACES, station.namespace)
    async for _ in station.kube.watch(WORKSPACES, version, station.namespace, timeout_seconds=1):
        return


async def _settled(metric: Any, name: str) -> bool:
    return bool(metric(name) == 0)


async def _at_least(metric: Any, name: str, value: float, **labels: str) -> bool:
    return bool(metric(name, **labels) >= value)


def _workload(name: str, owner: str) -> dict[str, Any]:
    labels = {
        names.LABEL_WORKSPACE: owner,
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
    }
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "serviceName": owner,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "none"}]},
            },
        },
    }


def _claim(name: str) -> dict[str, Any]:
    return {
        "apiVersion": NODE_CLAIMS.api_version,
        "kind": "NodeClaim",
        "metadata": {"name": name},
        "spec": {
            "nodeClassRef": {
                "group": names.NODE_CLASS_GROUP,
                "kind": names.NODE_CLASS_KIND_ONEBOX,
                "name": "default",
            },
            "requirements": [
                {
                    "key": names.LABEL_INSTANCE_TYPE,
                    "operator": "In",
                    "values": ["onebox.small"],
                }
            ],
        },
    }
