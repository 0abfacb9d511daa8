"""Which edits are refused: those that bring a fault, and none for a fault that was there before."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from api.workspace import Workspace
from planner.validation import Violation, validate
from planner.world import PlatformSettings
from tests import gen
from tests.unit.planner.rule_tables.table import BASES, CATALOGUE

PODS = "{spec: {containers: [{name: a, image: 'b:1'}]}}"


def read(base: str, *fragments: str) -> Workspace:
    manifest: dict[str, Any] = yaml.safe_load(BASES[base])
    for fragment in fragments:
        manifest = gen.merged(manifest, yaml.safe_load(fragment))
    return Workspace.from_object(manifest)


def judge(
    old: Workspace,
    new: Workspace,
    settings: PlatformSettings | None = None,
    **texts: str | None,
) -> list[str]:
    preset = CATALOGUE.get(new.preset_name)
    found: list[Violation] = validate(
        new, preset, settings or gen.settings(), CATALOGUE, old=old, **texts
    )
    return [one.rule for one in found]


ALLOWED = {
    "another model": ("phi-4", "inference: {preset: {name: phi-2}}"),
    "a model of Hugging Face": ("phi-4", "inference: {preset: {name: org/model}}"),
    "another instance type": ("phi-4", "resource: {instanceType: Standard_NC48ads_A100_v4}"),
    "no instance type": ("phi-4", "resource: {instanceType: null}"),
    "more nodes": ("phi-4", "resource: {count: 3}"),
    "another selector": ("phi-4", "resource: {labelSelector: {matchLabels: {apps: other}}}"),
    "other fallbacks": ("phi-4", "resource: {fallbackInstanceTypes: [Standard_NC48ads_A100_v4]}"),
    "spot": ("phi-4", "resource: {capacityType: spot}"),
    "adapters": ("phi-4", "inference: {adapters: [{source: {name: a, image: 'b:1'}}]}"),
    "settings": ("phi-4", "inference: {config: settings}"),
    "a private image": (
        "phi-4",
        "inference: {preset: {accessMode: private, presetOptions: {image: 'a:1'}}}",
    ),
    "another runtime": ("phi-4", "metadata: {annotations: {kaito.sh/runtime: transformers}}"),
    "a template instead of a model": (
        "phi-4",
        f"inference: {{preset: null, template: {PODS}}}",
    ),
    "a model instead of a template": (
        "own-pods",
        "inference: {template: null, preset: {name: phi-4}}",
    ),
    "another template": (
        "own-pods",
        "inference: {template: {spec: {containers: [{name: other, image: 'c:2'}]}}}",
    ),
    "another rollout": ("phi-4", "rollout: {strategy: Surge}"),
    "another method": ("tuning", "tuning: {method: lora}"),
    "another model to tune": ("tuning", "tuning: {preset: {name: microsoft/phi-4}}"),
    "other data": ("tuning", "tuning: {input: {urls: ['https://example.com/other']}}"),
    "another place for the result": ("tuning", "tuning: {output: {image: 'b:2'}}"),
}


@pytest.mark.parametrize(("base", "edit"), ALLOWED.values(), ids=ALLOWED.keys())
def test_an_edit_that_can_be_carried_out_is_allowed(base: str, edit: str) -> None:
    assert judge(read(base), read(base, edit)) == []


def test_a_workspace_that_serves_does_not_become_one_that_tunes() -> None:
    (found,) = validate(
        read("tuning"), CATALOGUE.get("phi-4"), gen.settings(), CATALOGUE, old=read("phi-4")
    )
    assert (found.rule, found.field) == ("feature-stays", "tuning")
    assert "another Workspace" in found.remedy


def test_a_workspace_that_tunes_does_not_become_one_that_serves() -> None:
    (found,) = validate(
        read("phi-4"), CATALOGUE.get("phi-4"), gen.settings(), CATALOGUE, old=read("tuning")
    )
    assert (found.rule, found.field) == ("feature-stays", "inference")


@pytest.mark.parametrize("old_inference", [None, {"preset": {"name": "phi-4"}}])
def test_a_workspace_that_did_both_or_neither_may_be_mended(old_inference: Any) -> None:
    tuning = yaml.safe_load(BASES["tuning"])["tuning"] if old_inference else None
    old = gen.workspace(inference=old_inference, tuning=tuning)
    assert judge(old, read("phi-4")) == []
    assert judge(old, read("tuning")) == []


NEW_FAULTS = {
    "a fault where there was none": ("phi-4", "{}", "resource: {count: 0}", "count-is-sensible"),
    "another fault of the same field": (
        "phi-4",
        "resource: {count: 0}",
        "resource: {count: -1}",
        "count-is-sensible",
    ),
    "an unknown model": ("phi-4", "{}", "inference: {preset: {name: phi-5}}", "preset-is-known"),
    "a type that is too small": (
        "phi-4",
        "{}",
        "resource: {instanceType: Standard_NG32ads_V620_v1}",
        "accelerator-is-served",
    ),
    "an eleventh adapter": (
        "phi-4",
        "{}",
        "inference: {adapters: ["
        + ", ".join(f"{{source: {{name: a{index}, image: 'b:1'}}}}" for index in range(11))
        + "]}",
        "adapters-are-few",
    ),
    # Upstream looks at addresses on creation only.
    "an address inside the cluster's network": (
        "tuning",
        "{}",
        "tuning: {input: {urls: ['http://169.254.169.254/latest']}}",
        "input-url-is-public",
    ),
    # Upstream lets it through, and its controller panics.
    "no data": ("tuning", "{}", "tuning: {input: {urls: null}}", "input-is-one"),
    "an unknown performance mode": (
        "phi-4",
        "{}",
        "metadata: {annotations: {kaito.sh/performance-mode: fast}}",
        "performance-mode-is-known",
    ),
}


@pytest.mark.parametrize(("base", "before", "edit", "rule"), NEW_FAULTS.values(), ids=NEW_FAULTS)
def test_an_edit_that_brings_a_fault_is_refused(
    base: str, before: str, edit: str, rule: str
) -> None:
    assert judge(read(base, before), read(base, before, edit)) == [rule]


OLD_FAULTS = {
    "an adapter without a source": ("phi-4", "inference: {adapters: [{}]}"),
    "no selector": ("phi-4", "resource: {labelSelector: null}"),
    "no resource": ("phi-4", "resource: null"),
    "an unknown model": ("phi-4", "inference: {preset: {name: gone-from-the-catalogue}}"),
    "a model that does not fit": ("phi-4", "inference: {preset: {name: huge-1t}}"),
    "nothing to do": ("phi-4", "inference: null"),
    "a private address": ("tuning", "tuning: {input: {urls: ['http://10.0.0.1/']}}"),
    "too many nodes": ("tuning", "resource: {count: 4}"),
}


@pytest.mark.parametrize(("base", "fault"), OLD_FAULTS.values(), ids=OLD_FAULTS)
@pytest.mark.parametrize(
    "edit",
    [
        "metadata: {labels: {team: a}}",
        "metadata: {finalizers: [workspace.finalizer.kaito.sh]}",
        "status: {phase: Failed}",
        "rollout: {strategy: Surge}",
        "{}",
    ],
)
def test_a_fault_that_was_there_stops_no_other_edit(base: str, fault: str, edit: str) -> None:
    old, new = read(base, fault), read(base, fault, edit)
    assert judge(old, old) == []
    assert judge(old, new) == []


@pytest.mark.parametrize(("base", "fault"), OLD_FAULTS.values(), ids=OLD_FAULTS)
def test_a_fault_that_was_there_may_be_mended(base: str, fault: str) -> None:
    assert judge(read(base, fault), read(base)) == []


def test_of_two_faults_only_the_one_that_the_edit_brings_is_told() -> None:
    old = read("phi-4", "resource: {count: 0}")
    new = read("phi-4", "resource: {count: 0, preferredNodes: [My Node]}")
    assert judge(old, new) == ["preferred-node-is-a-name"]


def test_settings_that_went_wrong_by_themselves_stop_no_edit() -> None:
    old = read("phi-4", "inference: {config: settings}")
    new = read("phi-4", "{inference: {config: settings}, metadata: {labels: {a: b}}}")
    assert judge(old, new, config_text="vllm: {max-model-len: 0}") == []


def test_an_edit_that_names_other_settings_answers_for_them() -> None:
    old = read("phi-4", "inference: {config: settings}")
    new = read("phi-4", "inference: {config: others}")
    assert judge(old, new, config_text="vllm: {max-model-len: 0}") == ["serving-config-is-sound"]


def test_an_edit_that_names_other_settings_of_a_training_answers_for_them() -> None:
    old, new = read("tuning"), read("tuning", "tuning: {config: settings}")
    text = "training_config: {LoraConfig: {r: 8}}"
    assert judge(old, new, training_text=text) == ["training-config-is-sound"]


def test_another_model_is_judged_by_its_own_needs() -> None:
    old, new = read("phi-4"), read("phi-4", "inference: {preset: {name: huge-1t}}")
    assert judge(old, new) == ["model-fits"]


def test_on_existing_nodes_an_instance_type_may_be_set_changed_and_emptied() -> None:
    byo = gen.settings(provisioner="byo")
    plain = read("phi-4", "resource: {instanceType: null}")
    assert judge(plain, read("phi-4"), byo) == []
    assert judge(read("phi-4"), plain, byo) == []
