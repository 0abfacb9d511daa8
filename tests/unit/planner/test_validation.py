"""Which specs are refused, with which words. The cases are in `rule_tables`, a table a rule."""

from __future__ import annotations

import time

import pytest

from api.errors import InstanceTypeTooSmall
from planner.validation import RULES, validate
from tests import gen
from tests.unit.planner.rule_tables import adapters, feature, metadata, nodes, serving, tuning
from tests.unit.planner.rule_tables.table import CATALOGUE, Refused, Table, judge

TABLES: dict[str, Table] = {
    **metadata.TABLES,
    **feature.TABLES,
    **adapters.TABLES,
    **serving.TABLES,
    **nodes.TABLES,
    **tuning.TABLES,
}

REFUSED = [
    pytest.param(rule, table, case, id=f"{rule}: {what}")
    for rule, table in TABLES.items()
    for what, case in table.refused.items()
]
ACCEPTED = [
    pytest.param(table, case, id=f"{rule}: {what}")
    for rule, table in TABLES.items()
    for what, case in table.accepted.items()
]


@pytest.mark.parametrize(("rule", "table", "case"), REFUSED)
def test_it_is_refused_by_this_rule_and_no_other(
    rule: str, table: Table, case: str | Refused
) -> None:
    expected = case if isinstance(case, Refused) else Refused(case)
    found = judge(table.extra, expected.fragment, base=table.base).violations
    told = [one for one in found if one.rule == rule]
    assert {one.rule for one in found} == {rule, *expected.also.split()}
    assert {one.field for one in told} == {expected.field or RULES[rule].field}
    assert {one.error for one in told} == {RULES[rule].error}
    assert all(one.message and one.remedy for one in told)


@pytest.mark.parametrize(("table", "case"), ACCEPTED)
def test_it_is_accepted(table: Table, case: str) -> None:
    assert judge(table.extra, case, base=table.base).violations == []


def test_every_rule_has_cases_that_break_it_and_cases_that_nearly_do() -> None:
    judged_on_updates_only = {"feature-stays"}
    assert set(TABLES) == set(RULES) - judged_on_updates_only
    assert all(table.refused and table.accepted for table in TABLES.values())


def test_every_rule_says_where_and_what_it_promises() -> None:
    for rule in RULES.values():
        assert rule.field
        assert rule.promise.endswith(".")
        assert rule.id == rule.id.lower()


def words(fragment: str, base: str = "serving") -> str:
    (violation,) = judge(fragment, base=base).violations
    return f"{violation.message}; {violation.remedy}"


def test_a_misspelt_model_is_answered_with_the_right_name() -> None:
    told = words("inference: {preset: {name: smollm2-135m-instuct}}")
    assert "did you mean smollm2-135m-instruct" in told


def test_a_misspelt_instance_type_is_answered_with_the_right_one() -> None:
    assert "did you mean onebox.large" in words("resource: {instanceType: ONEBOX.LARGE}")


def test_a_misspelt_volume_is_answered_with_the_right_kind() -> None:
    source = "{name: a, volumeSource: {persistentVolume: {claimName: c}}}"
    told = words(f"inference: {{adapters: [{{source: {source}}}]}}")
    assert "did you mean persistentVolumeClaim" in told


def test_an_unknown_mig_profile_is_answered_with_those_of_its_size() -> None:
    told = words(
        "{platform: {provisioner: byo}, resource: {partition: {mode: mig, profile: 7g.81gb}}}",
        base="phi-4",
    )
    assert "choose one of 7g.40gb, 7g.80gb, 7g.94gb" in told


def test_accelerators_without_an_image_are_answered_with_types_that_have_one() -> None:
    told = words("resource: {instanceType: onebox.small}", base="phi-4")
    assert "choose one of Standard_NC24ads_A100_v4, " in told


def test_a_model_that_can_not_be_tuned_is_answered_with_those_that_can() -> None:
    assert words("tuning: {preset: {name: falcon-7b}}", base="tuning").endswith(
        "choose one of phi-4"
    )


def test_a_model_that_does_not_fit_is_refused_with_the_sum() -> None:
    (violation,) = judge("inference: {preset: {name: huge-1t}}", base="phi-4").violations
    assert violation.error is InstanceTypeTooSmall
    assert "2048.0 GiB" in violation.message


def test_tuning_that_does_not_fit_is_refused_with_the_sum() -> None:
    told = words("resource: {instanceType: Standard_NC4as_T4_v3}", base="tuning")
    assert "70.0 GiB of GPU memory" in told
    assert "1 GPUs of 16.0 GiB" in told


def test_settings_are_refused_with_the_key_at_fault() -> None:
    told = words("{inference: {config: c}, config: 'vllm: {max-model-len: 0}'}", base="phi-4")
    assert told.startswith("vllm.max-model-len in inference_config.yaml: ")


def test_a_default_instance_type_that_does_not_fit_is_called_the_platforms() -> None:
    told = words(
        "{resource: {instanceType: null}, platform: {default_instance_type: onebox.small}}",
        base="phi-4",
    )
    assert told.startswith("onebox.small, the platform's default, has emulated accelerators")


def test_several_faults_are_all_told_the_most_fundamental_first() -> None:
    found = judge(
        "{metadata: {name: '1'}, resource: {count: 0, labelSelector: null}, "
        "inference: {preset: {name: x}}}"
    ).violations
    assert [one.rule for one in found] == [
        "name-is-service-name",
        "preset-is-known",
        "count-is-sensible",
        "selector-is-given",
    ]


def test_an_absurdly_long_value_is_cut_in_the_message() -> None:
    assert len(words(f"inference: {{preset: {{name: {'x' * 100_000}}}}}")) < 300


def test_without_a_catalogue_neither_models_nor_types_are_suggested() -> None:
    workspace = gen.workspace(instance_type="whatever", preset="unknown")
    (violation,) = validate(workspace, None, gen.settings())
    assert violation.rule == "preset-is-known"
    assert "ask the operator" in violation.remedy


def test_what_is_being_deleted_has_nothing_wrong_with_it() -> None:
    deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    workspace = gen.workspace(name="1", inference=None, metadata=deleted)
    assert validate(workspace, None, gen.settings(), CATALOGUE) == []
    assert validate(workspace, None, gen.settings(), CATALOGUE, old=gen.workspace()) == []


def test_an_absurd_number_is_judged_as_quickly_as_any_other() -> None:
    # Seen before: every number of GPUs up to this one was looked at.
    existing_nodes = "platform: {provisioner: byo}"
    absurd = "resource: {partition: {mode: accelerator, count: 1000000000}}"
    began_at = time.perf_counter()
    judge(existing_nodes, absurd, base="phi-4")
    assert time.perf_counter() - began_at < 1
