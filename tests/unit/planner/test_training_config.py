"""What is read of a training's settings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.training_config import TrainingConfig, method_problems, read_training_config

# Upstream's own defaults.
LORA = """
training_config:
  ModelConfig: {torch_dtype: bfloat16, local_files_only: true, device_map: auto}
  QuantizationConfig: {load_in_4bit: false}
  LoraConfig: {r: 8, lora_alpha: 8, lora_dropout: 0.0}
  TrainingArguments:
    output_dir: /mnt/results
    ddp_find_unused_parameters: false
    save_strategy: epoch
    per_device_train_batch_size: 1
  DataCollator: {mlm: true}
  DatasetConfig: {shuffle_dataset: true, train_test_split: 1}
"""
QLORA = LORA.replace("load_in_4bit: false", "load_in_4bit: true, bnb_4bit_quant_type: nf4")


def keys(text: str) -> list[str]:
    return [one.key for one in read_training_config(text).problems]


def part(name: str, content: str) -> str:
    return f"training_config: {{{name}: {content}}}"


def test_upstreams_defaults_have_no_problems() -> None:
    assert read_training_config(LORA) == TrainingConfig(output_folder="/mnt/results")
    qlora = read_training_config(QLORA)
    assert qlora == TrainingConfig(load_in_4bit=True, output_folder="/mnt/results")
    assert list(method_problems(read_training_config(LORA), "lora")) == []
    assert list(method_problems(qlora, "qlora")) == []


def test_an_absent_file_says_nothing() -> None:
    assert read_training_config(None) == TrainingConfig()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training_config: [", [""]),
        ("a: b: c", [""]),
        ("", ["training_config"]),
        ("{}", ["training_config"]),
        ("- training_config", ["training_config"]),
        ("training_config: null", ["training_config"]),
        ("training_config: [ModelConfig]", ["training_config"]),
        (part("LoraCfg", "{}"), ["training_config"]),
        ("training_config: {1: {}}", ["training_config"]),
        (part("LoraConfig", "[r]"), ["training_config.LoraConfig"]),
        (part("LoraConfig", "8"), ["training_config.LoraConfig"]),
        (
            part("QuantizationConfig", "{load_in_4bit: 'yes'}"),
            ["training_config.QuantizationConfig.load_in_4bit"],
        ),
        (
            part("QuantizationConfig", "{load_in_8bit: 1}"),
            ["training_config.QuantizationConfig.load_in_8bit"],
        ),
        (
            part("QuantizationConfig", "{load_in_8bit: [true]}"),
            ["training_config.QuantizationConfig.load_in_8bit"],
        ),
        (part("DatasetConfig", "{datset_path: a}"), ["training_config.DatasetConfig"]),
        (
            part("DatasetConfig", "{dataset_extension: xlsx}"),
            ["training_config.DatasetConfig.dataset_extension"],
        ),
        (
            part("DatasetConfig", "{train_test_split: 1.5}"),
            ["training_config.DatasetConfig.train_test_split"],
        ),
        (
            part("DatasetConfig", "{train_test_split: true}"),
            ["training_config.DatasetConfig.train_test_split"],
        ),
    ],
)
def test_a_problem_names_the_key_at_fault(text: str, expected: list[str]) -> None:
    assert keys(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "training_config: {}",
        part("LoraConfig", "null"),
        part("QuantizationConfig", "{load_in_4bit: null}"),
        part("QuantizationConfig", "{load_in_4bit: on}"),
        part(
            "DatasetConfig", "{dataset_path: data/a.csv, dataset_extension: csv, shuffle_seed: 1}"
        ),
        "training_config: &a {LoraConfig: {r: 8}}\nother: *a",
    ],
)
def test_what_the_training_can_read_is_no_problem(text: str) -> None:
    assert keys(text) == []


@pytest.mark.parametrize(
    ("method", "switches", "message"),
    [
        ("qlora", "{}", "does not say how"),
        ("qlora", "{load_in_4bit: false, load_in_8bit: false}", "does not say how"),
        ("qlora", "{load_in_4bit: true, load_in_8bit: true}", "both true"),
        ("lora", "{load_in_4bit: true}", "as they are"),
        ("lora", "{load_in_8bit: true}", "as they are"),
    ],
)
def test_file_and_method_may_not_contradict_each_other(
    method: str, switches: str, message: str
) -> None:
    config = read_training_config(part("QuantizationConfig", switches))
    assert config.problems == ()
    (problem,) = method_problems(config, method)
    assert problem.key == "training_config.QuantizationConfig"
    assert message in problem.message


@pytest.mark.parametrize("switches", ["{load_in_4bit: true}", "{load_in_8bit: true}"])
def test_qlora_takes_either_way_to_quantise(switches: str) -> None:
    config = read_training_config(part("QuantizationConfig", switches))
    assert list(method_problems(config, "qlora")) == []


@pytest.mark.parametrize(
    ("output_dir", "folder"),
    [
        ("/mnt/results", "/mnt/results"),
        ("results", "/mnt/results"),
        ("./a/../b/", "/mnt/b"),
        ("/mnt/a//b", "/mnt/a/b"),
        # Upstream takes every path as one inside /mnt.
        ("/etc/passwd", "/mnt/etc/passwd"),
        ("/mnt/database", "/mnt/database"),
    ],
)
def test_results_go_below_the_work_folder(output_dir: str, folder: str) -> None:
    config = read_training_config(part("TrainingArguments", f"{{output_dir: {output_dir}}}"))
    assert config == TrainingConfig(output_folder=folder)


@pytest.mark.parametrize(
    "output_dir",
    [
        "''",
        ".",
        "/",
        "/mnt",
        "/mnt/",
        "..",
        "../etc",
        "/mnt/../etc",
        "a/../..",
        "/mntx/../..",
        "/mnt/data",
        "/mnt/data/results",
        "/mnt/config",
        "adapter",
        "12",
        "true",
        "[a]",
        '"a\\0b"',
    ],
)
def test_results_go_nowhere_else(output_dir: str) -> None:
    config = read_training_config(part("TrainingArguments", f"{{output_dir: {output_dir}}}"))
    assert config.output_folder == ""
    assert [one.key for one in config.problems] == ["training_config.TrainingArguments.output_dir"]


_YAML_LIKE = st.text(alphabet="abc:{}[],-&*!<>|'\"\n #/.0123456789", max_size=200) | st.text()
_SECTIONS = st.sampled_from(["QuantizationConfig", "TrainingArguments", "DatasetConfig", "x"])


@given(text=_YAML_LIKE, section=_SECTIONS, is_wrapped=st.booleans())
def test_any_text_can_be_read(text: str, section: str, is_wrapped: bool) -> None:
    wrapped = f"training_config:\n  {section}:\n    output_dir: {text}"
    config = read_training_config(wrapped if is_wrapped else text)
    for problem in config.problems:
        assert problem.message
        assert problem.remedy
        assert problem.message.isprintable()
    if config.output_folder:
        assert config.output_folder.startswith("/mnt/")
        assert ".." not in config.output_folder.split("/")
