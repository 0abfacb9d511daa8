"""Which specs are refused, with which words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import names
from api.errors import (
    FeatureNotAvailable,
    InstanceTypeTooSmall,
    InvalidWorkspace,
    UnknownPreset,
)
from api.preset import Catalogue
from api.workspace import Workspace
from planner.rules.nodes import MAX_NODE_COUNT
from planner.validation import Violation, validate
from planner.world import PlatformSettings
from tests import gen

CATALOGUE = gen.catalogue()
PROVISIONING = gen.settings()
EXISTING_NODES_ONLY = gen.settings(provisioner="byo")


def judge(
    changes: Mapping[str, Any],
    settings: PlatformSettings = PROVISIONING,
    catalogue: Catalogue | None = CATALOGUE,
) -> list[Violation]:
    workspace = gen.workspace(**changes)
    preset = CATALOGUE.get(workspace.preset_name)
    return validate(workspace, preset, settings, catalogue)


def rules(violations: list[Violation]) -> list[str]:
    return [one.rule for one in violations]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "a"},
        {"name": "x" * names.MAX_WORKSPACE_NAME_CHARACTERS},
        {"preset": gen.PRESET.upper()},
        {"resource": {"count": 3}},
        {"resource": {"count": MAX_NODE_COUNT}},
        {"resource": {"labelSelector": {"matchLabels": None}}},
        {"resource": {"labelSelector": {"matchLabels": {"example.com/pool": ""}}}},
        {
            "resource": {
                "labelSelector": {
                    "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]
                }
            }
        },
        {"resource": {"preferredNodes": ["node-1", "node-2.example.com"]}},
        {"instance_type": "onebox.large"},
        {"inference": {"config": "my-config"}},
        {"metadata": {"annotations": {names.ANNOTATION_RUNTIME: "vllm"}}},
        {"metadata": {"annotations": {names.ANNOTATION_ENABLE_LOAD_BALANCER: "False"}}},
        {"metadata": {"annotations": {"example.com/note": "anything"}}},
    ],
)
def test_what_can_be_carried_out_is_accepted(changes: dict[str, Any]) -> None:
    assert judge(changes) == []


@pytest.mark.parametrize(
    ("changes", "rule", "field", "error"),
    [
        # metadata
        ({"name": "1chat"}, "name-is-service-name", "metadata.name", InvalidWorkspace),
        ({"name": "a.b"}, "name-is-service-name", "metadata.name", InvalidWorkspace),
        ({"name": "a-"}, "name-is-service-name", "metadata.name", InvalidWorkspace),
        ({"name": "Chat"}, "name-is-service-name", "metadata.name", InvalidWorkspace),
        ({"name": "chat\n"}, "name-is-service-name", "metadata.name", InvalidWorkspace),
        (
            {"name": "x" * (names.MAX_WORKSPACE_NAME_CHARACTERS + 1)},
            "name-is-short",
            "metadata.name",
            InvalidWorkspace,
        ),
        (
            {"metadata": {"annotations": {names.ANNOTATION_RUNTIME: "transformers"}}},
            "runtime-not-available",
            "metadata.annotations[kaito.sh/runtime]",
            FeatureNotAvailable,
        ),
        (
            {"metadata": {"annotations": {names.ANNOTATION_RUNTIME: "VLLM"}}},
            "runtime-is-known",
            "metadata.annotations[kaito.sh/runtime]",
            InvalidWorkspace,
        ),
        (
            {"metadata": {"annotations": {names.ANNOTATION_ENABLE_LOAD_BALANCER: "True"}}},
            "load-balancer-not-available",
            "metadata.annotations[kaito.sh/enablelb]",
            FeatureNotAvailable,
        ),
        # what to do
        ({"inference": None}, "one-feature", "inference", InvalidWorkspace),
        (
            {"tuning": {"input": {"urls": ["u"]}, "output": {"image": "i"}}},
            "one-feature",
            "inference",
            InvalidWorkspace,
        ),
        (
            {"inference": None, "tuning": {"input": {}, "output": {}}},
            "tuning-not-available",
            "tuning",
            FeatureNotAvailable,
        ),
        ({"inference": {"preset": None}}, "preset-or-template", "inference", InvalidWorkspace),
        (
            {"inference": {"template": {"spec": {}}}},
            "preset-or-template",
            "inference",
            InvalidWorkspace,
        ),
        (
            {"inference": {"preset": None, "template": {"spec": {}}}},
            "template-not-available",
            "inference.template",
            FeatureNotAvailable,
        ),
        (
            {"inference": {"adapters": [{"source": {"name": "a", "image": "b"}}]}},
            "adapters-not-available",
            "inference.adapters",
            FeatureNotAvailable,
        ),
        # Without a source: upstream panics here.
        (
            {"inference": {"adapters": [{}]}},
            "adapters-not-available",
            "inference.adapters",
            FeatureNotAvailable,
        ),
        (
            {"inference": {"config": "My Config"}},
            "config-is-a-name",
            "inference.config",
            InvalidWorkspace,
        ),
        ({"preset": "phi-5"}, "preset-is-known", "inference.preset.name", UnknownPreset),
        ({"preset": ""}, "preset-is-known", "inference.preset.name", UnknownPreset),
        (
            {"inference": {"preset": {"accessMode": "private", "presetOptions": {"image": "a/b"}}}},
            "private-preset-not-available",
            "inference.preset.accessMode",
            FeatureNotAvailable,
        ),
        (
            {"inference": {"preset": {"presetOptions": {"image": "a/b"}}}},
            "preset-options-not-available",
            "inference.preset.presetOptions",
            FeatureNotAvailable,
        ),
        (
            {"inference": {"preset": {"presetOptions": {"imagePullSecrets": ["s"]}}}},
            "preset-options-not-available",
            "inference.preset.presetOptions",
            FeatureNotAvailable,
        ),
        # where to do it
        ({"resource": {"count": 0}}, "count-is-sensible", "resource.count", InvalidWorkspace),
        ({"resource": {"count": -3}}, "count-is-sensible", "resource.count", InvalidWorkspace),
        (
            {"resource": {"count": MAX_NODE_COUNT + 1}},
            "count-is-sensible",
            "resource.count",
            InvalidWorkspace,
        ),
        (
            {"resource": {"labelSelector": None}},
            "selector-is-given",
            "resource.labelSelector",
            InvalidWorkspace,
        ),
        ({"resource": None}, "selector-is-given", "resource.labelSelector", InvalidWorkspace),
        (
            {
                "resource": {
                    "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}
                }
            },
            "selector-is-labels",
            "resource.labelSelector",
            InvalidWorkspace,
        ),
        (
            {
                "resource": {
                    "labelSelector": {
                        "matchExpressions": [{"key": "apps", "operator": "In", "values": ["x"]}]
                    }
                }
            },
            "selector-is-labels",
            "resource.labelSelector",
            InvalidWorkspace,
        ),
        (
            {
                "resource": {
                    "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}
                }
            },
            "selector-operator",
            "resource.labelSelector.matchExpressions",
            InvalidWorkspace,
        ),
        (
            {"resource": {"labelSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}},
            "selector-values",
            "resource.labelSelector.matchExpressions",
            InvalidWorkspace,
        ),
        (
            {"resource": {"labelSelector": {"matchLabels": {"a b": "c"}}}},
            "selector-label",
            "resource.labelSelector",
            InvalidWorkspace,
        ),
        (
            {"resource": {"labelSelector": {"matchLabels": {"a": "x" * 64}}}},
            "selector-label",
            "resource.labelSelector",
            InvalidWorkspace,
        ),
        (
            {"resource": {"labelSelector": {"matchLabels": {names.LABEL_WORKSPACE: "other"}}}},
            "selector-reserved",
            "resource.labelSelector",
            InvalidWorkspace,
        ),
        (
            {"resource": {"preferredNodes": ["Node 1"]}},
            "preferred-node-is-a-name",
            "resource.preferredNodes",
            InvalidWorkspace,
        ),
        (
            {"instance_type": ""},
            "instance-type-is-a-name",
            "resource.instanceType",
            InvalidWorkspace,
        ),
        (
            {"instance_type": "onebox.smaller"},
            "instance-type-is-known",
            "resource.instanceType",
            InvalidWorkspace,
        ),
        (
            {"instance_type": "Onebox.Small"},
            "instance-type-is-known",
            "resource.instanceType",
            InvalidWorkspace,
        ),
        (
            {"instance_type": "Standard_NC24ads_A100_v4"},
            "accelerator-is-served",
            "resource.instanceType",
            FeatureNotAvailable,
        ),
    ],
)
def test_what_cannot_is_refused_with_field_and_remedy(
    changes: dict[str, Any], rule: str, field: str, error: type[InvalidWorkspace]
) -> None:
    found = {one.rule: one for one in judge(changes)}
    assert rule in found
    violation = found[rule]
    assert violation.field == field
    assert violation.error is error
    assert violation.message
    assert violation.remedy


def test_a_misspelt_model_is_answered_with_the_right_name() -> None:
    (violation,) = judge({"preset": "smollm2-135m-instuct"})
    assert violation.remedy == "did you mean smollm2-135m-instruct?"


def test_a_misspelt_instance_type_is_answered_with_the_right_one() -> None:
    (violation,) = judge({"instance_type": "ONEBOX.LARGE"})
    assert violation.remedy.startswith("did you mean onebox.large")


def test_accelerators_without_an_image_are_answered_with_types_that_have_one() -> None:
    (violation,) = judge({"instance_type": "Standard_NC24ads_A100_v4"})
    assert violation.remedy == "choose one of onebox.large, onebox.small"


def test_a_model_that_does_not_fit_is_refused_with_the_sum() -> None:
    large = gen.preset(model={"weightsBytes": "20Gi"})
    workspace = gen.workspace(instance_type="onebox.large")
    (violation,) = validate(workspace, large, PROVISIONING, gen.catalogue(large))
    assert violation.rule == "model-fits"
    assert violation.error is InstanceTypeTooSmall
    assert "20.0 GiB" in violation.message
    assert "14.4 GiB" in violation.message


def test_a_model_may_fill_the_usable_memory_and_not_a_byte_more() -> None:
    usable_bytes = int(8 * 2**30 * 0.9)
    for weights_bytes, expected in ((usable_bytes, []), (usable_bytes + 1, ["model-fits"])):
        preset = gen.preset(model={"weightsBytes": weights_bytes})
        assert rules(validate(gen.workspace(), preset, PROVISIONING, CATALOGUE)) == expected


def test_upstreams_annotation_turns_the_memory_check_off() -> None:
    large = gen.preset(model={"weightsBytes": "20Gi"})
    workspace = gen.workspace(
        metadata={"annotations": {names.ANNOTATION_BYPASS_RESOURCE_CHECKS: ""}}
    )
    assert validate(workspace, large, PROVISIONING, CATALOGUE) == []


@pytest.mark.parametrize(
    "resource",
    [
        {"instanceType": "a-type-of-ones-own"},
        {"labelSelector": {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}},
    ],
)
def test_existing_nodes_may_be_of_any_type_and_selected_in_any_way(
    resource: dict[str, Any],
) -> None:
    assert judge({"resource": resource}, EXISTING_NODES_ONLY) == []
    assert judge({"resource": resource}) != []


def test_without_a_catalogue_no_instance_type_is_called_unknown() -> None:
    assert judge({"instance_type": "whatever"}, catalogue=None) == []


def test_several_faults_are_all_told() -> None:
    found = rules(
        judge({"name": "1", "resource": {"count": 0, "labelSelector": None}, "preset": "x"})
    )
    assert found == [
        "name-is-service-name",
        "preset-is-known",
        "count-is-sensible",
        "selector-is-given",
    ]


def test_an_absurdly_long_value_is_cut_in_the_message() -> None:
    (violation,) = judge({"preset": "x" * 100_000})
    assert len(violation.message) < 200


_WORDS = st.text(max_size=70) | st.sampled_from(["", "In", "Exists", "a", "kaito.sh/workspace"])
_SPECS = st.fixed_dictionaries(
    {},
    optional={
        "resource": st.fixed_dictionaries(
            {},
            optional={
                "count": st.integers(),
                "instanceType": _WORDS,
                "preferredNodes": st.lists(_WORDS, max_size=2),
                "labelSelector": st.fixed_dictionaries(
                    {},
                    optional={
                        "matchLabels": st.dictionaries(_WORDS, _WORDS, max_size=2),
                        "matchExpressions": st.lists(
                            st.fixed_dictionaries(
                                {"key": _WORDS, "operator": _WORDS},
                                optional={"values": st.lists(_WORDS, max_size=2)},
                            ),
                            max_size=2,
                        ),
                    },
                ),
            },
        ),
        "inference": st.fixed_dictionaries(
            {},
            optional={
                "preset": st.fixed_dictionaries(
                    {"name": _WORDS | st.just(gen.PRESET)},
                    optional={"presetOptions": st.just({}), "accessMode": st.just("private")},
                ),
                "template": st.dictionaries(_WORDS, st.none() | st.integers(), max_size=1),
                "config": _WORDS,
                "adapters": st.lists(st.just({}), max_size=2),
            },
        ),
        "tuning": st.fixed_dictionaries({"input": st.just({}), "output": st.just({})}),
    },
)


@given(
    spec=_SPECS,
    name=_WORDS.filter(bool),
    annotations=st.dictionaries(st.just(names.ANNOTATION_RUNTIME) | _WORDS, _WORDS, max_size=2),
    provisioner=st.sampled_from(["onebox", "byo"]),
)
def test_any_spec_that_can_be_read_is_judged(
    spec: dict[str, Any], name: str, annotations: dict[str, str], provisioner: str
) -> None:
    workspace = Workspace.from_object(
        {"metadata": {"name": name, "annotations": annotations}, **spec}
    )
    settings = gen.settings(provisioner=provisioner)
    preset = CATALOGUE.get(workspace.preset_name)
    for violation in validate(workspace, preset, settings, CATALOGUE):
        assert violation.rule
        assert violation.field
        assert violation.message
        assert violation.remedy
        assert issubclass(violation.error, InvalidWorkspace)
