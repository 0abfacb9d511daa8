"""Adapters that a server must list beside its model."""

from __future__ import annotations

import pytest

from api import names
from planner.adapter_names import listed_adapters
from presets.loader import load_catalogue
from tests import gen

PRESET = load_catalogue().get("phi-4")
ADAPTERS = [
    {"source": {"name": "style", "image": "registry.test/style:1"}},
    {"source": {"name": "tone", "image": "registry.test/tone:1"}},
]


def test_vllm_lists_each_adapter_by_its_name() -> None:
    one = gen.workspace(preset="phi-4", inference={"adapters": ADAPTERS})
    assert listed_adapters(one, PRESET, None) == ("style", "tone")
    assert listed_adapters(one, PRESET, "vllm:\n  max-model-len: 512\n") == ("style", "tone")


def test_without_adapters_nothing_is_expected() -> None:
    assert listed_adapters(gen.workspace(preset="phi-4"), PRESET, None) == ()


def test_the_transformers_runtime_mixes_them_into_the_model() -> None:
    one = gen.workspace(
        preset="phi-4",
        inference={"adapters": ADAPTERS},
        metadata={"annotations": {names.ANNOTATION_RUNTIME: "transformers"}},
    )
    assert listed_adapters(one, PRESET, None) == ()


@pytest.mark.parametrize("key", ["lora-modules", "lora_modules"])
def test_settings_that_list_adapters_themselves_win(key: str) -> None:
    one = gen.workspace(preset="phi-4", inference={"adapters": ADAPTERS})
    assert listed_adapters(one, PRESET, f"vllm:\n  {key}: [a=/b]\n") == ()


def test_of_pods_of_the_users_own_nothing_is_known() -> None:
    template = {"spec": {"containers": [{"name": "a", "image": "b"}]}}
    one = gen.workspace(inference={"preset": None, "template": template, "adapters": ADAPTERS})
    assert listed_adapters(one, None, None) == ()
