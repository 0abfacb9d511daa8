"""The shared informer, against a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from activities.clients.informer import Change, Informer
from activities.clients.kubernetes import CONFIG_MAPS, ApiError, KubernetesClient
from tests.harness.cluster import Cluster
from tests.harness.waiting import eventually

LABEL = "test.example/owner"


def config_map(name: str, owner: str = "", **data: str) -> dict[str, object]:
    return {"metadata": {"name": name, "labels": {LABEL: owner} if owner else {}}, "data": data}


async def until(claim: Callable[[], bool], what: str) -> None:
    async def ask() -> bool:
        return claim()

    await eventually(ask, what=what)


@pytest_asyncio.fixture
async def client(cluster: Cluster) -> AsyncIterator[KubernetesClient]:
    async with cluster.client() as connected:
        yield connected


@pytest_asyncio.fixture
async def informer(client: KubernetesClient, namespace: str) -> AsyncIterator[Informer]:
    following = Informer(client, CONFIG_MAPS, namespace=namespace, index_label=LABEL)
    following.start()
    await following.wait_synced(30)
    yield following
    await following.stop()


async def test_it_follows_an_object_from_its_creation_to_its_end(
    client: KubernetesClient, informer: Informer, namespace: str
) -> None:
    seen: list[Change] = []
    informer.subscribe(seen.append)
    await client.create(CONFIG_MAPS, config_map("a", color="red"), namespace)
    await client.merge_patch(CONFIG_MAPS, "a", {"data": {"color": "blue"}}, namespace)
    await client.delete(CONFIG_MAPS, "a", namespace)
    await until(lambda: any(change.type == "DELETED" for change in seen), "the change")
    of_a = [change for change in seen if change.obj["metadata"]["name"] == "a"]
    assert [change.type for change in of_a] == ["ADDED", "MODIFIED", "DELETED"]
    assert of_a[1].previous is not None
    assert of_a[1].previous["data"] == {"color": "red"}
    assert informer.get("a", namespace) is None


async def test_a_late_subscriber_learns_of_what_is_there_already(
    client: KubernetesClient, informer: Informer, namespace: str
) -> None:
    await client.create(CONFIG_MAPS, config_map("early"), namespace)
    await until(lambda: informer.get("early", namespace) is not None, "the change")
    seen: list[str] = []
    informer.subscribe(lambda change: seen.append(change.obj["metadata"]["name"]))
    assert "early" in seen


async def test_a_change_wakes_those_who_wait_for_its_owner_and_nobody_else(
    client: KubernetesClient, informer: Informer, namespace: str
) -> None:
    ours = asyncio.create_task(informer.wait_changed(30, index_value="ours"))
    theirs = asyncio.create_task(informer.wait_changed(30, index_value="theirs"))
    await asyncio.sleep(0)
    await client.create(CONFIG_MAPS, config_map("mine", "ours"), namespace)
    async with asyncio.timeout(10):
        await ours
    assert not theirs.done()
    assert [obj["metadata"]["name"] for obj in informer.list(namespace, {LABEL: "ours"})] == [
        "mine"
    ]
    theirs.cancel()


async def test_nothing_is_missed_while_the_api_server_is_away(
    cluster: Cluster, client: KubernetesClient, informer: Informer, namespace: str
) -> None:
    await client.create(CONFIG_MAPS, config_map("doomed"), namespace)
    await until(lambda: informer.get("doomed", namespace) is not None, "the change")
    await cluster.stop_apiserver()
    await cluster.start_apiserver()
    async with cluster.client() as another:
        await cluster.until_it_answers(lambda: another.delete(CONFIG_MAPS, "doomed", namespace))
        await cluster.until_it_answers(
            lambda: another.create(CONFIG_MAPS, config_map("born"), namespace)
        )
    await until(lambda: informer.get("born", namespace) is not None, "the change")
    await until(lambda: informer.get("doomed", namespace) is None, "the change")


async def test_a_version_that_the_server_forgot_leads_to_a_new_list(
    cluster: Cluster, client: KubernetesClient, namespace: str
) -> None:
    informer = Informer(client, CONFIG_MAPS, namespace=namespace)
    _, version = await client.list_page(CONFIG_MAPS, namespace)
    for index in range(3):
        await client.create(CONFIG_MAPS, config_map(f"c{index}"), namespace)
    await cluster.compact()
    # The API server keeps recent versions in its own cache; a restarted one knows only etcd's.
    await cluster.restart_apiserver()
    with pytest.raises(ApiError) as gone:
        async for _ in client.watch(CONFIG_MAPS, version, namespace, timeout_seconds=5):
            pass
    assert gone.value.status == 410
    informer.start()
    await informer.wait_synced(30)
    assert {obj["metadata"]["name"] for obj in informer.list(namespace)} >= {"c0", "c1", "c2"}
    await informer.stop()
