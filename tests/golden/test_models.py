"""How every model of the catalogue is served, one short file each: review a change like code.

Each is laid over a node of the installation's default type and over one of the largest, by each of
its runtimes. What is the same for all models (probes, volumes, rights) is in `test_manifests.py`.
`make golden` writes the files anew.
"""

from __future__ import annotations

from typing import Any, Final

import pytest
from syrupy.assertion import SnapshotAssertion

from api import names
from api.preset import AcceleratorVendor, ImageAccess, InstanceType, Preset, Runtime, RuntimeName
from api.workspace import Workspace
from planner.render import images_of, render_workload
from planner.serving_config import ServingConfig
from planner.sizing import DoesNotFit, Sizing, size_serving
from presets.loader import load_catalogue
from tests import gen
from tests.golden.yaml_file import YamlFile

CATALOGUE = load_catalogue()
SETTINGS = gen.settings()

GPU_TYPES: Final = ("Standard_NC24ads_A100_v4", "Standard_ND96isr_H100_v5")
"""One GPU of 80 GB, the default of an installation, and eight of 80 GB."""
EMULATED_TYPES: Final = ("onebox.small", "onebox.large")

GIB: Final = 2**30
MISFIT: Final = "does not fit"


@pytest.mark.parametrize("preset_name", CATALOGUE.names())
def test_model(preset_name: str, snapshot: SnapshotAssertion) -> None:
    preset = CATALOGUE.presets[preset_name]
    found: dict[str, Any] = {"model": preset_name}
    for runtime in preset.runtimes:
        cases = {one.name: _case(preset, runtime, one) for one in _types_for(runtime)}
        found[runtime.name.value] = _shared_first(cases)
    assert found == snapshot(extension_class=YamlFile)


def _shared_first(cases: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the cases with what is the same wherever the model fits said once, before them."""
    fitting = [one for one in cases.values() if MISFIT not in one]
    first = fitting[0] if len(fitting) > 1 else {}
    shared = {key for key in first if all(one.get(key) == first[key] for one in fitting)}
    rest = {
        f"on {name}": {key: value for key, value in one.items() if key not in shared}
        for name, one in cases.items()
    }
    return {**{key: value for key, value in first.items() if key in shared}, **rest}


def _types_for(runtime: Runtime) -> list[InstanceType]:
    is_emulated = AcceleratorVendor.EMULATED in runtime.accelerators
    wanted = EMULATED_TYPES if is_emulated else GPU_TYPES
    return [CATALOGUE.instance_types[name.casefold()] for name in wanted]


def _case(preset: Preset, runtime: Runtime, instance_type: InstanceType) -> dict[str, Any]:
    sizing = size_serving(
        preset,
        runtime,
        instance_type.accelerator,
        ServingConfig(),
        max_nodes=SETTINGS.max_nodes_per_instance,
    )
    if isinstance(sizing, DoesNotFit):
        return {MISFIT: sizing.message, "remedy": sizing.remedy}
    return _summary(preset, runtime, _workspace(preset, runtime, instance_type), sizing)


def _workspace(preset: Preset, runtime: Runtime, instance_type: InstanceType) -> Workspace:
    spec: dict[str, Any] = {"name": preset.name}
    if preset.image_access is ImageAccess.PRIVATE:
        spec.update(accessMode="private", presetOptions={"image": "mine.test/model:1"})
    return gen.workspace(
        instance_type=instance_type.name,
        inference={"preset": spec},
        metadata={"annotations": {names.ANNOTATION_RUNTIME: runtime.name.value}},
    )


def _summary(
    preset: Preset, runtime: Runtime, workspace: Workspace, sizing: Sizing
) -> dict[str, Any]:
    rendered = render_workload(workspace, preset, "0123abcd", ["n"], SETTINGS, sizing)
    pod = rendered["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    found = {
        "images": ", ".join(images_of(workspace, preset, SETTINGS)),
        "environment": _in_line(
            {one["name"]: one.get("value", "…") for one in server.get("env", ())}
        ),
        "startup": f"within {_startup_seconds(server)} s",
        "nodes": sizing.nodes_per_instance,
        "layout": _layout(sizing, runtime),
        "memory of each GPU": _budget(sizing),
        "command": server["command"][-1],
        "requests": _in_line(server["resources"]["requests"]),
        "volumes": _in_line({one["name"]: _size(one) for one in pod["volumes"]}),
    }
    if "initContainers" in pod:
        found["before"] = ", ".join(one["name"] for one in pod["initContainers"])
    if sizing.warnings:
        found["warnings"] = list(sizing.warnings)
    return found


def _layout(sizing: Sizing, runtime: Runtime) -> str:
    gpus = f"{sizing.gpus_per_pod} GPU{'s' if sizing.gpus_per_pod > 1 else ''} a node"
    if runtime.name is RuntimeName.TRANSFORMERS:
        return gpus
    cuts = [f"{kind} {size}" for kind, size in sizing.parallelism.model_dump().items()]
    return f"{gpus}; {', '.join(cuts)}"


def _budget(sizing: Sizing) -> str:
    budget = sizing.budget
    if budget is None:
        return "not known"
    parts = {
        "weights": budget.weights,
        f"cache for {budget.context_tokens} tokens": budget.kv_cache,
        "overhead": budget.overhead,
        "free": budget.free,
    }
    spent = ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts.items())
    return f"{budget.usable / GIB:.1f} of {budget.total / GIB:.0f} GiB: {spent}"


def _size(volume: dict[str, Any]) -> str:
    return str(volume.get("emptyDir", {}).get("sizeLimit", "any size"))


def _startup_seconds(server: dict[str, Any]) -> int:
    probe = server["startupProbe"]
    return int(probe["periodSeconds"] * probe["failureThreshold"])


def _in_line(values: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
