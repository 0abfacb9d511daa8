"""A proxy before the API server that misbehaves as API servers do: refuses, forgets, hangs up.

The worker talks to it in plain HTTP; it talks to the API server as an administrator. Whatever it
does to a request happens in one of two places, and the difference matters to whoever retries:

    refused   the API server never saw the request (429, 500, 503, and 409 for writes)
    lost      the API server carried it out, and the answer never came
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import ssl
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import yaml
from aiohttp import web

from tests.harness.cluster import Cluster

REASONS: Final = {
    409: "Conflict",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}
READS: Final = frozenset({"GET", "HEAD"})
PASSED_ON: Final = ("Accept", "Content-Type")
HALF_A_WORD: Final = b'{"type":"MODI'


@dataclass(frozen=True)
class Storm:
    """What befalls requests from now on; the default is fair weather."""

    refused_share: float = 0.0
    statuses: tuple[int, ...] = (500,)
    lost_share: float = 0.0
    """Share of the writes that are carried out and whose answer is lost."""


@dataclass(eq=False)
class _Watch:
    """One open watch."""

    pump: asyncio.Task[None]
    ends_in_order: bool = False


class StormProxy:
    """Passes everything on to one cluster's API server, except what the storm takes."""

    def __init__(self, cluster: Cluster, seed: int = 0) -> None:
        self.storm = Storm()
        self.refused_count = 0
        self.lost_count = 0
        self.cut_count = 0
        self.kubeconfig = cluster.folder / "kubeconfig-through-storm"
        self._cluster = cluster
        self._random = random.Random(seed)
        self._held: frozenset[str] = frozenset()
        self._watches_speak = asyncio.Event()
        self._watches_speak.set()
        self._watches: set[_Watch] = set()
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=administrator(self._cluster), limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
        )
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._write_kubeconfig(self._runner.addresses[0][1])
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release_watches()
        self.cut_watches()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def reseed(self, seed: int) -> None:
        """Begin the dice anew, so that a run depends on its own seed only."""
        self._random = random.Random(seed)

    @property
    def watches_count(self) -> int:
        """Return how many watches are open."""
        return len(self._watches)

    def cut_watches(self, *, in_order: bool = False) -> None:
        """Break every open watch.

        Args:
            in_order: The connection ends as it should, but in the middle of a word, as when some
                proxy on the way gives up; otherwise it is reset.
        """
        for watch in list(self._watches):
            watch.ends_in_order = in_order
            watch.pump.cancel()
            self.cut_count += 1

    def hold_watches(self, *plurals: str) -> None:
        """Keep watches of these kinds (of all, without any) open and silent from now on."""
        self._held = frozenset(plurals)
        self._watches_speak.clear()

    def release_watches(self) -> None:
        """Let watches say all that they held back."""
        self._watches_speak.set()

    # --- one request --------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        is_read = request.method in READS
        body = await request.read()
        if self._random.random() < self.storm.refused_share:
            # A read can't conflict with anything.
            statuses = [status for status in self.storm.statuses if status != 409 or not is_read]
            if statuses:
                self.refused_count += 1
                return _refusal(self._random.choice(statuses))
        is_lost = not is_read and self._random.random() < self.storm.lost_share
        assert self._session is not None
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        headers["Accept-Encoding"] = "identity"
        try:
            async with self._session.request(
                request.method, f"{self._cluster.url}{request.raw_path}", data=body, headers=headers
            ) as answer:
                if request.query.get("watch") == "true" and answer.status == 200:
                    return await self._stream(request, answer)
                payload = await answer.read()
                content_type = answer.headers.get("Content-Type", "application/json")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return web.Response(status=502, text=f"the API server does not answer: {error!r}")
        if is_lost and request.transport is not None:
            self.lost_count += 1
            request.transport.abort()
        return web.Response(
            status=answer.status, body=payload, headers={"Content-Type": content_type}
        )

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        plural = request.path.rsplit("/", 1)[-1]
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        watch = _Watch(asyncio.create_task(self._pump(plural, answer, response)))
        self._watches.add(watch)
        try:
            await asyncio.wait([watch.pump])
        finally:
            watch.pump.cancel()
            self._watches.discard(watch)
        if watch.pump.cancelled() and watch.ends_in_order:
            await response.write(HALF_A_WORD)
        elif watch.pump.cancelled() or watch.pump.exception() is not None:
            assert request.transport is not None
            request.transport.abort()
        return response

    async def _pump(
        self, plural: str, answer: aiohttp.ClientResponse, response: web.StreamResponse
    ) -> None:
        async for chunk in answer.content.iter_any():
            if not self._held or plural in self._held:
                await self._watches_speak.wait()
            await response.write(chunk)

    def _write_kubeconfig(self, port: int) -> None:
        url = f"http://127.0.0.1:{port}"
        content: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "storm",
            "clusters": [{"name": "storm", "cluster": {"server": url}}],
            "users": [{"name": "storm", "user": {}}],
            "contexts": [{"name": "storm", "context": {"cluster": "storm", "user": "storm"}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(content))


def _refusal(status: int) -> web.Response:
    answer = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": status,
        "reason": REASONS[status],
        "message": f"a storm of {status}",
    }
    headers = {"Retry-After": "1"} if status == 429 else {}
    return web.Response(
        status=status, text=json.dumps(answer), content_type="application/json", headers=headers
    )


def administrator(cluster: Cluster) -> ssl.SSLContext:
    """Return how to talk to the API server as its kubeconfig does."""
    kubeconfig = yaml.safe_load(cluster.kubeconfig.read_text())
    server, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
    authority = base64.b64decode(server["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    certificate = _write(cluster.folder / "storm.crt", user["client-certificate-data"])
    context.load_cert_chain(
        certificate, _write(cluster.folder / "storm.key", user["client-key-data"])
    )
    return context


def _write(path: Path, data: str) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(base64.b64decode(data))
    return path
