"""`plan` of models that the catalogue lacks: from a folder, or from the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.planner.hub_configs import BERT, QWEN_2_5_7B
from tests.unit.worker.plan.command_line import CommandLine, phi_4

COMMIT = "a09a35458c702b33eeacc393d103063234e8bc28"
NAME = "Qwen/Qwen2.5-7B-Instruct"
WEIGHTS_BYTES = 15_231_233_024

INDEX = {"metadata": {"total_size": WEIGHTS_BYTES}, "weight_map": {}}


def folder_of(command_line: CommandLine, **files: Any) -> Path:
    folder = command_line.folder / "model"
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def plan(command_line: CommandLine, name: str, folder: Path, code: int = 0) -> dict[str, Any]:
    path = command_line.write("workspace.yaml", phi_4(preset=name))
    printed = command_line.plan("-f", path, "--model-config", str(folder), "-o", "json")
    assert printed.code == code, printed.error
    return printed.only


def test_config_and_index_of_a_model_are_enough(command_line: CommandLine) -> None:
    folder = folder_of(
        command_line, config__json=QWEN_2_5_7B, model__safetensors__index__json=INDEX
    )
    found = plan(command_line, f"{NAME}@{COMMIT}", folder)
    assert found["model"]["hugging_face_id"] == NAME
    assert found["model"]["revision"] == COMMIT
    assert found["model"]["weights_bytes"] == WEIGHTS_BYTES
    assert f"--revision={COMMIT}" in found["pod"]["command"]


def test_weights_in_the_folder_are_weighed(command_line: CommandLine) -> None:
    folder = folder_of(
        command_line,
        config__json=QWEN_2_5_7B,
        model__safetensors="w" * 5000,
    )
    assert plan(command_line, NAME, folder)["model"]["weights_bytes"] == 5000


def test_a_pointer_of_git_lfs_weighs_what_it_stands_for(command_line: CommandLine) -> None:
    pointer = (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize {WEIGHTS_BYTES}\n"
    )
    folder = folder_of(command_line, config__json=QWEN_2_5_7B, model__safetensors=pointer)
    assert plan(command_line, NAME, folder)["model"]["weights_bytes"] == WEIGHTS_BYTES


def test_an_architecture_that_nobody_serves_is_a_problem(command_line: CommandLine) -> None:
    folder = folder_of(command_line, config__json=BERT, model__safetensors__index__json=INDEX)
    found = plan(command_line, "someone/bert", folder, code=1)
    (problem,) = found["problems"]
    assert problem["reason"] == "UnsupportedModel"
    assert "BertForMaskedLM" in problem["message"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "it holds no config.json"),
        ({"config__json": QWEN_2_5_7B}, "so nobody knows how large the model is"),
        (
            {"config__json": QWEN_2_5_7B, "model__safetensors__index__json": {"metadata": {}}},
            "nothing says how large",
        ),
        ({"config__json": "[1]", "model__safetensors__index__json": INDEX}, "no JSON object"),
        ({"config__json": "{", "model__safetensors__index__json": INDEX}, "config.json: "),
    ],
)
def test_a_folder_that_does_not_describe_a_model_ends_with_2(
    command_line: CommandLine, files: dict[str, Any], words: str
) -> None:
    folder = folder_of(command_line, **files)
    path = command_line.write("workspace.yaml", phi_4(preset=NAME))
    printed = command_line.plan("-f", path, "--model-config", str(folder))
    assert printed.code == 2
    assert words in printed.error


def test_one_folder_can_not_describe_two_models(command_line: CommandLine) -> None:
    folder = folder_of(
        command_line, config__json=QWEN_2_5_7B, model__safetensors__index__json=INDEX
    )
    two = [phi_4(name="a", preset=NAME), phi_4(name="b", preset="Qwen/another")]
    printed = command_line.plan(
        "-f", command_line.write("two.yaml", *two), "--model-config", str(folder)
    )
    assert printed.code == 2
    assert "describes one model" in printed.error


def test_without_a_folder_the_hub_is_asked_and_its_silence_is_a_problem(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAITO_HUB_OFFLINE", "true")
    path = command_line.write("workspace.yaml", phi_4(preset=NAME))
    printed = command_line.plan("-f", path, "-o", "json")
    assert printed.code == 1
    (problem,) = printed.only["problems"]
    assert problem["reason"] == "HubUnavailable"
    assert "--model-config" in problem["message"]


def test_a_name_that_no_model_can_have_is_told_by_the_rules(command_line: CommandLine) -> None:
    path = command_line.write("workspace.yaml", phi_4(preset="a/b/c"))
    printed = command_line.plan("-f", path, "-o", "json")
    assert printed.code == 1
    assert printed.only["problems"][0]["field"] == "inference.preset.name"


def test_a_model_of_the_catalogue_asks_nobody(command_line: CommandLine) -> None:
    path = command_line.write("workspace.yaml", phi_4(preset="microsoft/phi-4"))
    assert command_line.plan("-f", path).code == 0
