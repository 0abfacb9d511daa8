"""Reading the catalogue: quickly, from any folder, with complaints that name what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from api import images
from api.preset import AcceleratorVendor, WeightsKind
from presets.loader import FOLDER, CatalogueError, load_catalogue
from tests import gen

MOST_SECONDS: Final = 0.3
"""Of CPU time, to load everything; 0.02 were measured (2026-11)."""

INSTANCE_TYPES: dict[str, Any] = {
    "instanceTypes": [
        {
            "name": "tiny",
            "accelerator": {"vendor": "emulated", "model": "none", "count": 1, "memory": "8Gi"},
        }
    ]
}


def write(folder: Path, *presets: object, instance_types: object = None, name: str = "") -> Path:
    """Write a catalogue of these presets, each text or data, and one file of instance types."""
    (folder / "catalogue").mkdir()
    (folder / "instance_types").mkdir()
    for preset in presets or (gen.preset_content(),):
        stem = name or (preset["name"] if isinstance(preset, dict) else gen.PRESET)
        text = preset if isinstance(preset, str) else yaml.safe_dump(preset)
        (folder / "catalogue" / f"{stem}.yaml").write_text(text)
    types = INSTANCE_TYPES if instance_types is None else instance_types
    (folder / "instance_types" / "home.yaml").write_text(yaml.safe_dump(types))
    return folder


def complaint(folder: Path) -> str:
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(folder)
    return str(caught.value)


def test_the_catalogue_of_the_repository_can_be_loaded() -> None:
    assert len(load_catalogue().names()) == len(list((FOLDER / "catalogue").iterdir()))


def test_a_fresh_process_loads_it_quickly() -> None:
    program = (
        "import time\n"
        "from presets.loader import load_catalogue\n"
        "begin = time.process_time()\n"
        "load_catalogue()\n"
        "print(time.process_time() - begin)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=FOLDER.parent, check=True, capture_output=True
    )
    assert float(answer.stdout) < MOST_SECONDS


def test_loading_again_costs_nothing() -> None:
    assert load_catalogue() is load_catalogue()


def test_the_small_model_uses_the_images_that_onebox_makes() -> None:
    preset = load_catalogue().get("smollm2-135m-instruct")
    assert preset is not None
    assert preset.runtimes[0].image == images.VLLM_CPU_IMAGE
    assert preset.runtimes[0].accelerators == (AcceleratorVendor.EMULATED,)
    assert preset.weights.kind is WeightsKind.OCI
    assert preset.weights.reference == images.SMOLLM2_WEIGHTS


def test_a_new_model_is_one_file(tmp_path: Path) -> None:
    folder = write(tmp_path, gen.preset_content())
    new = gen.preset_content(name="new-model", aliases=["Org/New-Model", "newest"])
    (folder / "catalogue" / "new-model.yaml").write_text(yaml.safe_dump(new))
    catalogue = load_catalogue(folder)
    assert catalogue.names() == ["new-model", gen.PRESET]
    for name in ("new-model", "org/new-model", "NEWEST"):
        found = catalogue.get(name)
        assert found is not None
        assert found.name == "new-model"


def test_a_file_of_instance_types_gives_them_its_name_as_provider(tmp_path: Path) -> None:
    found = load_catalogue(write(tmp_path)).instance_type("tiny")
    assert found is not None
    assert found.provider == "home"


def test_files_that_are_no_yaml_are_no_models(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "catalogue" / "README.md").write_text("not a model")
    assert load_catalogue(folder).names() == [gen.PRESET]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"model": {"layerz": 3}}, "model.layerz"),
        ({"model": {"attention": {"window": 3}}}, "model.attention.window"),
        ({"model": {"attention": {"headDimension": None}}}, "model.attention.headDimension"),
        ({"model": {"attention": {"heads": 0}}}, "model.attention.heads"),
        ({"model": {"attention": {"sliding": {"layers": 31, "tokens": 8}}}}, "model.attention"),
        ({"model": {"weightsBytes": "27.31Gi"}}, "model.weightsBytes"),
        ({"model": {"weightsBytes": 0}}, "model.weightsBytes"),
        ({"disk": "50GB"}, "disk"),
        ({"disk": None}, "disk"),
        ({"name": "Phi-4"}, "name"),
        ({"weights": {"kind": "oci", "reference": None}}, "weights"),
        ({"weights": {"kind": "huggingface"}}, "weights"),
        ({"weights": {"kind": "torrent"}}, "weights.kind"),
        ({"runtimes": []}, "runtimes"),
        ({"runtimes": [{"name": "tgi"}]}, "runtimes.0.name"),
        ({"runtimes": [{"name": "vllm", "accelerators": []}]}, "runtimes.0.accelerators"),
        ({"runtimes": [{"name": "vllm", "tensorparallel": False}]}, "runtimes.0.tensorparallel"),
        ({"runtimes": [{"name": "vllm", "arguments": {"a": [1]}}]}, "runtimes.0.arguments.a"),
        ({"imageAccess": "secret"}, "imageAccess"),
        ({"tuning": {"gpuMemory": "16Gi"}}, "tuning.disk"),
        ({"readyDeadlineSeconds": 0}, "readyDeadlineSeconds"),
        ({"trustRemoteCode": "maybe"}, "trustRemoteCode"),
    ],
)
def test_what_is_wrong_in_a_model_is_named_with_its_file(
    tmp_path: Path, changes: dict[str, Any], key: str
) -> None:
    folder = write(tmp_path, gen.preset_content(**changes), name=gen.PRESET)
    assert f"{gen.PRESET}.yaml: {key}" in complaint(folder)


def test_everything_that_is_wrong_in_a_file_is_named_at_once(tmp_path: Path) -> None:
    message = complaint(write(tmp_path, gen.preset_content(disk="x", licence="MIT")))
    assert "disk" in message
    assert "licence" in message


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


def test_two_models_of_one_name_are_both_named(tmp_path: Path) -> None:
    one = gen.preset_content(name="one", aliases=["org/model"])
    two = gen.preset_content(name="two", aliases=["Org/Model"])
    message = complaint(write(tmp_path, one, two))
    assert "two.yaml: 'Org/Model'" in message
    assert "one.yaml" in message


@pytest.mark.parametrize(
    ("instance_types", "where"),
    [
        ([], "instanceTypes"),
        ({"instanceTypes": [3]}, "instanceTypes.0"),
        ({"instanceTypes": [{"name": "x"}]}, "instanceTypes.0.accelerator"),
        ({"instanceTypes": [{"name": "x", "provider": "azure"}]}, "instanceTypes.0.provider"),
        ({"instanceTypes": INSTANCE_TYPES["instanceTypes"] * 2}, "instanceTypes.1: 'tiny'"),
        (
            {
                "instanceTypes": [
                    INSTANCE_TYPES["instanceTypes"][0]
                    | {"price": {"usdPerHour": 1, "region": "x", "asOf": "last year"}}
                ]
            },
            "instanceTypes.0.price.asOf",
        ),
    ],
)
def test_a_wrong_instance_type_is_named(tmp_path: Path, instance_types: object, where: str) -> None:
    message = complaint(write(tmp_path, instance_types=instance_types))
    assert f"home.yaml: {where}" in message
