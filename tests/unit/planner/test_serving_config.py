"""Reading `inference_config.yaml`: what upstream's users write, and whatever else may lie there."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from planner.config_file import MAX_CHARACTERS
from planner.serving_config import ConfigProblem, ServingConfig, read_serving_config


def problem(text: str) -> ConfigProblem:
    config = read_serving_config(text)
    assert replace(config, problems=()) == ServingConfig()
    (found,) = config.problems
    return found


# --- What is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [None, "", "\n", "# only a comment\n", "null", "vllm:", "{}"])
def test_a_file_without_settings_says_nothing(text: str | None) -> None:
    assert read_serving_config(text) == ServingConfig()


def test_upstreams_own_file_is_read() -> None:
    text = """
    # Maximum number of steps to find the max available seq len fitting in the GPU memory.
    max_probe_steps: 6

    vllm:
      cpu-offload-gb: 0
      gpu-memory-utilization: 0.95
      swap-space: 4
      max-model-len: 2048
      max-seq-len-to-capture: 8192
    """
    assert read_serving_config(text) == ServingConfig(
        max_model_length=2048, gpu_memory_utilization=0.95
    )


def test_every_setting_that_decides_on_memory_is_read() -> None:
    text = (
        "vllm: {max-model-len: 4096, gpu-memory-utilization: 1, kv-cache-dtype: fp8, "
        "tensor-parallel-size: 2, pipeline-parallel-size: 3, data-parallel-size: 4}"
    )
    assert read_serving_config(text) == ServingConfig(4096, 1.0, "fp8", 2, 3, 4)


@pytest.mark.parametrize(
    "key", ["tensor-parallel-size", "tensor_parallel_size", "--tensor-parallel-size"]
)
def test_keys_are_spelt_as_on_the_command_line_or_in_python(key: str) -> None:
    assert read_serving_config(f"vllm:\n  {key}: 2\n").tensor_parallel_size == 2


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("8192", 8192),
        ("'8192'", 8192),
        ("0x2000", 8192),
        ("32k", 32_000),
        ("32K", 32_768),
        ("25.6k", 25_600),
        ("1m", 1_000_000),
        ("1M", 1_048_576),
        ("auto", None),
        ("Auto", None),
        ("-1", None),
    ],
)
def test_a_length_is_read_as_vllm_reads_it(written: str, expected: int | None) -> None:
    config = read_serving_config(f"vllm: {{max-model-len: {written}}}")
    assert config == ServingConfig(max_model_length=expected)


def test_maps_may_be_merged_and_what_stands_nearer_wins() -> None:
    text = """
    vllm:
      <<: [{max-model-len: 1, tensor-parallel-size: 2}, {tensor-parallel-size: 3}]
      max-model-len: 4
    """
    assert read_serving_config(text) == ServingConfig(max_model_length=4, tensor_parallel_size=2)


def test_of_a_key_that_is_there_twice_the_last_counts_as_everywhere_in_yaml() -> None:
    assert read_serving_config("vllm:\n  max-model-len: 1\n  max-model-len: 2\n") == ServingConfig(
        max_model_length=2
    )


# --- What can't be used ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "text", "key", "message"),
    [
        ("no YAML", "vllm: [", "", "it is no YAML: did not find expected node content"),
        ("the place is named", "a: b: c", "", "in line 1, column 5"),
        ("two documents", "---\na: 1\n---\nb: 1\n", "", "it is no YAML"),
        ("characters of no text", "\x00", "", "characters that YAML does not allow"),
        ("a list", "- vllm", "", "the file holds a list"),
        ("a word", "vllm", "", "the file holds a single value"),
        ("an unknown section", "vlm: {}", "", "the model server knows no section 'vlm'"),
        ("a section without a name", "? [a]\n: b", "", "no section ''"),
        ("settings at the top", "max-model-len: 1", "", "no section 'max-model-len'"),
        ("a word for settings", "vllm: fast", "vllm", "it holds a single value"),
        ("a list for settings", "vllm: [1]", "vllm", "it holds a list"),
        ("no length", "vllm: {max-model-len: long}", "vllm.max-model-len", "'long' is no length"),
        ("a fraction", "vllm: {max-model-len: 1.5}", "vllm.max-model-len", "1.5 is no length"),
        ("a binary fraction", "vllm: {max-model-len: 1.5K}", "vllm.max-model-len", "no length"),
        ("yes", "vllm: {max-model-len: true}", "vllm.max-model-len", "True is no length"),
        ("nothing", "vllm: {max-model-len: 0}", "vllm.max-model-len", "0 is no length"),
        ("a list", "vllm: {max-model-len: [1]}", "vllm.max-model-len", "it holds a list"),
        ("a map", "vllm: {max-model-len: {}}", "vllm.max-model-len", "it holds a map"),
        ("no value", "vllm: {max-model-len: }", "vllm.max-model-len", "it has no value"),
        (
            "more than everything",
            "vllm: {gpu-memory-utilization: 1.01}",
            "vllm.gpu-memory-utilization",
            "1.01 is no part of a GPU's memory",
        ),
        (
            "nothing of it",
            "vllm: {gpu-memory-utilization: 0}",
            "vllm.gpu-memory-utilization",
            "0 is no part",
        ),
        (
            "no number at all",
            "vllm: {gpu-memory-utilization: .nan}",
            "vllm.gpu-memory-utilization",
            "nan is no part",
        ),
        (
            "an unknown type",
            "vllm: {kv-cache-dtype: int2}",
            "vllm.kv-cache-dtype",
            "'int2' is no type that vLLM can cache in",
        ),
        (
            "a type that is a number",
            "vllm: {kv-cache-dtype: 8}",
            "vllm.kv-cache-dtype",
            "8 is no type",
        ),
        *(
            (
                "no GPU at all",
                f"vllm: {{{name}: {value}}}",
                f"vllm.{name}",
                f"{value} is no number of GPUs",
            )
            for name in ("tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size")
            for value in ("0", "-2", "1.0")
        ),
    ],
)
def test_what_cannot_be_used_is_named_with_a_remedy(
    sentence: str, text: str, key: str, message: str
) -> None:
    found = problem(text)
    assert found.key == key, sentence
    assert message in found.message, sentence
    assert found.remedy


def test_one_bad_setting_spoils_no_other() -> None:
    config = read_serving_config("vllm: {max-model-len: 0, tensor-parallel-size: 2}")
    assert config.tensor_parallel_size == 2
    assert [one.key for one in config.problems] == ["vllm.max-model-len"]


def test_an_unknown_section_is_named_and_the_known_one_read() -> None:
    config = read_serving_config("tfs: {}\nvllm: {max-model-len: 1}\n")
    assert config.max_model_length == 1
    assert "'tfs'" in config.problems[0].message


@pytest.mark.parametrize(
    "value", ["9" * 5000, "0x" + "f" * 5000, "!!bool x", "!!int ''", "2020-99-99", "!!set {}"]
)
def test_values_that_break_readers_of_yaml_are_no_length(value: str) -> None:
    found = problem(f"vllm: {{max-model-len: {value}}}")
    assert len(found.message) < 100


# --- Files that are no mistake --------------------------------------------------------------------

LAUGHS = "\n".join(
    ["a0: &a0 [lol]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20))]
)
MERGES = "\n".join(
    ["m0: &m0 {x: 1}", *(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}" for n in range(1, 40))]
)


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("a map of maps that grows", LAUGHS + "\nvllm: *a19\n"),
        ("merges that grow", MERGES + "\nvllm: *m39\n"),
        ("a map within itself", "vllm: &v {<<: *v, max-model-len: *v}"),
        ("a deep list", "vllm: " + "[" * 900),
        ("deeper than flow style allows", "[" * 100_000),
        ("deep without brackets", "- " * 60_000),
        ("long", "vllm:\n" + "  # nothing\n" * 100_000),
        ("as long as is allowed", "vllm:\n" + "  k: v\n" * ((MAX_CHARACTERS - 6) // 7)),
    ],
)
def test_no_file_takes_long_to_refuse(sentence: str, text: str) -> None:
    started = time.perf_counter()
    read_serving_config(text)
    # 1 s: a bound for a slow machine; what these are about takes hours, or all of the memory.
    assert time.perf_counter() - started < 1, sentence


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    read_serving_config(text)
    read_serving_config(f"vllm: {text}")
    read_serving_config(f"vllm:\n  max-model-len: {text}")


YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["max-model-len", "kv_cache_dtype", "x"]), YAML_VALUES))
def test_any_settings_can_be_read(settings: dict[str, Any]) -> None:
    for one in read_serving_config(yaml.safe_dump({"vllm": settings})).problems:
        assert one.message.isascii() or "…" in one.message
