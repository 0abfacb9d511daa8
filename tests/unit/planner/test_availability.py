"""What is understood and can't be carried out yet."""

from __future__ import annotations

import pytest

from api.errors import FeatureNotAvailable
from planner.availability import unavailable
from tests import gen
from tests.unit.planner.rule_tables.table import judge

IDS = ("tuning-not-available", "local-weights-not-available")
LOCAL_WEIGHTS = "metadata: {{annotations: {{kaito.sh/use-local-weights: '{}'}}}}"


@pytest.mark.parametrize(
    ("base", "fragment", "rule", "field"),
    [
        ("tuning", "{}", "tuning-not-available", "tuning"),
        (
            "phi-4",
            LOCAL_WEIGHTS.format("true"),
            "local-weights-not-available",
            "metadata.annotations[kaito.sh/use-local-weights]",
        ),
    ],
)
def test_it_is_valid_and_not_available(base: str, fragment: str, rule: str, field: str) -> None:
    case = judge(fragment, base=base)
    assert case.violations == []
    (found,) = unavailable(case.workspace, case.settings)
    assert (found.rule, found.field) == (rule, field)
    assert found.rule in IDS
    assert found.error is FeatureNotAvailable
    assert found.message.endswith("is not available in this version")
    assert found.remedy


@pytest.mark.parametrize(
    ("base", "fragment"),
    [
        ("serving", "{}"),
        ("own-pods", "{}"),
        ("phi-4", LOCAL_WEIGHTS.format("false")),
        ("phi-4", "metadata: {annotations: {kaito.sh/enablelb: 'True'}}"),
        ("phi-4", "metadata: {annotations: {kaito.sh/runtime: transformers}}"),
        ("phi-4", "inference: {adapters: [{source: {name: a, image: 'b:1'}}]}"),
        ("phi-4", "inference: {preset: {accessMode: private, presetOptions: {image: 'a:1'}}}"),
        ("phi-4", "{platform: {provisioner: byo}, resource: {partition: {mode: mig}}}"),
        ("phi-4", "rollout: {strategy: Surge}"),
    ],
)
def test_it_can_be_carried_out(base: str, fragment: str) -> None:
    case = judge(fragment, base=base)
    assert unavailable(case.workspace, case.settings) == []


def test_both_are_told() -> None:
    workspace = judge(LOCAL_WEIGHTS.format("True"), base="tuning").workspace
    assert [one.rule for one in unavailable(workspace, gen.settings())] == list(IDS)
