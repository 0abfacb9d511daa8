"""What of a user's `training_config.yaml` has to be right before a GPU is paid for.

    training_config:
      ModelConfig, QuantizationConfig, LoraConfig,
      TrainingArguments, DatasetConfig, DataCollator: settings of the training, by part

Most settings are the training program's own and are left to it. Judged is what makes it fail at
once, or what would change something else than the training.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import yaml

from planner import config_file
from planner.config_file import RefusedError, shown
from planner.serving_config import ConfigProblem

ROOT_KEY: Final = "training_config"
SECTIONS: Final = (
    "ModelConfig",
    "QuantizationConfig",
    "LoraConfig",
    "TrainingArguments",
    "DatasetConfig",
    "DataCollator",
)
DATASET_KEYS: Final = (
    "dataset_path",
    "dataset_extension",
    "shuffle_dataset",
    "shuffle_seed",
    "context_column",
    "response_column",
    "messages_column",
    "train_test_split",
)
"""Those of upstream's class; its parser ends at any other."""
DATASET_EXTENSIONS: Final = ("csv", "json", "parquet", "arrow", "webdataset")

WORK_FOLDER: Final = "/mnt"
"""Everything that a training reads and writes lies below it; other paths are taken as inside it."""
TAKEN_FOLDERS: Final = ("/mnt/config", "/mnt/data", "/mnt/adapter")
"""Where the settings, the data and adapters are mounted."""


class Method(StrEnum):
    """How a model is tuned; the spec takes both in any case."""

    LORA = "lora"
    QLORA = "qlora"


@dataclass(frozen=True)
class TrainingConfig:
    """What the file says; a part of it that can't be read is a problem, and reads as left out."""

    load_in_4bit: bool = False
    load_in_8bit: bool = False
    output_folder: str = ""
    """Absolute path of `output_dir`; empty when the file does not say."""
    problems: tuple[ConfigProblem, ...] = ()


def read_training_config(text: str | None) -> TrainingConfig:
    """Read the file's text; None, an absent file, says nothing. Never raises."""
    if text is None:
        return TrainingConfig()
    problems: list[ConfigProblem] = []
    sections = _sections(text, problems)
    quantization = sections.get("QuantizationConfig")
    _read_dataset(sections.get("DatasetConfig"), problems)
    return TrainingConfig(
        load_in_4bit=_switch(quantization, "load_in_4bit", problems),
        load_in_8bit=_switch(quantization, "load_in_8bit", problems),
        output_folder=_output_folder(sections.get("TrainingArguments"), problems),
        problems=tuple(problems),
    )


def method_problems(config: TrainingConfig, method: str) -> Iterator[ConfigProblem]:
    """Yield where the file and the method contradict each other."""
    key = f"{ROOT_KEY}.QuantizationConfig"
    is_quantized = config.load_in_4bit or config.load_in_8bit
    if config.load_in_4bit and config.load_in_8bit:
        yield ConfigProblem(
            key, "load_in_4bit and load_in_8bit are both true", "set one of them to false"
        )
    if method == Method.LORA and is_quantized:
        yield ConfigProblem(
            key,
            "method lora keeps the model's weights as they are, and the file quantises them",
            "set load_in_4bit and load_in_8bit to false, or the method to qlora",
        )
    if method == Method.QLORA and not is_quantized:
        yield ConfigProblem(
            key,
            "method qlora quantises the model's weights, and the file does not say how",
            "set load_in_4bit or load_in_8bit to true, or the method to lora",
        )


