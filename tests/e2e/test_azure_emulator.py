"""An emulated Azure above real nodes: Temporal → Azure's SDK → emulator → kubelet → model.

One onebox at a time runs on a machine, so this module starts its own and ends it before the next
module begins: pytest runs modules in the order of their names. The tests tell one story in order.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import MODEL, NAME, UP_SECONDS, Onebox

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1600)]

AZURE = "http://127.0.0.1:7080/subscriptions/00000000-0000-0000-0000-000000000001"
CLUSTER = f"{AZURE}/resourceGroups/group/providers/Microsoft.ContainerService/managedClusters"
AGENT = "http://127.0.0.1:7070/v1/nodes"
SECOND = "second"
FILES = "files"

QUOTAS = ("standardOneboxSmallFamily=4", "standardNCSv3Family=0")
"""Enough for one machine of onebox.small, and for no V100 at all."""


@pytest.fixture(scope="module")
def azure_box() -> Iterator[Onebox]:
    box = Onebox()
    started = time.monotonic()
    try:
        quotas = [word for quota in QUOTAS for word in ("--azure-quota", quota)]
        box.first_up = box.onebox("up", "--cloud", "azure-emulator", *quotas, seconds=UP_SECONDS)
        tell("up, with one answer", started)
        yield box
    finally:
        box.onebox("down", seconds=120, code=None)


def tell(what: str, started: float) -> None:
    """Print how long something took; `pytest -s` shows it."""
    print(f"{what}: {time.monotonic() - started:.1f} s", file=sys.stderr)  # noqa: T201


def get(url: str) -> Any:
    headers = {"Authorization": "Bearer any"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - our own, on loopback
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - as above
        return json.load(response)


def pools() -> dict[str, dict[str, Any]]:
    """Return the agent pools that Azure has beside the system's own, by name."""
    found = get(f"{CLUSTER}/cluster/agentPools?api-version=2025-01-01")["value"]
    return {pool["name"]: pool["properties"] for pool in found if pool["name"] != "system"}


def used_vcpus() -> dict[str, int]:
    location = f"{AZURE}/providers/Microsoft.Compute/locations/eastus"
    usages = get(f"{location}/usages?api-version=2025-01-01")["value"]
    return {one["name"]["value"]: one["currentValue"] for one in usages if one["currentValue"]}


def node_of(box: Onebox, name: str) -> dict[str, Any]:
    (node_name,) = box.workspace(name)["status"]["workerNodes"]
    found: dict[str, Any] = json.loads(box.kubectl("get", "node", node_name, "-o", "json"))
    return found


def fell_back(box: Onebox, name: str) -> list[str]:
    history = box.workspace(name)["status"]["history"]
    return [entry["message"] for entry in history if entry["outcome"] == "FellBack"]


def serving(name: str, instance_types: tuple[str, str], **inference: Any) -> dict[str, Any]:
    """Build a Workspace that takes the second instance type where the first can't be had."""
    return {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": name},
        "resource": {
            "instanceType": instance_types[0],
            "fallbackInstanceTypes": [instance_types[1]],
            "labelSelector": {"matchLabels": {"apps": name}},
        },
        "inference": inference,
    }


def test_a_model_answers_on_the_real_node_of_an_agent_pool(azure_box: Onebox) -> None:
    assert re.search(r"azure-emulator +serves on \S+7080", azure_box.first_up)
    assert re.search(r"answer +\S.*Paris", azure_box.first_up)
    ((pool, properties),) = pools().items()
    assert (properties["vmSize"], properties["provisioningState"]) == ("onebox.small", "Succeeded")
    node = node_of(azure_box, NAME)
    assert node["metadata"]["name"] == f"aks-{pool}-12345678-vmss000000"
    assert node["metadata"]["labels"]["kubernetes.azure.com/agentpool"] == pool
    assert f"/virtualMachineScaleSets/aks-{pool}-" in node["spec"]["providerID"]
    assert node["spec"]["providerID"].startswith("azure:///subscriptions/")
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
    claim = json.loads(azure_box.kubectl("get", "nodeclaims", "-o", "json"))["items"][0]
    assert claim["status"]["providerID"] == node["spec"]["providerID"]


def test_status_knows_the_emulator(azure_box: Onebox) -> None:
    assert re.search(r"azure-emulator +runs +\d+ +127\.0\.0\.1:7080", azure_box.onebox("status"))


