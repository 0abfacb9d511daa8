"""/healthz, /readyz and /metrics of a worker process."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp import web

from worker.metrics import Metrics
from worker.start_checks import StartRefused

_logger = logging.getLogger(__name__)

SDK_METRICS_TIMEOUT_SECONDS: Final = 5.0
"""5 s for the SDK's own metrics, which come from this same process over loopback."""

STARTING: Final = "starting: not all start checks have passed yet"

Readiness = Callable[[], Awaitable[Sequence[str]]]
"""Returns what is not ready, one sentence each; empty when all is well."""


class HttpServer:
    """Serves from the first moment, so that a probe of a starting process gets an answer."""

    def __init__(self, metrics: Metrics, *, host: str, port: int) -> None:
        """Describe it; entering the context binds the port."""
        self._metrics = metrics
        self._host = host
        self._port = port
        self._readiness: Readiness | None = None
        self._sdk_metrics_url = ""
        self._session: aiohttp.ClientSession | None = None
        self._runner = web.AppRunner(self._routes(), access_log=None)
        self._is_ready: bool | None = None

    @property
    def port(self) -> int:
        """Return the port that was bound."""
        return int(self._runner.addresses[0][1]) if self._runner.addresses else self._port

    def set_readiness(self, readiness: Readiness) -> None:
        """Ask this from now on, instead of saying "starting"."""
        self._readiness = readiness

    def add_sdk_metrics(self, url: str) -> None:
        """Append what this URL says to /metrics."""
        self._sdk_metrics_url = url

    async def __aenter__(self) -> Self:
        """Bind the port.

        Raises:
            StartRefused: something else listens there.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise StartRefused(
                f"port {self._port} on {self._host} can't be used ({error.strerror}); stop what "
                "listens there, or set KAITO_HTTP_PORT to another port"
            ) from error
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=SDK_METRICS_TIMEOUT_SECONDS)
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the port."""
        if self._session is not None:
            await self._session.close()
        await self._runner.cleanup()

    def _routes(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._render_metrics)
        return app

    async def _healthz(self, _: web.Request) -> web.Response:
        # An answer at all is the proof: the event loop turns.
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        complaints = [STARTING] if self._readiness is None else list(await self._readiness())
        is_ready = not complaints
        if self._readiness is not None and is_ready != self._is_ready:
            _logger.info("ready" if is_ready else "not ready: %s", *complaints[:1])
            self._is_ready = is_ready
        text = "\n".join(complaints) or "ok"
        return web.Response(status=200 if is_ready else 503, text=text + "\n")

    async def _render_metrics(self, _: web.Request) -> web.Response:
        text = self._metrics.render() + await self._sdk_metrics()
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _sdk_metrics(self) -> bytes:
        if not self._sdk_metrics_url or self._session is None:
            return b""
        try:
            async with self._session.get(self._sdk_metrics_url) as response:
                return await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            # Our own numbers still count.
            return f"# Temporal's metrics are missing: {error!r}\n".encode()
