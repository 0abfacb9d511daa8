"""Whole manifests, one example for each thing that shapes them; review a change like code.

`make golden` writes them anew. How each model of the catalogue is served is in `test_models.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from api import names
from api.workspace import Workspace
from planner.render import (
    render_config_map,
    render_controller_revision,
    render_headless_service,
    render_node_claim,
    render_pull_pod,
    render_service,
    render_workload,
)
from planner.sizing import Sizing
from presets.loader import load_catalogue
from tests import gen
from tests.golden.yaml_file import YamlFile

CATALOGUE = load_catalogue()
REVISION = "0123abcd"
SETTINGS = gen.settings(registry_plain_http=True)
ONE_GPU = gen.sizing(gpu_memory_utilization=0.84)
TWO_NODES = gen.sizing(
    gpus_per_pod=8,
    nodes_per_instance=2,
    parallelism={"tensor": 8, "pipeline": 2},
    gpu_memory_utilization=0.84,
)

Manifests = list[dict[str, Any]]


def workload(workspace: Workspace, sizing: Sizing | None = ONE_GPU) -> dict[str, Any]:
    preset = CATALOGUE.get(workspace.preset_name)
    return render_workload(workspace, preset, REVISION, ["node-1"], SETTINGS, sizing)


def everything_of_onebox() -> Manifests:
    """Return all that the platform makes on one machine."""
    workspace = gen.workspace()
    preset = CATALOGUE.get(gen.PRESET)
    return [
        render_node_claim(workspace, gen.claim(), preset, SETTINGS),
        render_controller_revision(workspace, REVISION, 1, preset=preset),
        render_pull_pod(workspace, preset, REVISION, "node-1", 0, SETTINGS),
        workload(workspace),
        render_headless_service(workspace),
        render_service(workspace, REVISION),
    ]


def gpu_with_settings_and_token() -> Manifests:
    """Return a model that is downloaded with a token, and settings of the user's."""
    preset = {
        "name": "llama-3.1-8b-instruct",
        "presetOptions": {"modelAccessSecret": "hub-token"},
    }
    workspace = gen.workspace(inference={"preset": preset, "config": "my-settings"})
    text = "vllm:\n  max-model-len: 32768\n"
    return [
        render_controller_revision(workspace, REVISION, 1, config_text=text),
        render_config_map(workspace, REVISION, text),
        workload(workspace),
    ]


def transformers() -> Manifests:
    annotations = {names.ANNOTATION_RUNTIME: "transformers"}
    return [workload(gen.workspace(preset="phi-4", metadata={"annotations": annotations}))]


def multi_node() -> Manifests:
    workspace = gen.workspace(preset="deepseek-r1-0528", resource={"count": 2})
    return [
        workload(workspace, TWO_NODES),
        render_headless_service(workspace),
        render_service(workspace, REVISION, TWO_NODES),
    ]


def adapters() -> Manifests:
    image = {"name": "tone", "image": "mine.test/tone:1", "imagePullSecrets": ["mine"]}
    volume = {
        "name": "style",
        "volumeSource": {"persistentVolumeClaim": {"claimName": "tuned"}},
    }
    sources = [{"source": image}, {"source": volume}]
    return [workload(gen.workspace(preset="phi-4", inference={"adapters": sources}))]


def private_image() -> Manifests:
    options = {"image": "mine.test/llama-2:1", "imagePullSecrets": ["mine"]}
    preset = {"name": "llama-2-7b-chat", "accessMode": "private", "presetOptions": options}
    workspace = gen.workspace(inference={"preset": preset})
    known = CATALOGUE.get("llama-2-7b-chat")
    return [
        render_pull_pod(workspace, known, REVISION, "node-1", 0, SETTINGS),
        workload(workspace),
    ]


def mig_slice() -> Manifests:
    partition = {"mode": "mig", "profile": "3g.40gb"}
    return [workload(gen.workspace(preset="phi-4", resource={"partition": partition}))]


def template() -> Manifests:
    pods = {
        "metadata": {"labels": {"team": "research"}},
        "spec": {
            "containers": [
                {
                    "name": "server",
                    "image": "mine.test/server:1",
                    "resources": {"limits": {names.GPU_RESOURCE: "1"}},
                }
            ],
        },
    }
    workspace = gen.workspace(inference={"preset": None, "template": pods}, resource={"count": 2})
    return [workload(workspace, None)]


def load_balancer() -> Manifests:
    annotations = {names.ANNOTATION_ENABLE_LOAD_BALANCER: "True"}
    return [render_service(gen.workspace(metadata={"annotations": annotations}), REVISION)]


def spot_node_of_karpenter() -> Manifests:
    annotations = {names.ANNOTATION_NODE_IMAGE_FAMILY: "azurelinux"}
    resource = {"instanceType": "Standard_NC24ads_A100_v4", "capacityType": "spot-with-fallback"}
    workspace = gen.workspace(
        preset="phi-4", resource=resource, metadata={"annotations": annotations}
    )
    settings = gen.settings(node_class_group="karpenter.azure.com", node_class_kind="AKSNodeClass")
    claim = gen.claim(instance_type="Standard_NC24ads_A100_v4")
    claim = claim.model_copy(update={"capacity_type": "spot"})
    return [render_node_claim(workspace, claim, CATALOGUE.get("phi-4"), settings)]


EXAMPLES: dict[str, Callable[[], Manifests]] = {
    "onebox": everything_of_onebox,
    "gpu-with-settings-and-token": gpu_with_settings_and_token,
    "transformers": transformers,
    "multi-node": multi_node,
    "adapters": adapters,
    "private-image": private_image,
    "mig-slice": mig_slice,
    "template": template,
    "load-balancer": load_balancer,
    "spot-node-of-karpenter": spot_node_of_karpenter,
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_example(example: str, snapshot: SnapshotAssertion) -> None:
    assert EXAMPLES[example]() == snapshot(extension_class=YamlFile)