def test_an_emulator_that_was_killed_finds_its_pools_again(azure_box: Onebox) -> None:
    before, used = pools(), used_vcpus()
    row = re.search(r"azure-emulator +runs +(\d+)", azure_box.onebox("status"))
    assert row is not None
    os.kill(int(row.group(1)), signal.SIGKILL)
    # Nothing of Azure is said: what this installation began with is kept.
    azure_box.onebox("up")
    after = pools()
    assert after.keys() == before.keys()
    for name, properties in after.items():
        assert properties["nodeLabels"] == before[name]["nodeLabels"]
        assert properties["tags"] == before[name]["tags"]
    assert used_vcpus() == used
    assert "Paris" in azure_box.onebox("ask", "What is the capital of France?")


def test_another_cloud_is_refused_while_nodes_belong_to_this_one(azure_box: Onebox) -> None:
    words = azure_box.onebox("up", "--cloud", "onebox", code=2)
    assert "began with --cloud azure-emulator" in words
    assert "make down" in words


def test_the_second_types_node_serves_when_the_firsts_quota_is_used_up(azure_box: Onebox) -> None:
    started = time.monotonic()
    azure_box.apply(serving(SECOND, ("onebox.small", "onebox.large"), preset={"name": MODEL}))
    azure_box.until_ready(name=SECOND)
    tell("fallback, until ready", started)
    (line,) = fell_back(azure_box, SECOND)
    assert "standardOneboxSmallFamily in eastus 4 of 4 are used" in line
    assert azure_box.workspace(SECOND)["status"]["instanceType"] == "onebox.large"
    node = node_of(azure_box, SECOND)
    assert node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == "onebox.large"
    assert sorted(pool["vmSize"] for pool in pools().values()) == ["onebox.large", "onebox.small"]
    question = "What is the capital of Italy?"
    assert "Rome" in azure_box.onebox("ask", question, "--workspace", SECOND)
    started = time.monotonic()
    azure_box.kubectl("delete", "workspace", SECOND, "--timeout=100s")
    tell("delete", started)
    assert [pool["vmSize"] for pool in pools().values()] == ["onebox.small"]


def test_a_gpu_size_of_azure_is_a_real_node_that_shows_its_gpus(azure_box: Onebox) -> None:
    image = azure_box.kubectl("get", "pods", "-o", "jsonpath={.items[0].spec.containers[0].image}")
    container = {
        "name": FILES,
        "image": image,
        "command": ["python3", "-m", "http.server", "5000", "--directory", "/mnt"],
    }
    # Python as the first process of a container does not listen to SIGTERM.
    template = {"spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}
    started = time.monotonic()
    sizes = ("Standard_NC6s_v3", "Standard_NC48ads_A100_v4")
    azure_box.apply(serving(FILES, sizes, template=template))
    azure_box.until_ready(name=FILES)
    tell("a GPU size, by fallback, until ready", started)
    (line,) = fell_back(azure_box, FILES)
    assert "standardNCSv3Family in eastus 0 of 0 are used" in line
    node = node_of(azure_box, FILES)
    assert node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == sizes[1]
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "2"
    address = azure_box.kubectl("get", "svc", FILES, "-o", "jsonpath={.spec.clusterIP}")
    with urllib.request.urlopen(f"http://{address}/", timeout=10) as response:
        assert b"Directory listing" in response.read()


def test_after_the_last_workspace_azure_has_no_pool_and_the_machine_no_node(
    azure_box: Onebox,
) -> None:
    assert used_vcpus() == {
        "cores": 4 + 48,
        "standardOneboxSmallFamily": 4,
        "standardNCADSA100v4Family": 48,
    }
    started = time.monotonic()
    azure_box.kubectl("delete", "workspace", NAME, FILES, "--timeout=100s")
    tell("delete of two", started)
    assert pools() == {}
    assert used_vcpus() == {}
    assert get(AGENT)["nodes"] == []
    left = azure_box.kubectl("get", "nodes,nodeclaims", "-o", "name").split()
    assert left == ["node/onebox-system"]


def test_down_ends_the_emulator_too(azure_box: Onebox) -> None:
    started = time.monotonic()
    words = azure_box.onebox("down")
    tell("down", started)
    assert "LEFT" not in words
    for kind in ("processes", "mounts", "network namespaces", "rules", "cgroups", "state"):
        assert re.search(rf"no [\w ]*{kind}[\w ]* left", words), (kind, words)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(AZURE, timeout=2)
    assert "is not there" in azure_box.onebox("status", code=None)
