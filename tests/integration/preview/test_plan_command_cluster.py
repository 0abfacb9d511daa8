"""`plan --cluster`: what is really there counts, and nothing of it is touched."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from activities.clients.kubernetes import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    NODE_CLAIMS,
    NODES,
    SERVICES,
    STATEFUL_SETS,
    WORKSPACES,
    KubernetesClient,
)
from api.workspace import Workspace
from planner.render import render_service
from tests import gen
from tests.harness.cluster import ROOT, Cluster
from worker.preview.cluster import LAST_APPLIED, applied

pytestmark = pytest.mark.integration

KINDS = (WORKSPACES, CONFIG_MAPS, CONTROLLER_REVISIONS, SERVICES, STATEFUL_SETS)


@pytest_asyncio.fixture
async def client(cluster: Cluster) -> AsyncIterator[KubernetesClient]:
    async with cluster.client() as connected:
        yield connected


@pytest_asyncio.fixture
async def pool(client: KubernetesClient) -> AsyncIterator[str]:
    """A label value that one ready node with a GPU carries."""
    value = f"pool-{uuid.uuid4().hex[:8]}"
    labels = {"pool": value, "node.kubernetes.io/instance-type": "Standard_NC24ads_A100_v4"}
    await client.create(NODES, {"metadata": {"name": f"{value}-a", "labels": labels}})
    status = {
        "allocatable": {"nvidia.com/gpu": "1"},
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    await client.merge_patch(NODES, f"{value}-a", {"status": status}, subresource="status")
    # Nothing removes the taint that new nodes get here.
    await client.merge_patch(NODES, f"{value}-a", {"spec": {"taints": None}})
    yield value
    await client.delete(NODES, f"{value}-a")


@dataclass(frozen=True)
class Printed:
    code: int
    text: str
    error: str

    @property
    def only(self) -> dict[str, Any]:
        (one,) = json.loads(self.text)["workspaces"]
        found: dict[str, Any] = one
        return found


async def plan(kubeconfig: Path, manifest: str, *arguments: str) -> Printed:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "plan", "-f", "-", "--cluster", "-o", "json"),
        *arguments,
        cwd=ROOT,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate(manifest.encode())
    return Printed(process.returncode or 0, out.decode(), error.decode())


def on_nodes(pool: str, namespace: str, **changes: Any) -> dict[str, Any]:
    resource = {"labelSelector": {"matchLabels": {"pool": pool, "apps": None}}}
    base = gen.workspace_object(
        namespace=namespace,
        preset="phi-4",
        instance_type="Standard_NC24ads_A100_v4",
        resource=resource,
    )
    return gen.merged(base, changes)


async def everything(client: KubernetesClient, namespace: str) -> dict[str, list[Any]]:
    found = {kind.plural: await client.list(kind, namespace) for kind in KINDS}
    return {**found, "nodeclaims": await client.list(NODE_CLAIMS)}


async def test_nodes_that_are_there_are_used_and_nothing_is_touched(
    cluster: Cluster, client: KubernetesClient, namespace: str, pool: str
) -> None:
    before = await everything(client, namespace)
    printed = await plan(cluster.kubeconfig, yaml.safe_dump(on_nodes(pool, namespace)))
    assert printed.code == 0, printed.error
    assert printed.only["nodes"]["existing"] == [f"{pool}-a"]
    assert printed.only["usd_per_hour"] == 0
    assert printed.only["effect"]["kind"] == "start"
    assert await everything(client, namespace) == before


async def test_nodes_that_are_missing_are_a_problem(
    cluster: Cluster, namespace: str, pool: str
) -> None:
    manifest = on_nodes(pool, namespace, resource={"count": 2})
    printed = await plan(cluster.kubeconfig, yaml.safe_dump(manifest))
    assert printed.code == 1
    assert [one["reason"] for one in printed.only["problems"]] == ["InsufficientCapacity"]


async def test_with_a_provisioner_they_would_be_bought(
    cluster: Cluster, namespace: str, pool: str
) -> None:
    manifest = on_nodes(pool, namespace, resource={"count": 2})
    printed = await plan(cluster.kubeconfig, yaml.safe_dump(manifest), "--provisioner", "any")
    assert printed.code == 0, printed.error
    assert printed.only["nodes"]["existing"] == [f"{pool}-a"]
    assert len(printed.only["nodes"]["new"]) == 1


async def test_what_a_manifest_names_must_be_there_or_in_the_same_file(
    cluster: Cluster, client: KubernetesClient, namespace: str, pool: str
) -> None:
    manifest = on_nodes(pool, namespace, inference={"config": "settings"})
    printed = await plan(cluster.kubeconfig, yaml.safe_dump(manifest))
    assert printed.code == 1
    assert [one["reason"] for one in printed.only["problems"]] == ["MissingReference"]
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": namespace},
        "data": {"inference_config.yaml": "vllm: {max-model-len: 4096}"},
    }
    both = yaml.safe_dump_all([config_map, manifest])
    assert (await plan(cluster.kubeconfig, both)).only["budget"]["context_tokens"] == 4096
    await client.create(CONFIG_MAPS, config_map, namespace)
    printed = await plan(cluster.kubeconfig, yaml.safe_dump(manifest))
    assert printed.only["budget"]["context_tokens"] == 4096


async def serve(client: KubernetesClient, live: dict[str, Any], revision: str) -> None:
    """Make the Service that says which revision gets the traffic."""
    workspace = Workspace.from_object(live)
    await client.create(SERVICES, render_service(workspace, revision), workspace.namespace)


async def test_an_edit_is_compared_with_what_gets_the_traffic(
    cluster: Cluster, client: KubernetesClient, namespace: str, pool: str
) -> None:
    manifest = on_nodes(pool, namespace)
    live = await client.create(WORKSPACES, manifest, namespace)
    first = await plan(cluster.kubeconfig, yaml.safe_dump(manifest))
    assert first.only["effect"]["kind"] == "start"
    await serve(client, live, first.only["revision"])

    same = await plan(cluster.kubeconfig, yaml.safe_dump(manifest))
    assert same.only["effect"]["kind"] == "nothing"
    assert same.only["effect"]["changes"] == []

    edited = on_nodes(pool, namespace, inference={"preset": {"name": "phi-4-mini-instruct"}})
    changed = await plan(cluster.kubeconfig, yaml.safe_dump(edited))
    assert changed.only["effect"]["kind"] == "in-place"
    assert [one["field"] for one in changed.only["effect"]["changes"]] == ["inference.preset.name"]


async def test_a_cluster_that_does_not_answer_ends_with_2(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    server = {"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "a", "context": {"cluster": "a", "user": "a"}}
    user = {"name": "a", "user": {"token": "none"}}
    content = {"clusters": [server], "contexts": [context], "users": [user]}
    kubeconfig.write_text(yaml.safe_dump({"current-context": "a", **content}))
    manifest = yaml.safe_dump(gen.workspace_object())
    printed = await plan(kubeconfig, manifest)
    assert (printed.code, printed.text) == (2, "")
    assert "plan: the cluster can't be looked at: " in printed.error
    missing = await plan(tmp_path / "nowhere", manifest)
    assert missing.code == 2
    assert "KUBECONFIG" in missing.error


# --- What applying a manifest leaves --------------------------------------------------------------


def metadata_of(live: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    name = {"name": "chat", "namespace": "default"}
    found = applied({"metadata": {**name, **own}}, {"metadata": {**name, **live}})
    metadata: dict[str, Any] = found["metadata"]
    return metadata


def test_what_the_server_knows_of_an_object_stays() -> None:
    live = {"uid": "u", "generation": 3, "finalizers": ["f"], "resourceVersion": "7"}
    metadata = metadata_of(live, {})
    assert {key: metadata[key] for key in live} == live


def test_annotations_of_others_stay_and_those_of_an_earlier_manifest_go() -> None:
    earlier = json.dumps({"metadata": {"annotations": {"mine": "old", "gone": "x"}}})
    live = {"annotations": {"mine": "old", "gone": "x", "theirs": "y", LAST_APPLIED: earlier}}
    annotations = metadata_of(live, {"annotations": {"mine": "new"}})["annotations"]
    assert annotations == {"mine": "new", "theirs": "y", LAST_APPLIED: earlier}


@pytest.mark.parametrize("earlier", ["{", "[]", "null", '{"metadata": null}'])
def test_an_odd_record_of_the_earlier_manifest_takes_nothing_away(earlier: str) -> None:
    live = {"annotations": {"theirs": "y", LAST_APPLIED: earlier}}
    assert metadata_of(live, {})["annotations"]["theirs"] == "y"
