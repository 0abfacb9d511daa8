"""The certificate that the platform makes: shared, renewed under traffic, and repaired."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from activities.clients.kubernetes import SECRETS, KubernetesClient
from tests.harness.waiting import eventually
from tests.integration.webhook.conftest import (
    Replica,
    StartReplica,
    bad_workspace,
    balanced,
    dry_run,
    until_asked,
)
from worker.webhook.certificates import Lifetimes
from worker.webhook.metrics import Outcome
from worker.webhook.pem import Serving
from worker.webhook.registration import CONFIGURATION_NAME, CONFIGURATIONS, authorities_of
from worker.webhook.sources import SECRET_NAME

pytestmark = pytest.mark.integration

SHORT = Lifetimes(
    authority=timedelta(seconds=9), serving=timedelta(seconds=6), trust=timedelta(seconds=1)
)
"""Whole seconds, since certificates know no smaller ones."""


async def registration(kube: KubernetesClient) -> dict[str, Any]:
    return await kube.get(CONFIGURATIONS, CONFIGURATION_NAME)


async def drop_idle_connections(replica: Replica) -> None:
    """Make the API server connect anew: an open connection would outlive its certificate."""
    server = replica.server._runner.server
    assert server is not None
    for connection in server.connections:
        assert connection.transport is not None
        connection.transport.close()
    # Until it has noticed: a request on a connection that has just been closed is lost.
    await asyncio.sleep(0.05)


async def test_two_replicas_that_start_together_share_one_certificate(
    replicas: StartReplica, kube: KubernetesClient, namespace: str
) -> None:
    one = replicas()
    two = replicas()
    await one.until_in_force()
    await two.until_in_force()
    assert one.server.serving is not None
    assert one.server.serving == two.server.serving
    secret = await kube.get(SECRETS, SECRET_NAME, namespace)
    assert base64.b64decode(secret["data"]["tls.crt"]) == one.server.serving.chain_pem
    assert authorities_of(await registration(kube)) == list(one.server.serving.authorities)


async def test_certificates_and_authorities_change_under_traffic_without_a_failed_request(
    replicas: StartReplica, kube: KubernetesClient, namespace: str
) -> None:
    pair: list[Replica] = []
    async with balanced(pair) as port:
        pair += [replicas(called_at=port, lifetimes=SHORT) for _ in range(2)]
        for replica in pair:
            await replica.until_in_force()
        await until_asked(kube, namespace)
        served: list[Serving] = []
        accepted = 0
        deadline = time.monotonic() + 40
        while len(signers(served)) < 3 and time.monotonic() < deadline:
            for replica in pair:
                serving = replica.server.serving
                assert serving is not None
                served += [serving] if serving not in served else []
                await drop_idle_connections(replica)
            # A request that failed would let the bad Workspace through.
            accepted += await dry_run(kube, bad_workspace(namespace), namespace) is None
    assert accepted == 0
    assert len(signers(served)) == 3
    assert len({one.leaf for one in served}) > 3
    assert {len(one.authorities) for one in served} == {1, 2}
    assert all(replica.count(Outcome.DENIED) > 20 for replica in pair)


def signers(served: Iterable[Serving]) -> set[x509.Certificate]:
    return {one for serving in served for one in serving.authorities if serving.is_issued_by([one])}


async def test_a_registration_that_somebody_deletes_comes_back(
    replica: Replica, kube: KubernetesClient, namespace: str
) -> None:
    await kube.delete(CONFIGURATIONS, CONFIGURATION_NAME)
    await until_asked(kube, namespace)


async def test_a_registration_is_repaired_and_what_others_added_stays(
    replica: Replica, kube: KubernetesClient, namespace: str
) -> None:
    changed = await registration(kube)
    selector = {"matchLabels": {"judged": "yes"}}
    (ours,) = changed["webhooks"]
    ours |= {"failurePolicy": "Fail", "namespaceSelector": selector}
    ours["clientConfig"] = {"url": "https://127.0.0.1:1/elsewhere"}
    ours["rules"][0]["operations"] = ["*"]
    await kube.replace(CONFIGURATIONS, changed)

    async def entry() -> dict[str, Any]:
        found: dict[str, Any] = (await registration(kube))["webhooks"][0]
        return found

    repaired = await eventually(
        entry, accept=lambda found: found["failurePolicy"] == "Ignore", what="the repair"
    )
    assert repaired["namespaceSelector"] == selector
    assert repaired["rules"][0]["operations"] == ["CREATE", "UPDATE"]
    assert (
        repaired["clientConfig"]["url"] == f"https://127.0.0.1:{replica.port}/validate/workspaces"
    )
    assert repaired["clientConfig"]["caBundle"]


async def test_a_registration_that_is_right_is_not_written(
    replica: Replica, kube: KubernetesClient
) -> None:
    before = (await registration(kube))["metadata"]["resourceVersion"]
    for _ in range(5):
        assert await replica.webhook._check() == []
    assert (await registration(kube))["metadata"]["resourceVersion"] == before


async def test_a_secret_that_somebody_deletes_is_written_again_with_the_same_certificate(
    replica: Replica, kube: KubernetesClient, namespace: str
) -> None:
    before = await kube.get(SECRETS, SECRET_NAME, namespace)
    await kube.delete(SECRETS, SECRET_NAME, namespace)
    after = await eventually(
        lambda: kube.find(SECRETS, SECRET_NAME, namespace), what="the Secret's return"
    )
    assert after is not None
    assert after["data"] == before["data"]


@pytest.mark.parametrize("damage", [{"tls.key": "bm9uZQ=="}, {"ca.key": None}, {"tls.crt": "LQ=="}])
async def test_a_damaged_secret_is_repaired_without_a_failed_request(
    replica: Replica, kube: KubernetesClient, namespace: str, damage: dict[str, str | None]
) -> None:
    before = await kube.get(SECRETS, SECRET_NAME, namespace)
    await kube.merge_patch(SECRETS, SECRET_NAME, {"data": damage}, namespace)

    async def data() -> dict[str, str]:
        assert await dry_run(kube, bad_workspace(namespace), namespace) is not None
        found: dict[str, str] = (await kube.get(SECRETS, SECRET_NAME, namespace))["data"]
        return found

    await eventually(data, accept=lambda found: found == before["data"], what="the repair")


async def test_an_empty_secret_of_a_chart_is_filled(
    replicas: StartReplica, kube: KubernetesClient, namespace: str
) -> None:
    empty = {"metadata": {"name": SECRET_NAME}, "type": "Opaque"}
    await kube.create(SECRETS, empty, namespace)
    await replicas().until_in_force()


async def test_a_secret_of_somebody_else_is_left_alone_and_named(
    replicas: StartReplica, kube: KubernetesClient, namespace: str
) -> None:
    foreign = {"metadata": {"name": SECRET_NAME}, "data": {"tls.crt": "bm9uZQ=="}}
    await kube.create(SECRETS, foreign, namespace)
    replica = replicas()
    await replica.until_it_complains("is somebody else's; delete it")
    found = await kube.get(SECRETS, SECRET_NAME, namespace)
    assert found["data"] == foreign["data"]
    await kube.delete(SECRETS, SECRET_NAME, namespace)
    await replica.until_in_force()
