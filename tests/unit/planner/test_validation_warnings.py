"""What is told of a spec that is accepted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.validation import warnings
from presets.loader import load_catalogue
from tests import gen
from tests.unit.planner.rule_tables.table import CATALOGUE, judge

BYO = "platform: {provisioner: byo}"
CLOUD = "platform: {provisioner: aks}"

WARNED = {
    "a deprecated model": (
        "phi-4",
        "inference: {preset: {name: phi-2}}",
        "inference.preset.name: phi-2 is deprecated: take phi-4 instead",
    ),
    "a model that is not pinned": (
        "phi-4",
        "inference: {preset: {name: org/model}}",
        "inference.preset.name: 'org/model' is taken as it is when it is first looked up",
    ),
    "a branch": (
        "phi-4",
        "inference: {preset: {name: org/model@main}}",
        "inference.preset.name: 'org/model@main' is taken as it is",
    ),
    "an image of a public model": (
        "phi-4",
        "inference: {preset: {presetOptions: {image: 'a:1'}}}",
        "inference.preset.presetOptions.image: is ignored unless accessMode is private",
    ),
    "pull secrets of a public model": (
        "phi-4",
        "inference: {preset: {presetOptions: {imagePullSecrets: [a]}}}",
        "inference.preset.presetOptions.imagePullSecrets: is ignored",
    ),
    "a private image without a version": (
        "phi-4",
        "inference: {preset: {accessMode: private, presetOptions: {image: a/b}}}",
        "inference.preset.presetOptions.image: 'a/b' names no version",
    ),
    "an adapter's newest image": (
        "phi-4",
        "inference: {adapters: [{source: {name: a, image: 'b:latest'}}]}",
        "inference.adapters.source.image: 'b:latest' names no version",
    ),
    "data of the newest image": (
        "tuning",
        "tuning: {input: {urls: null, image: data}}",
        "tuning.input.image: 'data' names no version",
    ),
    "adapters of pods of one's own": (
        "own-pods",
        "inference: {adapters: [{source: {name: a, image: 'b:1'}}]}",
        "inference.adapters: is ignored, because pods of your own",
    ),
    "settings of pods of one's own": (
        "own-pods",
        "inference: {config: settings}",
        "inference.config: is ignored, because pods of your own",
    ),
    "a runtime of pods of one's own": (
        "own-pods",
        "metadata: {annotations: {kaito.sh/runtime: vllm}}",
        "metadata.annotations[kaito.sh/runtime]: is ignored",
    ),
    "a part of nodes for pods of one's own": (
        "own-pods",
        f"{BYO}\nresource: {{partition: {{mode: accelerator, count: 1}}}}",
        "resource.partition: pods of your own ask for what they need",
    ),
    "settings of vllm for transformers": (
        "phi-4",
        "{inference: {config: c}, metadata: {annotations: {kaito.sh/runtime: transformers}}}",
        "inference.config: is not read by the runtime transformers",
    ),
    "a mode of vllm for transformers": (
        "phi-4",
        (
            "metadata: {annotations: "
            "{kaito.sh/runtime: transformers, kaito.sh/performance-mode: throughput}}"
        ),
        "metadata.annotations[kaito.sh/performance-mode]: is ignored by the runtime transformers",
    ),
    "a type that the catalogue lacks": (
        "phi-4",
        f"{CLOUD}\nresource: {{instanceType: Standard_NC999_v9}}",
        "resource.instanceType: the catalogue does not know 'Standard_NC999_v9'",
    ),
    "a cloud's type on one machine": (
        "phi-4",
        "resource: {instanceType: Standard_NC999_v9}",
        "resource.instanceType: this installation has no machines of type 'Standard_NC999_v9'",
    ),
    "fallbacks of existing nodes": (
        "phi-4",
        f"{BYO}\nresource: {{fallbackInstanceTypes: [Standard_NC48ads_A100_v4]}}",
        "resource.fallbackInstanceTypes: no nodes are made by this installation",
    ),
    "spot on one's own nodes": (
        "phi-4",
        f"{BYO}\nresource: {{capacityType: spot}}",
        "resource.capacityType: spot is ignored",
    ),
    "spot on one machine": (
        "serving",
        "resource: {capacityType: spot-with-fallback}",
        "resource.capacityType: spot-with-fallback is ignored",
    ),
    "sizes that are not checked": (
        "phi-4",
        (
            "{inference: {preset: {name: huge-1t}}, "
            "metadata: {annotations: {kaito.sh/bypass-resource-checks: ''}}}"
        ),
        "metadata.annotations[kaito.sh/bypass-resource-checks]: it is tried although huge-1t",
    ),
    "sizes of a tuning that are not checked": (
        "tuning",
        (
            "{resource: {instanceType: Standard_NC4as_T4_v3}, "
            "metadata: {annotations: {kaito.sh/bypass-resource-checks: ''}}}"
        ),
        "metadata.annotations[kaito.sh/bypass-resource-checks]: it is tried although tuning phi-4",
    ),
    "an operating system on one machine": (
        "serving",
        "metadata: {annotations: {kaito.sh/node-image-family: ubuntu}}",
        "metadata.annotations[kaito.sh/node-image-family]: is ignored",
    ),
    "an annotation that is misspelt": (
        "serving",
        "metadata: {annotations: {kaito.sh/enableLB: 'true'}}",
        (
            "metadata.annotations: 'kaito.sh/enableLB' is not read by this version; "
            "did you mean kaito.sh/enablelb?"
        ),
    ),
    "an annotation of upstream's": (
        "serving",
        "metadata: {annotations: {kaito.sh/stream: 'yes'}}",
        "metadata.annotations: 'kaito.sh/stream' is not read by this version",
    ),
}

SILENT = {
    "a plain one": ("serving", "{}"),
    "a model of the catalogue by its id": ("phi-4", "inference: {preset: {name: microsoft/phi-4}}"),
    "a commit": ("phi-4", f"inference: {{preset: {{name: org/model@{'0a' * 20}}}}}"),
    "a private image with a version": (
        "phi-4",
        "inference: {preset: {accessMode: private, presetOptions: {image: 'a/b:1'}}}",
    ),
    "spot in a cloud": ("phi-4", f"{CLOUD}\nresource: {{capacityType: spot}}"),
    "on demand anywhere": ("phi-4", "resource: {capacityType: on-demand}"),
    "any type of existing nodes": ("phi-4", f"{BYO}\nresource: {{instanceType: mine}}"),
    "a check that holds anyway": (
        "phi-4",
        "metadata: {annotations: {kaito.sh/bypass-resource-checks: ''}}",
    ),
    "an operating system in a cloud": (
        "phi-4",
        f"{CLOUD}\nmetadata: {{annotations: {{kaito.sh/node-image-family: ubuntu}}}}",
    ),
    "no benchmark": ("serving", "metadata: {annotations: {kaito.sh/disable-benchmark: 'true'}}"),
    "an annotation of somebody else's": ("serving", "metadata: {annotations: {example.com/a: b}}"),
    "in place, and nothing brought back": (
        "serving",
        "rollout: {strategy: InPlace, autoRollback: false}",
    ),
    "every word of a rollout": (
        "serving",
        "rollout: {strategy: Surge, autoRollback: true, requireApproval: true}",
    ),
    "own pods with a version": ("own-pods", "{}"),
}


def told(base: str, fragment: str) -> list[str]:
    case = judge(fragment, base=base)
    assert case.violations == []
    return warnings(case.workspace, case.preset, case.settings, CATALOGUE)


@pytest.mark.parametrize(("base", "fragment", "expected"), WARNED.values(), ids=WARNED)
def test_it_is_accepted_with_this_warning_alone(base: str, fragment: str, expected: str) -> None:
    (warning,) = told(base, fragment)
    assert warning.startswith(expected)


@pytest.mark.parametrize(("base", "fragment"), SILENT.values(), ids=SILENT)
def test_it_is_accepted_in_silence(base: str, fragment: str) -> None:
    assert told(base, fragment) == []


FALLBACKS = {
    "that do": ("[Standard_NC48ads_A100_v4]", []),
    "that the catalogue lacks": (
        "[Standard_NC999_v9]",
        ["the catalogue does not know 'Standard_NC999_v9'"],
    ),
    "without an image": (
        "[trn1.2xlarge]",
        ["'trn1.2xlarge' will not be tried: trn1.2xlarge has neuron accelerators"],
    ),
    "that are too small": (
        "[Standard_NC48ads_A100_v4, Standard_NC4as_T4_v3]",
        ["'Standard_NC4as_T4_v3' will not be tried: phi-4 (28.0 GiB of weights) needs 3 nodes"],
    ),
}


@pytest.mark.parametrize(("listed", "expected"), FALLBACKS.values(), ids=FALLBACKS)
def test_fallbacks_are_judged_before_they_are_needed(listed: str, expected: list[str]) -> None:
    platform = "platform: {provisioner: aks, max_nodes_per_instance: 1}"
    found = told("phi-4", f"{platform}\nresource: {{fallbackInstanceTypes: {listed}}}")
    prefixes = [f"resource.fallbackInstanceTypes: {one}" for one in expected]
    assert len(found) == len(prefixes)
    assert all(map(str.startswith, found, prefixes))


def test_one_machine_has_no_machines_of_a_cloud() -> None:
    workspace = gen.workspace(preset="phi-4", instance_type="Standard_NC24ads_A100_v4")
    catalogue = load_catalogue()
    (warning,) = warnings(workspace, catalogue.get("phi-4"), gen.settings(), catalogue)
    assert warning.startswith("resource.instanceType: this installation has no machines of type")


def test_warnings_keep_their_order() -> None:
    fragment = (
        "{resource: {capacityType: spot}, metadata: {annotations: {kaito.sh/x: ''}}, "
        "inference: {preset: {presetOptions: {image: 'a:1'}}}}"
    )
    fields = [one.partition(":")[0] for one in told("serving", fragment)]
    assert fields == [
        "inference.preset.presetOptions.image",
        "resource.capacityType",
        "metadata.annotations",
    ]


def test_a_surge_where_no_nodes_are_made_needs_room_that_is_there() -> None:
    case = judge("rollout: {strategy: Surge}", base="serving")
    byo = replace(case.settings, provisioner="byo")
    (warning,) = warnings(case.workspace, case.preset, byo, CATALOGUE)
    assert warning.startswith("rollout.strategy: Surge takes room for a second set of pods")


def test_settings_count_for_what_is_told_of_sizes_that_are_not_checked() -> None:
    case = judge(
        "{metadata: {annotations: {kaito.sh/bypass-resource-checks: ''}}, inference: {config: c}}",
        base="phi-4",
    )
    text = "vllm: {gpu-memory-utilization: 0.02}"
    known = (case.workspace, case.preset, case.settings, CATALOGUE)
    assert warnings(*known) == []
    (warning,) = warnings(*known, config_text=text)
    assert "it is tried although" in warning
