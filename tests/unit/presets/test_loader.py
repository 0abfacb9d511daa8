"""The catalogue as it is in the repository, and files that are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from api import images
from api.preset import AcceleratorVendor, WeightsKind
from api.workspace import DEFAULT_INSTANCE_TYPE
from presets.loader import CatalogueError, load_catalogue
from tests import gen

INSTANCE_TYPES: dict[str, Any] = {
    "instanceTypes": [
        {
            "name": "tiny",
            "accelerator": {"vendor": "emulated", "model": "none", "count": 1, "memory": "8Gi"},
        }
    ]
}


def write(folder: Path, preset: object, instance_types: object = None, name: str = "") -> Path:
    (folder / "catalogue").mkdir()
    (folder / "instance_types").mkdir()
    path = folder / "catalogue" / f"{name or gen.PRESET}.yaml"
    path.write_text(preset if isinstance(preset, str) else yaml.safe_dump(preset))
    types = INSTANCE_TYPES if instance_types is None else instance_types
    (folder / "instance_types" / "home.yaml").write_text(yaml.safe_dump(types))
    return folder


def complaint(folder: Path) -> str:
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(folder)
    return str(caught.value)


def test_the_models_of_the_repository_can_be_loaded() -> None:
    assert "smollm2-135m-instruct" in load_catalogue().names()


def test_the_instance_type_that_the_crd_falls_back_to_is_known() -> None:
    found = load_catalogue().instance_type(DEFAULT_INSTANCE_TYPE)
    assert found is not None
    assert found.accelerator.vendor is AcceleratorVendor.NVIDIA


def test_oneboxs_types_have_emulated_gpus() -> None:
    counts = {}
    for name in ("onebox.small", "onebox.large"):
        found = load_catalogue().instance_type(name)
        assert found is not None
        assert found.accelerator.vendor is AcceleratorVendor.EMULATED
        assert found.gpu_memory_bytes == 8 * 2**30
        counts[name] = found.gpu_count
    assert counts == {"onebox.small": 1, "onebox.large": 2}


def test_the_small_model_uses_the_images_that_onebox_makes() -> None:
    preset = load_catalogue().get("smollm2-135m-instruct")
    assert preset is not None
    assert preset.runtimes[0].image == images.VLLM_CPU_IMAGE
    assert preset.weights.kind is WeightsKind.OCI
    assert preset.weights.reference == images.SMOLLM2_WEIGHTS


@pytest.mark.parametrize(
    "preset", list(load_catalogue().presets.values()), ids=lambda one: one.name
)
def test_facts_of_a_model_agree_with_each_other(preset: Any) -> None:
    model = preset.model
    assert model.attention_heads % model.key_value_heads == 0
    bytes_per_parameter = {"bfloat16": 2, "float16": 2, "float32": 4}[model.dtype]
    assert model.weights_bytes == model.parameters * bytes_per_parameter


def test_loading_again_costs_nothing() -> None:
    assert load_catalogue() is load_catalogue()


def test_a_file_of_ones_own_can_be_loaded(tmp_path: Path) -> None:
    catalogue = load_catalogue(write(tmp_path, gen.preset_content()))
    assert catalogue.names() == [gen.PRESET]
    found = catalogue.instance_type("tiny")
    assert found is not None
    assert found.provider == "home"


def test_an_unknown_key_is_named_with_its_file(tmp_path: Path) -> None:
    message = complaint(write(tmp_path, gen.preset_content(model={"layerz": 3})))
    assert f"{gen.PRESET}.yaml" in message
    assert "model.layerz" in message


def test_a_key_that_is_there_twice_is_named_with_its_line(tmp_path: Path) -> None:
    text = yaml.safe_dump(gen.preset_content()) + "disk: 9Gi\n"
    message = complaint(write(tmp_path, text))
    assert "'disk' is there twice" in message
    assert f"line {len(text.splitlines())}" in message


def test_yaml_that_is_none_is_named(tmp_path: Path) -> None:
    assert f"{gen.PRESET}.yaml" in complaint(write(tmp_path, "a: [1"))


@pytest.mark.parametrize("text", ["", "- a", "3"])
def test_a_file_that_holds_something_else_is_named(tmp_path: Path, text: str) -> None:
    assert f"{gen.PRESET}.yaml" in complaint(write(tmp_path, text))


def test_a_file_is_named_like_its_model(tmp_path: Path) -> None:
    message = complaint(write(tmp_path, gen.preset_content(), name="other"))
    assert f"{gen.PRESET}.yaml" in message


@pytest.mark.parametrize(
    ("instance_types", "where"),
    [
        ([], "instanceTypes"),
        ({"instanceTypes": [3]}, "instanceTypes.0"),
        ({"instanceTypes": [{"name": "x"}]}, "instanceTypes.0.accelerator"),
        ({"instanceTypes": INSTANCE_TYPES["instanceTypes"] * 2}, "tiny"),
    ],
)
def test_a_wrong_instance_type_is_named(tmp_path: Path, instance_types: object, where: str) -> None:
    assert where in complaint(write(tmp_path, gen.preset_content(), instance_types))
