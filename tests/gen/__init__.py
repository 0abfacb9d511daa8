"""Builders of objects for tests: valid by default, and changed where the test's claim is about.

    gen.workspace()                                       a Workspace that serves SmolLM2
    gen.workspace(name="b", resource={"count": 2})        the same, changed
    gen.workspace(inference={"preset": {"name": "x"}})    nested keys are merged
    gen.workspace(inference=None)                         None takes a key away

`workspace_object` gives the Kubernetes object, `workspace` the model of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.payloads import ClaimSpec, Parallelism
from api.preset import (
    Accelerator,
    AcceleratorVendor,
    Catalogue,
    InstanceType,
    Preset,
)
from api.workspace import Workspace
from planner.sizing import Sizing
from planner.world import PlatformSettings

PRESET = "smollm2-135m-instruct"
UID = "6d2d1d3c-8a5c-4f0e-9f0c-1f7c5a0f2b11"


def workspace_object(
    *,
    name: str = "chat",
    namespace: str = "default",
    preset: str = PRESET,
    instance_type: str = "onebox.small",
    **changes: Any,
) -> dict[str, Any]:
    """Return the object as a user applies it; `changes` are merged into it by key."""
    plain: dict[str, Any] = {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": name, "namespace": namespace},
        "resource": {
            "instanceType": instance_type,
            "labelSelector": {"matchLabels": {"apps": "chat"}},
        },
        "inference": {"preset": {"name": preset}},
    }
    return merged(plain, changes)


def workspace(**changes: Any) -> Workspace:
    """Return a Workspace as the cluster has it: with uid and generation."""
    metadata = {"uid": UID, "generation": 1, **(changes.pop("metadata", None) or {})}
    return Workspace.from_object(workspace_object(metadata=metadata, **changes))


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes` merged in by key; None takes a key away."""
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def preset_content(**changes: Any) -> dict[str, Any]:
    """Return a preset as a catalogue file has it."""
    plain: dict[str, Any] = {
        "name": PRESET,
        "description": "a model for tests",
        "model": {
            "huggingFaceId": "org/model",
            "revision": "0123456789abcdef",
            "license": "Apache-2.0",
            "architecture": "LlamaForCausalLM",
            "parameters": 134515008,
            "weightsBytes": 269030016,
            "dtype": "bfloat16",
            "hiddenSize": 576,
            "attention": {"layers": 30, "heads": 9, "keyValueHeads": 3, "headDimension": 64},
            "vocabularySize": 49152,
            "maxModelLength": 8192,
        },
        "weights": {"kind": "oci", "reference": "kaito/weights/model:1"},
        "runtimes": [
            {
                "name": "vllm",
                "accelerators": ["emulated"],
                "image": "kaito/vllm-cpu:test",
                "arguments": {"dtype": "bfloat16"},
                "resources": {"cpu": "1", "memory": "4Gi", "sharedMemory": "1Gi"},
            }
        ],
        "disk": "8Gi",
    }
    return merged(plain, changes)


def preset(**changes: Any) -> Preset:
    """Return a preset that does not change when the catalogue does."""
    return Preset.model_validate(preset_content(**changes))


def instance_type(
    name: str = "onebox.small",
    *,
    vendor: str = "emulated",
    gpu_count: int = 1,
    memory: str = "8Gi",
) -> InstanceType:
    """Return an instance type."""
    accelerator = Accelerator.model_validate(
        {
            "vendor": AcceleratorVendor(vendor),
            "model": "test",
            "count": gpu_count,
            "memory": memory,
        }
    )
    return InstanceType(name=name, provider="test", accelerator=accelerator)


def catalogue(
    *presets: Preset, instance_types: tuple[InstanceType, ...] | None = None
) -> Catalogue:
    """Return a catalogue; by default of one model, two emulated types and an NVIDIA one."""
    if instance_types is None:
        instance_types = (
            instance_type("onebox.small"),
            instance_type("onebox.large", gpu_count=2),
            instance_type("Standard_NC24ads_A100_v4", vendor="nvidia", memory="80Gi"),
        )
    return Catalogue.of(presets or (preset(),), instance_types)


def settings(**changes: Any) -> PlatformSettings:
    """Return the settings of a platform that makes nodes."""
    plain: dict[str, Any] = {"provisioner": "onebox", "image_registry": "registry.test"}
    return PlatformSettings(**{**plain, **changes})


def sizing(**changes: Any) -> Sizing:
    """Return a sizing of one GPU on one node; `parallelism` may be a mapping."""
    plain: dict[str, Any] = {
        "gpus_per_pod": 1,
        "nodes_per_instance": 1,
        "parallelism": {},
        "gpu_memory_utilization": 0.9,
        "budget": None,
    }
    content = {**plain, **changes}
    parallelism = Parallelism.model_validate(content.pop("parallelism"))
    return Sizing(parallelism=parallelism, **content)


def gpu_preset(**changes: Any) -> Preset:
    """Return a preset for NVIDIA GPUs that leaves everything it can to the platform.

    Both runtimes serve it; the model server downloads its weights, 4 GiB of them.
    """
    plain: dict[str, Any] = {
        "model": {"weightsBytes": "4Gi"},
        "weights": {"kind": "huggingface", "reference": None},
        "runtimes": [{"name": "vllm"}, {"name": "transformers"}],
        "disk": "90Gi",
    }
    return preset(**merged(plain, changes))


def claim(
    name: str = "ws0123456789", *, instance_type: str = "onebox.small", index: int = 0
) -> ClaimSpec:
    """Return a claim that a plan wants."""
    return ClaimSpec(name=name, instance_type=instance_type, index=index)
