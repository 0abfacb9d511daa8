"""The catalogue's models."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from api.preset import Catalogue, Preset, parse_bytes
from tests import gen


@pytest.mark.parametrize(
    ("quantity", "count"), [("8Gi", 8 * 2**30), ("512Mi", 512 * 2**20), ("1024", 1024)]
)
def test_quantities_are_read_as_kubernetes_reads_them(quantity: str, count: int) -> None:
    assert parse_bytes(quantity) == count


@pytest.mark.parametrize("quantity", ["", "8 Gi", "8G", "-1Gi", "1.5Gi", "Gi", "8Gi8", "٣Gi"])
def test_what_could_be_misread_is_no_quantity(quantity: str) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        parse_bytes(quantity)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"colour": "red"}, "colour"),
        ({"name": "With Blank"}, "name"),
        ({"disk": "plenty"}, "disk"),
        ({"runtimes": []}, "runtimes"),
        ({"weights": {"reference": ""}}, "weights"),
        ({"weights": {"kind": "image"}}, "weights"),
        ({"model": {"weightsBytes": 0}}, "weightsBytes"),
        ({"readyDeadlineSeconds": 0}, "readyDeadlineSeconds"),
    ],
)
def test_a_preset_that_makes_no_sense_is_refused_by_key(
    changes: dict[str, Any], where: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        gen.preset(**changes)
    assert any(where in one["loc"] for one in caught.value.errors())


def test_models_are_found_in_any_case_and_by_alias() -> None:
    catalogue = gen.catalogue(gen.preset(name="org/model", aliases=["Old-Name"]))
    for name in ("org/model", "ORG/Model", "old-name", "OLD-NAME"):
        found = catalogue.get(name)
        assert found is not None
        assert found.name == "org/model"
    assert catalogue.get("model") is None
    assert catalogue.names() == ["org/model"]


def test_two_models_with_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two entries"):
        Catalogue.of((gen.preset(name="a"), gen.preset(name="b", aliases=["A"])), ())


def test_instance_types_tell_gpus_and_their_memory() -> None:
    found = gen.catalogue().instance_type("OneBox.Large")
    assert found is not None
    assert (found.gpu_count, found.gpu_memory_bytes) == (2, 8 * 2**30)


def test_the_first_runtime_is_the_default() -> None:
    preset = gen.preset()
    assert preset.runtime() is preset.runtimes[0]
    assert preset.runtime("vllm") is preset.runtimes[0]
    assert preset.runtime("transformers") is None


def test_a_preset_survives_a_round_trip() -> None:
    preset = gen.preset()
    assert Preset.model_validate(preset.model_dump(by_alias=True)) == preset
