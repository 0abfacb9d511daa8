"""The storm proxy does what chaos runs believe of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from activities.clients.informer import Informer
from activities.clients.kubernetes import CONFIG_MAPS, ApiError, KubernetesClient
from api.errors import ClusterUnavailable
from tests.harness.cluster import Cluster
from tests.harness.storm_proxy import Storm, StormProxy
from tests.harness.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(cluster: Cluster) -> AsyncIterator[StormProxy]:
    async with StormProxy(cluster) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def client(proxy: StormProxy) -> AsyncIterator[KubernetesClient]:
    async with KubernetesClient.connect(str(proxy.kubeconfig)) as connected:
        yield connected


def _config_map(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}, "data": {}}


async def test_fair_weather_changes_nothing(client: KubernetesClient) -> None:
    await client.create(CONFIG_MAPS, _config_map("fair"), "default")
    assert (await client.get(CONFIG_MAPS, "fair", "default"))["metadata"]["name"] == "fair"
    with pytest.raises(ApiError) as caught:
        await client.create(CONFIG_MAPS, _config_map("fair"), "default")
    assert caught.value.reason == "AlreadyExists"


@pytest.mark.parametrize("status", [409, 429, 500, 503])
async def test_what_is_refused_was_not_carried_out(
    proxy: StormProxy, client: KubernetesClient, status: int
) -> None:
    proxy.storm = Storm(refused_share=1.0, statuses=(status,))
    with pytest.raises(ApiError) as caught:
        await client.create(CONFIG_MAPS, _config_map(f"refused-{status}"), "default")
    assert caught.value.status == status
    proxy.storm = Storm()
    assert await client.find(CONFIG_MAPS, f"refused-{status}", "default") is None


async def test_a_read_is_never_in_conflict(proxy: StormProxy, client: KubernetesClient) -> None:
    proxy.storm = Storm(refused_share=1.0, statuses=(409,))
    await client.list(CONFIG_MAPS, "default")


async def test_what_is_lost_was_carried_out(proxy: StormProxy, client: KubernetesClient) -> None:
    proxy.storm = Storm(lost_share=1.0)
    with pytest.raises(ClusterUnavailable):
        await client.create(CONFIG_MAPS, _config_map("lost"), "default")
    assert await client.find(CONFIG_MAPS, "lost", "default") is not None


@pytest.mark.parametrize("in_order", [False, True], ids=["reset", "ended in a word"])
async def test_an_informer_survives_a_watch_that_is_cut(
    proxy: StormProxy, client: KubernetesClient, in_order: bool
) -> None:
    informer = Informer(client, CONFIG_MAPS, namespace="default")
    informer.start()
    try:
        await informer.wait_synced(10)
        await eventually(_is_true(lambda: proxy.watches_count == 1), what="a watch")
        proxy.cut_watches(in_order=in_order)
        await eventually(_is_true(lambda: informer.relists_count == 2), what="another list")
        await eventually(_is_true(lambda: proxy.watches_count == 1), what="another watch")
    finally:
        await informer.stop()


async def test_watches_are_held(proxy: StormProxy, client: KubernetesClient) -> None:
    informer = Informer(client, CONFIG_MAPS, namespace="default")
    informer.start()
    try:
        await informer.wait_synced(10)
        proxy.hold_watches("pods")
        await client.create(CONFIG_MAPS, _config_map("seen"), "default")
        await eventually(
            _is_true(lambda: informer.get("seen", "default") is not None), what="a change"
        )
        proxy.release_watches()
        proxy.hold_watches()
        await client.create(CONFIG_MAPS, _config_map("held"), "default")
        await asyncio.sleep(0.3)
        assert informer.get("held", "default") is None
        proxy.release_watches()
        await eventually(
            _is_true(lambda: informer.get("held", "default") is not None), what="the held change"
        )
    finally:
        await informer.stop()


def _is_true(ask: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def answer() -> bool:
        return ask()

    return answer
