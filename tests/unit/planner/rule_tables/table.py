"""How a table of cases is written, and what each case is put into.

    Table(
        refused={"begins with a digit": "metadata: {name: 1chat}"},
        accepted={"one letter": "metadata: {name: a}"},
    )

A case is a piece of a manifest, merged into the table's base by key (null takes a key away). Some
keys are not the manifest's: `platform` changes the settings, `config` and `training` are the
contents of the ConfigMaps. A refused case breaks the table's rule and no other, at the rule's own
field, unless it says otherwise (`Refused`). An accepted one breaks no rule at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from api.preset import Catalogue, Preset
from api.workspace import Workspace
from planner.validation import Violation, validate
from planner.world import PlatformSettings
from tests import gen

A100 = "Standard_NC24ads_A100_v4"

SERVING = """
metadata: {name: chat, namespace: default}
resource: {instanceType: onebox.small, labelSelector: {matchLabels: {apps: chat}}}
inference: {preset: {name: smollm2-135m-instruct}}
"""
PHI_4 = f"""
metadata: {{name: phi, namespace: default}}
resource: {{instanceType: {A100}, labelSelector: {{matchLabels: {{apps: phi}}}}}}
inference: {{preset: {{name: phi-4}}}}
"""
OWN_PODS = f"""
metadata: {{name: own, namespace: default}}
resource: {{instanceType: {A100}, labelSelector: {{matchLabels: {{apps: own}}}}}}
inference:
  template:
    spec:
      containers: [{{name: server, image: example.com/server:1}}]
"""
TUNING = f"""
metadata: {{name: tune, namespace: default}}
resource: {{instanceType: {A100}, labelSelector: {{matchLabels: {{apps: tune}}}}}}
tuning:
  preset: {{name: phi-4}}
  method: qlora
  input: {{urls: ["https://example.com/data.parquet"]}}
  output: {{image: "registry.example/adapter:1", imagePushSecret: push}}
"""
BASES = {"serving": SERVING, "phi-4": PHI_4, "own-pods": OWN_PODS, "tuning": TUNING}


@dataclass(frozen=True)
class Refused:
    """A case that does not break its rule, or not it alone, in the ordinary way."""

    fragment: str
    field: str = ""
    """Where it is told; empty for the rule's own field."""
    also: str = ""
    """Other rules that it breaks, by blanks."""


@dataclass(frozen=True)
class Table:
    """Cases of one rule."""

    refused: Mapping[str, str | Refused]
    accepted: Mapping[str, str]
    base: str = "serving"
    extra: str = ""
    """Piece of a manifest that is merged into the base first."""


@dataclass(frozen=True)
class Judged:
    """What a case comes to."""

    workspace: Workspace
    preset: Preset | None
    settings: PlatformSettings
    violations: list[Violation] = field(default_factory=list)


def judge(*fragments: str, base: str = "serving", catalogue: Catalogue | None = None) -> Judged:
    """Return what is said of the base with the fragments merged into it."""
    manifest: dict[str, Any] = yaml.safe_load(BASES[base])
    for fragment in fragments:
        manifest = gen.merged(manifest, yaml.safe_load(fragment) or {})
    settings = gen.settings(**manifest.pop("platform", {}))
    texts = {
        "config_text": manifest.pop("config", None),
        "training_text": manifest.pop("training", None),
    }
    workspace = Workspace.from_object(manifest)
    known = catalogue or CATALOGUE
    preset = known.get(workspace.preset_name)
    violations = validate(workspace, preset, settings, known, **texts)
    return Judged(workspace, preset, settings, violations)


def _preset(name: str, *, vendor: str = "nvidia", **changes: Any) -> Preset:
    runtimes = [
        {"name": "vllm", "accelerators": [vendor]},
        {"name": "transformers", "accelerators": [vendor]},
    ]
    return gen.preset(**{"name": name, "runtimes": runtimes, **changes})


_HUB_WEIGHTS = {"kind": "huggingface", "reference": None}
_PHI_4 = {"weightsBytes": "28Gi", "hiddenSize": 5120, "maxModelLength": 16384}
_PHI_4_ATTENTION = {"layers": 40, "heads": 40, "keyValueHeads": 10, "headDimension": 128}

CATALOGUE = gen.catalogue(
    gen.preset(),
    _preset(
        "phi-4",
        aliases=["microsoft/phi-4"],
        model={**_PHI_4, "attention": _PHI_4_ATTENTION},
        weights=_HUB_WEIGHTS,
        tuning={"gpuMemory": "70Gi", "gpuMemoryEach": "70Gi", "disk": "100Gi"},
    ),
    _preset(
        "llama-2-7b",
        imageAccess="private",
        weights={"kind": "image", "reference": None},
        runtimes=[{"name": "transformers"}],
        model={"weightsBytes": "13Gi"},
    ),
    _preset("llama-3.1-8b-instruct", model={"gated": True}, weights=_HUB_WEIGHTS),
    _preset("falcon-7b", runtimes=[{"name": "vllm", "adapters": False}]),
    _preset("phi-2", deprecated="take phi-4 instead"),
    _preset("huge-1t", model={**_PHI_4, "weightsBytes": "2Ti", "attention": _PHI_4_ATTENTION}),
    instance_types=(
        gen.instance_type("onebox.small"),
        gen.instance_type("onebox.large", gpu_count=2),
        gen.instance_type(A100, vendor="nvidia", memory="80Gi"),
        gen.instance_type("Standard_NC48ads_A100_v4", vendor="nvidia", gpu_count=2, memory="80Gi"),
        gen.instance_type("Standard_NC4as_T4_v3", vendor="nvidia", memory="16Gi"),
        gen.instance_type("Standard_NC64as_T4_v3", vendor="nvidia", gpu_count=4, memory="16Gi"),
        gen.instance_type("Standard_NG32ads_V620_v1", vendor="amd", memory="32Gi"),
        gen.instance_type("trn1.2xlarge", vendor="neuron", memory="32Gi"),
    ),
)
