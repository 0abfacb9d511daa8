"""Manifests as people write them for upstream (v0.4.5 and v0.12), against the real catalogue."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from api.workspace import Workspace
from planner.validation import validate
from planner.world import PlatformSettings
from presets.loader import load_catalogue
from tests import gen

A100 = "Standard_NC24ads_A100_v4"
PROVISIONING = gen.settings(provisioner="aks")
EXISTING_NODES = gen.settings(provisioner="byo")

V1ALPHA1 = f"""
apiVersion: kaito.sh/v1alpha1
kind: Workspace
metadata: {{name: workspace-x}}
resource:
  instanceType: {A100}
  labelSelector: {{matchLabels: {{apps: x}}}}
"""
V1BETA1 = V1ALPHA1.replace("v1alpha1", "v1beta1")
TWO_GPUS = "resource: {instanceType: Standard_NC48ads_A100_v4}"
EIGHT_GPUS = "resource: {instanceType: Standard_ND96asr_v4}"

V0_4_5 = {
    "falcon": "inference: {preset: {name: falcon-7b}}",
    "falcon 40b": f"{TWO_GPUS}\ninference: {{preset: {{name: falcon-40b-instruct}}}}",
    "mistral": "inference: {preset: {name: mistral-7b-instruct}}",
    "phi 2": "inference: {preset: {name: phi-2}}",
    "phi 3": "inference: {preset: {name: phi-3-mini-128k-instruct}}",
    "phi 3.5": "inference: {preset: {name: phi-3.5-mini-instruct}}",
    "phi 4": "inference: {preset: {name: phi-4}}",
    "phi 4 mini": "inference: {preset: {name: phi-4-mini-instruct}}",
    "qwen": "inference: {preset: {name: qwen2.5-coder-7b-instruct}}",
    "deepseek": "inference: {preset: {name: deepseek-r1-distill-qwen-14b}}",
    "the transformers runtime": (
        "metadata: {annotations: {kaito.sh/runtime: transformers}}\n"
        "inference: {preset: {name: phi-3-mini-4k-instruct}}"
    ),
    "an address outside": (
        "metadata: {annotations: {kaito.sh/enablelb: 'True'}}\n"
        "inference: {preset: {name: phi-3-mini-128k-instruct}}"
    ),
    "settings": "inference: {preset: {name: phi-4-mini-instruct}, config: params}",
    "the check of sizes bypassed": (
        "metadata: {annotations: {kaito.sh/bypass-resource-checks: 'True'}}\n"
        "resource: {instanceType: Standard_NC6s_v3}\n"
        "inference: {preset: {name: phi-4}}"
    ),
    "preferred nodes": (
        "resource: {preferredNodes: [aks-gpunp-1]}\ninference: {preset: {name: falcon-7b}}"
    ),
    "an adapter": (
        "inference: {preset: {name: phi-3-mini-128k-instruct}, adapters: [{source: "
        "{name: phi-3-adapter, image: 'kaito.azurecr.io/adapter:0.0.1'}}]}"
    ),
    "an adapter with a strength": (
        "metadata: {annotations: {kaito.sh/runtime: transformers}}\n"
        "inference: {preset: {name: falcon-7b}, adapters: [{source: "
        "{name: falcon-adapter, image: 'kaito.azurecr.io/adapter:0.0.1', "
        "imagePullSecrets: [acr]}, strength: '0.2'}]}"
    ),
    "a private llama": (
        "resource: {instanceType: Standard_NC12s_v3}\n"
        "inference: {preset: {name: llama-2-7b-chat, accessMode: private, presetOptions: "
        "{image: 'acr.azurecr.io/llama-2-7b-chat:latest', imagePullSecrets: [acr]}}}"
    ),
    "pods of one's own": (
        "inference: {template: {spec: {containers: [{name: custom, image: 'ghcr.io/me/llm:latest', "
        "command: [accelerate], args: [launch], resources: {limits: {nvidia.com/gpu: 1}}, "
        "volumeMounts: [{name: dshm, mountPath: /dev/shm}]}], "
        "volumes: [{name: dshm, emptyDir: {medium: Memory}}]}}}"
    ),
    "tuning with addresses": (
        "tuning: {preset: {name: phi-3-mini-128k-instruct}, method: qlora, "
        "input: {urls: ['https://huggingface.co/datasets/philschmid/dolly-15k-oai-style/resolve/"
        "main/data/train-00000-of-00001-54e3756291ca09c6.parquet?download=true']}, "
        "output: {image: 'acr.azurecr.io/adapter:0.0.1', imagePushSecret: acr}}"
    ),
    "tuning with an image": (
        "tuning: {preset: {name: phi-3-mini-128k-instruct}, method: lora, config: params, "
        "input: {name: data, image: 'acr.azurecr.io/data:0.0.1', imagePullSecrets: [acr]}, "
        "output: {image: 'acr.azurecr.io/adapter:0.0.1', imagePushSecret: acr}}"
    ),
}

V0_12 = {
    "an id of the catalogue": "inference: {preset: {name: microsoft/phi-4-mini-instruct}}",
    "a legacy alias": "inference: {preset: {name: gpt-oss-20b}}",
    "an id that is looked up": "inference: {preset: {name: Qwen/Qwen3-0.6B}}",
    "a secret for a gated model": (
        "inference: {preset: {name: meta-llama/Llama-3.1-8B-Instruct, presetOptions: "
        "{modelAccessSecret: hf-token}}}"
    ),
    "several nodes": (
        "resource: {instanceType: Standard_NC80adis_H100_v5, count: 2}\n"
        "inference: {preset: {name: meta-llama/Llama-3.3-70B-Instruct, presetOptions: "
        "{modelAccessSecret: hf-token}}}"
    ),
    "performance mode": (
        "metadata: {annotations: {kaito.sh/performance-mode: throughput, "
        "kaito.sh/disable-benchmark: 'true', kaito.sh/node-image-family: AzureLinux}}\n"
        "inference: {preset: {name: phi-4-mini-instruct}}"
    ),
    "an adapter on a volume": (
        "inference: {preset: {name: phi-4}, adapters: [{source: {name: style, volumeSource: "
        "{persistentVolumeClaim: {claimName: adapters}}}}]}"
    ),
    "tuning onto a volume": (
        "tuning: {preset: {name: phi-3-mini-128k-instruct}, method: qlora, "
        "input: {volumeSource: {persistentVolumeClaim: {claimName: data}}}, "
        "output: {volumeSource: {persistentVolumeClaim: {claimName: results}}}}"
    ),
    "a type that the table lacks": (
        "resource: {instanceType: Standard_NC999xl_Z900_v9}\ninference: {preset: {name: phi-4}}"
    ),
}

V0_12_ON_EXISTING_NODES = {
    "no instance type": "resource: {instanceType: null}\ninference: {preset: {name: phi-4}}",
    "a slice": (
        "resource: {instanceType: null, partition: {mode: mig, profile: 3g.40gb}}\n"
        "inference: {preset: {name: phi-4-mini-instruct}}"
    ),
    "one GPU of several": (
        "resource: {instanceType: null, partition: {mode: accelerator, count: 1}}\n"
        "inference: {preset: {name: phi-4}}"
    ),
    "any way to select": (
        "resource: {instanceType: null, labelSelector: {matchLabels: null, matchExpressions: "
        "[{key: nvidia.com/gpu.product, operator: In, values: [A100, H100]}]}}\n"
        "inference: {preset: {name: phi-4}}"
    ),
    "weights on the nodes": (
        "metadata: {annotations: {kaito.sh/use-local-weights: 'true'}}\n"
        "inference: {preset: {name: phi-4}}"
    ),
}

MANIFESTS = [
    *((f"v0.4.5 {what}", V1ALPHA1, one, PROVISIONING) for what, one in V0_4_5.items()),
    *((f"v0.12 {what}", V1BETA1, one, PROVISIONING) for what, one in V0_12.items()),
    *(
        (f"byo {what}", V1BETA1, one, EXISTING_NODES)
        for what, one in V0_12_ON_EXISTING_NODES.items()
    ),
]


@pytest.mark.parametrize(
    ("base", "fragment", "settings"),
    [one[1:] for one in MANIFESTS],
    ids=[one[0] for one in MANIFESTS],
)
def test_a_manifest_of_upstreams_users_is_accepted(
    base: str, fragment: str, settings: PlatformSettings
) -> None:
    manifest: dict[str, Any] = gen.merged(yaml.safe_load(base), yaml.safe_load(fragment))
    workspace = Workspace.from_object(manifest)
    catalogue = load_catalogue()
    preset = catalogue.get(workspace.preset_name)
    assert validate(workspace, preset, settings, catalogue) == []
