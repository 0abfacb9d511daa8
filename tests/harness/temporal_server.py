"""A real Temporal server whose database is a file, so that a test can kill and restart it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError

from api import names
from tests.harness import binaries
from tests.harness.processes import Process, ProcessDied, release_port, reserve_port

READY_SECONDS = 30.0


class TemporalServer:
    """Temporal's dev server on a loopback port of its own."""

    def __init__(self, *, with_search_attributes: bool = True) -> None:
        """Describe it; `start` begins."""
        self.folder = Path(tempfile.mkdtemp(prefix="kaito-temporal-"))
        self._ports = [reserve_port(), reserve_port(), reserve_port()]
        port, http_port, metrics_port = self._ports
        self.address = f"127.0.0.1:{port}"
        self.namespace = "default"
        self.process = Process(
            "temporal",
            [
                binaries.installed("temporal"),
                "server",
                "start-dev",
                "--headless",
                "--ip=127.0.0.1",
                f"--port={port}",
                f"--http-port={http_port}",
                f"--metrics-port={metrics_port}",
                f"--db-filename={self.folder / 'temporal.db'}",
                # As fast as the in-memory store, nearly, and safe against a kill of the server.
                "--sqlite-pragma=journal_mode=wal",
                "--sqlite-pragma=synchronous=normal",
                "--log-level=warn",
                *(_search_attributes() if with_search_attributes else ()),
            ],
            folder=self.folder,
        )

    async def start(self) -> None:
        """Start it, or start it again on the same database, and wait until it answers."""
        self.process.start()
        deadline = time.monotonic() + READY_SECONDS
        while True:
            self.process.check()
            try:
                client = await self.connect()
                await client.count_workflows()
            except (RPCError, RuntimeError) as error:
                if time.monotonic() > deadline:
                    raise ProcessDied(
                        f"Temporal does not answer after {READY_SECONDS} s:\n"
                        f"{self.process.log_tail()}"
                    ) from error
                await asyncio.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """SIGKILL; the database stays."""
        self.process.kill()

    async def restart(self) -> None:
        """Kill it and start it on the same database."""
        self.kill()
        await self.start()

    def stop(self) -> None:
        """Kill it and remove its database."""
        self.process.kill()
        for port in self._ports:
            release_port(port)
        self._ports.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[TemporalServer]:
        """Start and stop as a context."""
        try:
            await self.start()
            yield self
        finally:
            self.stop()

    async def connect(self) -> Client:
        """Return a client that speaks our payloads."""
        return await Client.connect(
            self.address, namespace=self.namespace, data_converter=pydantic_data_converter
        )


def _search_attributes() -> list[str]:
    return [
        *(f"--search-attribute={name}=Keyword" for name in names.KEYWORD_SEARCH_ATTRIBUTES),
        *(f"--search-attribute={name}=Int" for name in names.INT_SEARCH_ATTRIBUTES),
    ]
