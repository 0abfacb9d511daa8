"""Every golden manifest as a real API server takes it, with Pod Security on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from activities.clients.kubernetes import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    NAMESPACES,
    NODE_CLAIMS,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    Kind,
    KubernetesClient,
)
from tests.harness.cluster import ROOT, Cluster

pytestmark = pytest.mark.integration

SERVICE_ACCOUNTS = Kind("", "v1", "serviceaccounts", "ServiceAccount")
KINDS = {
    kind.kind: kind
    for kind in (
        CONFIG_MAPS,
        CONTROLLER_REVISIONS,
        NODE_CLAIMS,
        PODS,
        SERVICES,
        STATEFUL_SETS,
    )
}
EXAMPLES = sorted((ROOT / "tests/golden/__snapshots__/test_manifests").glob("*.yaml"))

OPEN_TO_THE_USER = {"private-image": "baseline", "template": "privileged"}
"""What Pod Security can be asked for where image or pod are the user's own; else `restricted`."""


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def example_of(path: Path) -> str:
    return path.stem.partition("[")[2].rstrip("]")


@pytest_asyncio.fixture
async def client(cluster: Cluster) -> AsyncIterator[KubernetesClient]:
    async with cluster.client() as connected:
        yield connected


def lost(sent: Any, stored: Any, path: str = "") -> list[str]:
    """Return the paths of everything that was sent and is not there as it was."""
    if isinstance(sent, dict) and isinstance(stored, dict):
        parts = [lost(value, stored.get(key), f"{path}.{key}") for key, value in sent.items()]
        return [found for part in parts for found in part]
    if isinstance(sent, list) and isinstance(stored, list) and len(sent) == len(stored):
        pairs = enumerate(zip(sent, stored, strict=True))
        return [found for index, pair in pairs for found in lost(*pair, f"{path}[{index}]")]
    return [] if sent == stored else [path]


@pytest.mark.parametrize("path", EXAMPLES, ids=example_of)
async def test_a_golden_manifest_is_taken_whole(
    client: KubernetesClient, namespace: str, path: Path
) -> None:
    level = OPEN_TO_THE_USER.get(example_of(path), "restricted")
    labels = {"pod-security.kubernetes.io/enforce": level}
    await client.merge_patch(NAMESPACES, namespace, {"metadata": {"labels": labels}})
    await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, namespace)
    for body in documents(path):
        kind = KINDS[body["kind"]]
        if kind is NODE_CLAIMS:
            await _take_node_claim(client, body, namespace)
            continue
        body["metadata"]["namespace"] = namespace
        assert lost(body, await client.create(kind, body, namespace)) == []
        if kind is STATEFUL_SETS:
            await _take_pod(client, body["spec"]["template"], namespace)


async def _take_node_claim(client: KubernetesClient, body: dict[str, Any], namespace: str) -> None:
    # Of the cluster: it needs a name of its own, and would outlive this test's namespace.
    body["metadata"]["name"] = f"ws{namespace[-8:]}01"
    body["metadata"].pop("finalizers", None)
    assert lost(body, await client.create(NODE_CLAIMS, body, "")) == []
    await client.delete(NODE_CLAIMS, body["metadata"]["name"])


async def _take_pod(client: KubernetesClient, template: dict[str, Any], namespace: str) -> None:
    # A StatefulSet's pods are judged when they are made, so judge one here.
    pod = {"metadata": {"name": "probe", **template["metadata"]}, "spec": template["spec"]}
    # The API server adds tolerations of its own.
    assert set(lost(pod, await client.create(PODS, pod, namespace))) <= {".spec.tolerations"}
