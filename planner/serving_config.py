"""What of a user's `inference_config.yaml` the planner has to know.

The file is the model server's; only what decides how much memory is needed is read here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import yaml

from planner import config_file
from planner.config_file import RefusedError, shown

SECTION: Final = "vllm"
KNOWN_SECTIONS: Final = (SECTION, "max_probe_steps", "kv_cache_cpu_memory_utilization")
"""Top-level keys of upstream's files. The runtime image refuses others: its pods would crash."""

MAX_SIZE: Final = 10**12
"""Largest number that is still a number of tokens or of GPUs, and not a slip."""

CACHE_BYTES: Final = {
    "auto": 2,
    "float16": 2,
    "bfloat16": 2,
    "fp8": 1,
    "fp8_e4m3": 1,
    "fp8_e5m2": 1,
    "fp8_inc": 1,
    "fp8_ds_mla": 1,
    "nvfp4_ds_mla": 1,
    "turboquant_k8v4": 1,
    "turboquant_4bit_nc": 1,
    "turboquant_k3v4_nc": 1,
    "turboquant_3bit_nc": 1,
    "ultraquant_4bit": 1,
    "int4_per_token_head": 1,
    "int8_per_token_head": 1,
    "fp8_per_token_head": 1,
    "nvfp4": 1,
    "nvfp4_4over6": 1,
}
"""Values of `kv-cache-dtype` in vLLM 0.32 (vllm/config/cache.py), and bytes of one number in each.
Types of less than 8 bits carry scales beside their numbers and count a whole byte, to be safe.
`auto` is the type that the model computes in, which has 2 bytes in every model of the catalogue."""

_LENGTH: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([kmgt])|([0-9]{1,12})([KMGT])")
_WHOLE: Final = re.compile(r"[0-9]{1,15}")
_MULTIPLIERS: Final = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12} | {
    "K": 2**10,
    "M": 2**20,
    "G": 2**30,
    "T": 2**40,
}
"""vLLM's (vllm/utils/argparse_utils.py): 32k is 32000 tokens, 32K is 32768."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class ConfigProblem:
    """One thing in the file that can't be used."""

    key: str
    """Path in the file: `vllm.max-model-len`; empty for the file as a whole."""
    message: str
    remedy: str


@dataclass(frozen=True)
class ServingConfig:
    """None means that the file does not say, or leaves it to the model server."""

    max_model_length: int | None = None
    gpu_memory_utilization: float | None = None
    kv_cache_dtype: str | None = None
    tensor_parallel_size: int | None = None
    pipeline_parallel_size: int | None = None
    data_parallel_size: int | None = None
    problems: tuple[ConfigProblem, ...] = ()


def read_serving_config(text: str | None) -> ServingConfig:
    """Read the file's text; None, an absent file, says nothing. Never raises."""
    problems: list[ConfigProblem] = []
    section = _section(text or "", problems)

    def read(name: str, parse: Callable[[object], _T]) -> _T | None:
        if section is None:
            return None
        node = config_file.find(section, name, name.replace("-", "_"), f"--{name}")
        if node is None:
            return None
        try:
            return parse(config_file.value_of(node))
        except RefusedError as refused:
            problems.append(ConfigProblem(f"{SECTION}.{name}", refused.message, refused.remedy))
            return None

    return ServingConfig(
        max_model_length=read("max-model-len", parse_length),
        gpu_memory_utilization=read("gpu-memory-utilization", parse_share),
        kv_cache_dtype=read("kv-cache-dtype", parse_cache_dtype),
        tensor_parallel_size=read("tensor-parallel-size", parse_size),
        pipeline_parallel_size=read("pipeline-parallel-size", parse_size),
        data_parallel_size=read("data-parallel-size", parse_size),
        problems=tuple(problems),
    )


def _section(text: str, problems: list[ConfigProblem]) -> yaml.MappingNode | None:
    """Return the map `vllm`; what is wrong up to there becomes a problem."""
    try:
        root = config_file.compose(text)
    except RefusedError as refused:
        problems.append(ConfigProblem("", refused.message, refused.remedy))
        return None
    if root is None:
        return None
    if not isinstance(root, yaml.MappingNode):
        message = f"the file holds {config_file.kind(root)}"
        problems.append(ConfigProblem("", message, f"put settings below the key `{SECTION}`"))
        return None
    unknown = [key for key in config_file.keys(root) if key not in KNOWN_SECTIONS]
    if unknown:
        # The first will do: a file of another kind has nothing but unknown ones.
        message = f"the model server knows no section {shown(unknown[0])}"
        problems.append(ConfigProblem("", message, f"put its settings below the key `{SECTION}`"))
    section = config_file.find(root, SECTION)
    if section is None or config_file.is_null(section):
        return None
    if not isinstance(section, yaml.MappingNode):
        message = f"it holds {config_file.kind(section)}"
        problems.append(ConfigProblem(SECTION, message, "write `key: value` lines below it"))
        return None
    return section


# --- Values, of the file or of the catalogue's arguments ------------------------------------------


def parse_length(value: object) -> int | None:
    """Return a number of tokens, or None for `auto`.

    Raises:
        RefusedError: vLLM would not take it.
    """
    text = _text(value)
    if text == "-1" or text.lower() == "auto":
        return None
    length = int(text) if _WHOLE.fullmatch(text) else 0
    if match := _LENGTH.fullmatch(text):
        number, multiplier = match[1] or match[3], _MULTIPLIERS[match[2] or match[4]]
        length = int(float(number) * multiplier)
    if not 0 < length <= MAX_SIZE:
        raise RefusedError(
            f"{shown(value)} is no length",
            "give a whole number of tokens, such as 8192 or 32K, or auto",
        )
    return length


def parse_size(value: object) -> int:
    """Return how many GPUs, or groups of them.

    Raises:
        RefusedError: vLLM would not take it.
    """
    text = _text(value)
    size = int(text) if _WHOLE.fullmatch(text) else 0
    if not 1 <= size <= MAX_SIZE:
        raise RefusedError(f"{shown(value)} is no number of GPUs", "give a whole number, 1 or more")
    return size


def parse_share(value: object) -> float:
    """Return a part of the whole, above 0 and up to 1.

    Raises:
        RefusedError: vLLM would not take it.
    """
    try:
        share = float(_text(value))
    except ValueError:
        share = math.nan
    if not 0 < share <= 1:
        raise RefusedError(
            f"{shown(value)} is no part of a GPU's memory",
            "give a number above 0 and up to 1, such as 0.9",
        )
    return share


def parse_cache_dtype(value: object) -> str:
    """Return the type's name.

    Raises:
        RefusedError: vLLM would not take it.
    """
    if not isinstance(value, str) or value not in CACHE_BYTES:
        raise RefusedError(
            f"{shown(value)} is no type that vLLM can cache in",
            f"choose one of {', '.join(CACHE_BYTES)}",
        )
    return value


def _text(value: object) -> str:
    """Return the value as it stands on a command line; True and False are no numbers there."""
    is_plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    return str(value).strip() if is_plain else ""
