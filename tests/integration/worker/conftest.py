"""Worker processes, as an operator starts them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest_asyncio

from tests.harness.cluster import ROOT, Cluster
from tests.harness.platform import ask, worker_environment
from tests.harness.processes import Process, release_port, reserve_port
from tests.harness.temporal_server import TemporalServer
from tests.harness.waiting import eventually


class WorkerProcess(Process):
    """`python -m worker` with a port for its pages."""

    def __init__(self, name: str, folder: Path, **variables: str) -> None:
        self._reserved_port = 0 if "KAITO_HTTP_PORT" in variables else reserve_port()
        self.port = self._reserved_port or int(variables["KAITO_HTTP_PORT"])
        super().__init__(
            name,
            [sys.executable, "-m", "worker"],
            folder=folder,
            working_folder=ROOT,
            environment=worker_environment(
                **{
                    "KAITO_HTTP_HOST": "127.0.0.1",
                    "KAITO_HTTP_PORT": str(self.port),
                    **variables,
                }
            ),
        )

    def remove(self) -> None:
        self.kill()
        if self._reserved_port:
            release_port(self._reserved_port)

    async def page(self, path: str) -> tuple[int, str]:
        return await ask(f"http://127.0.0.1:{self.port}{path}")

    async def until_ready(self, *, seconds: float = 60.0) -> None:
        async def is_ready() -> bool:
            self.check()
            return (await self.page("/readyz"))[0] == 200

        await eventually(is_ready, what=f"{self.name} being ready", seconds=seconds)

    async def until_it_ends(self, *, seconds: float = 60.0) -> int:
        async def code() -> int | None:
            return self.exit_code

        ended = await eventually(
            code, accept=lambda found: found is not None, what="its end", seconds=seconds
        )
        assert ended is not None
        return ended


StartWorker = Callable[..., WorkerProcess]


@pytest_asyncio.fixture
async def workers(
    cluster: Cluster, temporal_server: TemporalServer, namespace: str, tmp_path: Path
) -> AsyncIterator[StartWorker]:
    """Return the way to start a worker on the session's servers; all are killed at the end."""
    started: list[WorkerProcess] = []

    def start(name: str = "worker", **variables: str) -> WorkerProcess:
        process = WorkerProcess(
            name,
            tmp_path,
            **{
                "KUBECONFIG": str(cluster.kubeconfig),
                "TEMPORAL_ADDRESS": temporal_server.address,
                "KAITO_LEASE_NAMESPACE": namespace,
                "KAITO_WATCH_NAMESPACE": namespace,
                **variables,
            },
        )
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.remove()
