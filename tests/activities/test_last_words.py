"""The last lines of a failed container's log: read once, without secrets, and never required."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from kubernetes.aio import client as kubernetes_client

from activities.clients.kubernetes import ApiError, KubernetesClient
from activities.workspace.last_words import TAIL_LINES, LastWords

PATH = "/api/v1/namespaces/default/pods/chat-0/log"


class LogServer:
    """Answers for the API server where it hands on what a kubelet reads."""

    def __init__(self) -> None:
        self.status, self.text = 200, "starting\nRuntimeError: no such layer\n"
        self.asked: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        return web.Response(status=self.status, text=self.text)


@pytest_asyncio.fixture
async def server() -> LogServer:
    return LogServer()


@pytest_asyncio.fixture
async def cluster(server: LogServer) -> AsyncIterator[KubernetesClient]:
    app = web.Application()
    app.router.add_get(PATH, server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    connected = KubernetesClient(kubernetes_client.Configuration(host=f"http://127.0.0.1:{port}"))
    yield connected
    await connected.close()
    await runner.cleanup()


def pod(restart_count: int = 1, message: str = "", **metadata: Any) -> dict[str, Any]:
    ended = {"exitCode": 1, **({"message": message} if message else {})}
    return {
        "metadata": {"name": "chat-0", "namespace": "default", "uid": "u", **metadata},
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {
                    "name": "server",
                    "restartCount": restart_count,
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": ended},
                }
            ],
        },
    }


async def test_the_lines_of_the_instance_that_failed_are_read_once(
    cluster: KubernetesClient, server: LogServer
) -> None:
    words = LastWords(cluster)
    for _ in range(3):
        found = await words.facts_of(pod())
        assert found.last_exit_message == server.text
    assert server.asked == [
        {
            "container": "server",
            "previous": "true",
            "tailLines": str(TAIL_LINES),
            "limitBytes": "65536",
        }
    ]
    await words.facts_of(pod(restart_count=2))
    assert len(server.asked) == 2


async def test_what_the_status_holds_already_is_not_asked_for(
    cluster: KubernetesClient, server: LogServer
) -> None:
    found = await LastWords(cluster).facts_of(pod(message="out of layers"))
    assert found.last_exit_message == "out of layers"
    assert server.asked == []


async def test_a_pod_that_ends_is_asked_for_nothing(
    cluster: KubernetesClient, server: LogServer
) -> None:
    await LastWords(cluster).facts_of(pod(deletionTimestamp="2026-01-01T00:00:00Z"))
    assert server.asked == []


async def test_a_secret_in_the_log_or_in_the_status_is_not_told(
    cluster: KubernetesClient, server: LogServer
) -> None:
    server.text = "HF_TOKEN=abcdefgh is refused"
    found = await LastWords(cluster).facts_of(pod())
    assert "abcdefgh" not in found.last_exit_message
    assert "is refused" in found.last_exit_message
    found = await LastWords(cluster).facts_of(pod(message="HF_TOKEN=abcdefgh is refused"))
    assert "abcdefgh" not in found.last_exit_message


@pytest.mark.parametrize("status", [400, 403, 404, 500, 504])
async def test_a_log_that_can_not_be_had_hides_no_failure(
    cluster: KubernetesClient, server: LogServer, status: int
) -> None:
    server.status = status
    found = await LastWords(cluster).facts_of(pod())
    assert (found.last_exit, found.last_exit_message) == ("exit code 1", "")
    with pytest.raises(ApiError):
        await cluster.read_log("chat-0", "default", container="server", previous=True, tail_lines=1)
