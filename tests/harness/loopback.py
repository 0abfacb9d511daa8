"""An HTTP server of this machine's own, for as long as a test needs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from aiohttp import web


class LoopbackServer(ABC):
    """Listens on loopback inside of its `async with` block; what it answers, subclasses say."""

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, cancels_requests: bool = False
    ) -> None:
        """Prepare a server.

        Args:
            host: Address to listen on.
            port: 0 for a free one; a server that is started again keeps the one that it got.
            cancels_requests: Whether the work on a request ends when its client hangs up.
        """
        self.base_url = ""
        """Empty before the first start."""
        self._host = host
        self._port = port
        self._cancels_requests = cancels_requests
        self._runner: web.AppRunner | None = None

    @abstractmethod
    def application(self) -> web.Application:
        """Return what answers, anew for each start."""

    async def before_stop(self) -> None:  # noqa: B027 - most servers have nothing to end
        """End what goes on in the background; there is nothing by default."""

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(
            self.application(), access_log=None, handler_cancellation=self._cancels_requests
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = self._runner.addresses[0][1]
        self.base_url = f"http://{self._host}:{self._port}"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.before_stop()
        if self._runner is not None:
            await self._runner.cleanup()