def _sections(text: str, problems: list[ConfigProblem]) -> dict[str, yaml.MappingNode]:
    """Return the parts that the file has, by name; what is wrong up to there becomes a problem."""
    try:
        root = config_file.compose(text)
    except RefusedError as refused:
        problems.append(ConfigProblem("", refused.message, refused.remedy))
        return {}
    training = config_file.find(root, ROOT_KEY) if isinstance(root, yaml.MappingNode) else None
    if not isinstance(training, yaml.MappingNode):
        told = "it holds no map" if training is not None else "it is missing"
        problems.append(ConfigProblem(ROOT_KEY, told, f"put {', '.join(SECTIONS)} below it"))
        return {}
    unknown = [name for name in config_file.keys(training) if name not in SECTIONS]
    if unknown:
        problems.append(
            ConfigProblem(
                ROOT_KEY, f"there is no part {shown(unknown[0])}", f"use {', '.join(SECTIONS)}"
            )
        )
    found = {}
    for name in SECTIONS:
        section = config_file.find(training, name)
        if isinstance(section, yaml.MappingNode):
            found[name] = section
        elif section is not None and not config_file.is_null(section):
            told = f"it holds {config_file.kind(section)}"
            remedy = "write `key: value` lines below it"
            problems.append(ConfigProblem(f"{ROOT_KEY}.{name}", told, remedy))
    return found


def _switch(section: yaml.MappingNode | None, name: str, problems: list[ConfigProblem]) -> bool:
    value = _value(section, f"QuantizationConfig.{name}", problems)
    if value is None or isinstance(value, bool):
        return bool(value)
    problems.append(
        ConfigProblem(
            f"{ROOT_KEY}.QuantizationConfig.{name}",
            f"{shown(value)} is neither true nor false",
            "write true or false, without quotes",
        )
    )
    return False


def _output_folder(section: yaml.MappingNode | None, problems: list[ConfigProblem]) -> str:
    value = _value(section, "TrainingArguments.output_dir", problems)
    if value is None:
        return ""
    key = f"{ROOT_KEY}.TrainingArguments.output_dir"
    remedy = f"name a folder such as {WORK_FOLDER}/results"
    if not isinstance(value, str) or "\0" in value:
        problems.append(ConfigProblem(key, f"{shown(value)} is no folder", remedy))
        return ""
    is_inside = value == WORK_FOLDER or value.startswith(f"{WORK_FOLDER}/")
    folder = posixpath.normpath(value if is_inside else f"{WORK_FOLDER}/{value}")
    if not folder.startswith(f"{WORK_FOLDER}/"):
        told = f"{shown(value)} is not a folder below {WORK_FOLDER}"
        problems.append(ConfigProblem(key, told, remedy))
        return ""
    if any(f"{folder}/".startswith(f"{taken}/") for taken in TAKEN_FOLDERS):
        told = f"{shown(value)} is where the platform mounts something else"
        problems.append(ConfigProblem(key, told, remedy))
        return ""
    return folder


def _read_dataset(section: yaml.MappingNode | None, problems: list[ConfigProblem]) -> None:
    if section is None:
        return
    unknown = [name for name in config_file.keys(section) if name not in DATASET_KEYS]
    if unknown:
        key, told = f"{ROOT_KEY}.DatasetConfig", f"there is no setting {shown(unknown[0])}"
        problems.append(ConfigProblem(key, told, f"use {', '.join(DATASET_KEYS)}"))
    extension = _value(section, "DatasetConfig.dataset_extension", problems)
    if extension is not None and extension not in DATASET_EXTENSIONS:
        key, told = (
            f"{ROOT_KEY}.DatasetConfig.dataset_extension",
            f"{shown(extension)} can't be read",
        )
        problems.append(ConfigProblem(key, told, f"use {', '.join(DATASET_EXTENSIONS)}"))
    split = _value(section, "DatasetConfig.train_test_split", problems)
    if split is not None and not _is_part(split):
        key, told = f"{ROOT_KEY}.DatasetConfig.train_test_split", f"{shown(split)} is no part"
        problems.append(
            ConfigProblem(key, told, "give the part to train with, above 0 and up to 1")
        )


def _is_part(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


def _value(
    section: yaml.MappingNode | None, path: str, problems: list[ConfigProblem]
) -> str | int | float | None:
    """Return a single value of a section; None when it is not there or can't be one."""
    node = config_file.find(section, path.rpartition(".")[2]) if section is not None else None
    if node is None or config_file.is_null(node):
        return None
    try:
        value: str | int | float = config_file.value_of(node)
    except RefusedError as refused:
        problems.append(ConfigProblem(f"{ROOT_KEY}.{path}", refused.message, refused.remedy))
        return None
    return value
