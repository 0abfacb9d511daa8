"""Tags become digests, by the installation's own registry and within a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from activities.clients.image_registry import RESOLVE_SECONDS, ImageRegistryClient

DIGEST = "sha256:" + "ab" * 32


class Registry:
    """A registry of one image, `kaito/server:1`."""

    def __init__(self) -> None:
        self.digest, self.needs_token, self.is_slow = DIGEST, False, False
        self.asked: list[str] = []
        self.host = ""

    async def manifest(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if self.is_slow:
            await asyncio.sleep(RESOLVE_SECONDS * 3)
        if self.needs_token and request.headers.get("Authorization") != "Bearer guest":
            realm = f'Bearer realm="http://{self.host}/token",service="s"'
            return web.Response(status=401, headers={"WWW-Authenticate": realm})
        if request.path not in {
            "/v2/kaito/server/manifests/1",
            "/v2/kaito/server/manifests/latest",
        }:
            return web.Response(status=404)
        assert "image.index" in request.headers["Accept"]
        return web.Response(headers={"Docker-Content-Digest": self.digest})

    async def token(self, request: web.Request) -> web.Response:
        assert dict(request.query) == {"service": "s", "scope": "repository:kaito/server:pull"}
        return web.json_response({"token": "guest"})


@pytest_asyncio.fixture
async def registry() -> AsyncIterator[Registry]:
    found = Registry()
    app = web.Application()
    app.router.add_route("HEAD", "/v2/{name:.*}", found.manifest)
    app.router.add_get("/token", found.token)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.host = f"127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest_asyncio.fixture
async def client(registry: Registry) -> AsyncIterator[ImageRegistryClient]:
    connected = ImageRegistryClient(registry.host, is_plain_http=True)
    yield connected
    await connected.close()


async def test_a_tag_is_pinned_to_its_digest_and_asked_for_once(
    client: ImageRegistryClient, registry: Registry
) -> None:
    for _ in range(2):
        pinned = await client.pin(f"{registry.host}/kaito/server:1")
        assert pinned == f"{registry.host}/kaito/server:1@{DIGEST}"
    assert registry.asked == ["/v2/kaito/server/manifests/1"]


async def test_a_reference_without_a_tag_means_latest(
    client: ImageRegistryClient, registry: Registry
) -> None:
    await client.pin(f"{registry.host}/kaito/server")
    assert registry.asked == ["/v2/kaito/server/manifests/latest"]


async def test_a_registry_that_wants_a_token_is_asked_as_a_guest(
    client: ImageRegistryClient, registry: Registry
) -> None:
    registry.needs_token = True
    assert (await client.pin(f"{registry.host}/kaito/server:1")).endswith(DIGEST)


@pytest.mark.parametrize("reference", ["kaito/server:1", "elsewhere.test/kaito/server:1"])
async def test_no_other_host_is_ever_asked(
    client: ImageRegistryClient, registry: Registry, reference: str
) -> None:
    assert await client.pin(reference) == reference
    assert registry.asked == []


async def test_what_has_a_digest_stays_as_it_is(
    client: ImageRegistryClient, registry: Registry
) -> None:
    reference = f"{registry.host}/kaito/server@{DIGEST}"
    assert await client.pin(reference) == reference
    assert registry.asked == []


async def test_an_image_that_is_not_there_stays_as_it_is(
    client: ImageRegistryClient, registry: Registry
) -> None:
    reference = f"{registry.host}/kaito/other:1"
    assert await client.pin(reference) == reference


async def test_an_answer_that_is_no_digest_is_not_believed(
    client: ImageRegistryClient, registry: Registry
) -> None:
    registry.digest = "sha256:short"
    reference = f"{registry.host}/kaito/server:1"
    assert await client.pin(reference) == reference


async def test_a_registry_that_does_not_answer_costs_a_moment_and_once(
    client: ImageRegistryClient, registry: Registry
) -> None:
    registry.is_slow = True
    begun = time.monotonic()
    for _ in range(3):
        reference = f"{registry.host}/kaito/server:1"
        assert await client.pin(reference) == reference
    assert time.monotonic() - begun < RESOLVE_SECONDS * 2


async def test_nobody_listens() -> None:
    client = ImageRegistryClient("127.0.0.1:1", is_plain_http=True)
    assert await client.pin("127.0.0.1:1/a:1") == "127.0.0.1:1/a:1"
    await client.close()
