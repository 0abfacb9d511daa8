"""The HTTPS server by itself: what is no question of an API server, and how long answers take."""

from __future__ import annotations

import io
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import pytest
import pytest_asyncio

from activities.clients.kubernetes import KubernetesClient
from tests import gen
from tests.integration.webhook.conftest import Replica, bad_workspace, dry_run
from worker.metrics import Metrics
from worker.start_checks import StartRefused
from worker.webhook.certificates import Lifetimes, make_keyring
from worker.webhook.judge import Judge
from worker.webhook.metrics import WebhookMetrics
from worker.webhook.pem import to_pem
from worker.webhook.server import MAX_BODY_BYTES, PATH, WebhookServer

pytestmark = pytest.mark.integration

MAX_SECONDS = 0.02
"""What an answer may take, by the promise of the webhook."""

QUESTIONS_COUNT = 200


class Client:
    """Asks one server over HTTPS, trusting its authority alone."""

    def __init__(self, session: aiohttp.ClientSession, url: str, metrics: Metrics) -> None:
        self._session = session
        self._url = url
        self.metrics = metrics

    async def post(self, body: bytes, path: str = PATH) -> tuple[int, str]:
        async with self._session.post(f"{self._url}{path}", data=io.BytesIO(body)) as response:
            return response.status, await response.text()

    async def get(self) -> int:
        async with self._session.get(f"{self._url}{PATH}") as response:
            return response.status

    def sample(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    """Return a client of a server that nobody is registered for."""
    metrics = Metrics()
    serving = make_keyring(["127.0.0.1"], datetime.now(tz=UTC), Lifetimes()).serving
    judge = Judge(gen.settings(), gen.catalogue())
    server = WebhookServer(judge, WebhookMetrics(metrics.registry), host="127.0.0.1", port=0)
    await server.serve_with(serving)
    trust = ssl.create_default_context(cadata=to_pem(serving.authorities).decode())
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
        yield Client(session, f"https://127.0.0.1:{server.port}", metrics)
    await server.close()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is no JSON"),
        (b"{", "the body is no JSON"),
        (b'{"kind": "Pod"}', "send admission.k8s.io/v1 AdmissionReview"),
        (b"[" * 200_000, "the body is no JSON"),
        (b" " * (MAX_BODY_BYTES + 1), f"the body is longer than {MAX_BODY_BYTES} bytes"),
    ],
    ids=["empty", "half", "another-kind", "deep", "long"],
)
async def test_a_body_that_is_no_review_is_answered_with_400_and_a_sentence(
    client: Client, body: bytes, words: str
) -> None:
    status, text = await client.post(body)
    assert status == 400
    assert words in text
    assert client.sample("kaito_webhook_requests_total", outcome="malformed") == 1


async def test_there_is_one_path_and_one_method(client: Client) -> None:
    assert (await client.post(b"{}", "/"))[0] == 404
    assert await client.get() == 405


async def test_an_object_as_large_as_an_api_server_takes_is_judged(client: Client) -> None:
    obj = gen.workspace_object(metadata={"annotations": {"example.com/much": "x" * 3 * 2**20}})
    request = {
        "uid": "1",
        "operation": "UPDATE",
        "resource": {"group": "kaito.sh", "resource": "workspaces"},
        "object": obj,
        "oldObject": {**obj, "resource": {}},
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    status, text = await client.post(json.dumps(review).encode())
    assert status == 200
    assert json.loads(text)["response"]["allowed"]


async def test_a_taken_port_is_named_with_its_variable(client: Client) -> None:
    metrics = WebhookMetrics(Metrics().registry)
    port = int(client._url.rpartition(":")[2])
    second = WebhookServer(
        Judge(gen.settings(), gen.catalogue()), metrics, host="127.0.0.1", port=port
    )
    with pytest.raises(StartRefused, match=f"port {port} .* set KAITO_WEBHOOK_PORT"):
        second.reserve()


async def test_99_of_100_answers_to_the_api_server_take_less_than_20_milliseconds(
    replica: Replica, kube: KubernetesClient, namespace: str
) -> None:
    def counts() -> tuple[float, float]:
        sample = replica.metrics.registry.get_sample_value
        name = "kaito_webhook_request_seconds"
        quick = sample(f"{name}_bucket", {"le": str(MAX_SECONDS)}) or 0
        return quick, sample(f"{name}_count") or 0

    shares = []
    # Three times, because this machine may be busy with other tests: noise only ever adds.
    for _ in range(3):
        quick, every = counts()
        for index in range(QUESTIONS_COUNT):
            good = gen.workspace_object(namespace=namespace)
            await dry_run(kube, bad_workspace(namespace) if index % 2 else good, namespace)
        shares.append((counts()[0] - quick) / (counts()[1] - every))
        if shares[-1] >= 0.99:
            break
    assert max(shares) >= 0.99, shares
