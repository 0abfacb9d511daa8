"""The examples, as `kubectl apply --dry-run=server` applies them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from activities.clients.kubernetes import CONFIG_MAPS, WORKSPACES, KubernetesClient
from tests.harness.cluster import ROOT, Cluster

pytestmark = pytest.mark.integration

FOLDER = ROOT / "examples"
FILES = sorted(FOLDER.rglob("*.yaml"))

KINDS = {kind.kind: kind for kind in (CONFIG_MAPS, WORKSPACES)}


def objects_of(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


@pytest_asyncio.fixture
async def client(cluster: Cluster) -> AsyncIterator[KubernetesClient]:
    async with cluster.client() as connected:
        yield connected


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
async def test_a_real_api_server_takes_every_field_of_an_example(
    client: KubernetesClient, namespace: str, path: Path
) -> None:
    for obj in objects_of(path):
        # Strict: a field that the schema does not know is an error and not dropped.
        taken = await client._request(
            "POST",
            KINDS[obj["kind"]].path(namespace),
            "create",
            KINDS[obj["kind"]].plural,
            query={"dryRun": "All", "fieldValidation": "Strict"},
            body=obj,
        )
        assert taken["metadata"]["name"] == obj["metadata"]["name"]


def test_every_example_is_in_the_index() -> None:
    index = (FOLDER / "README.md").read_text()
    for path in FILES:
        name = path.relative_to(FOLDER)
        assert f"[{name}]({name})" in index
