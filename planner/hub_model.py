"""A model of Hugging Face becomes a preset like the catalogue's, or is refused with a reason.

Nothing of the repository is ever run: its config.json is data, and a model that only its own Python
code can load is refused. The preset names the commit, so that it stays what it was judged to be.
"""

from __future__ import annotations

import math
from typing import Final

from pydantic import ValidationError

from api.errors import UnsupportedModel
from api.hub import HubModel
from api.preset import (
    ArgumentValue,
    ModelFacts,
    Preset,
    Runtime,
    RuntimeName,
    Weights,
    WeightsKind,
)
from planner.hub_attention import HIDDEN_SIZE, attention_of
from planner.hub_config import ModelConfig, show
from planner.hub_context import max_model_length_of
from planner.hub_families import (
    BY_ARCHITECTURE,
    QUANTIZATIONS,
    WRITES_NO_TEXT,
    family_names,
    parsers_of,
)
from planner.hub_ids import DEFAULT_REVISION, is_commit, looks_like_id, same_request, split_id

__all__ = [
    "DEFAULT_REVISION",
    "is_commit",
    "looks_like_id",
    "preset_of_hub",
    "same_request",
    "split_id",
]

GIB: Final = 2**30

DISK_BESIDE_WEIGHTS_GIB: Final = 80
"""For images, logs and the node's own system: what upstream adds to the weights."""

READY_BASE_SECONDS: Final = 900
READY_SECONDS_PER_GIB: Final = 18
"""Time to download and load: 15 min and 18 s per GiB of weights, as upstream and our catalogue."""
READY_LEAST_SECONDS: Final = 1800

DTYPES: Final = frozenset({"bfloat16", "float16", "float32"})
DEFAULT_DTYPE: Final = "bfloat16"
"""What files that do not say are read as: both usual types take 2 bytes."""


def preset_of_hub(model: HubModel) -> Preset:
    """Return the preset by which the platform serves this model.

    Never raises anything else, whatever its config.json holds.

    Raises:
        UnsupportedModel: why no runtime of the platform can serve it, and what can be done.
    """
    try:
        return _preset(model)
    except UnsupportedModel as error:
        raise UnsupportedModel(f"{model.id} can't be served: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnsupportedModel(
            f"{model.id} can't be served: its {where} is out of bounds ({first['msg']})"
        ) from error


def _preset(model: HubModel) -> Preset:
    _check_files(model)
    architecture = _architecture(model)
    config = ModelConfig.of(model.config)
    max_model_length = max_model_length_of(config)
    attention = attention_of(config, max_model_length)
    quantization = _quantization(config)
    weights_gib = math.ceil(model.weights_bytes / GIB)
    ready_seconds = READY_BASE_SECONDS + READY_SECONDS_PER_GIB * weights_gib
    return Preset(
        name=model.id.casefold(),
        description=f"{model.id} from Hugging Face",
        model=ModelFacts(
            hugging_face_id=model.id,
            revision=model.commit,
            license=model.license,
            gated=model.gated,
            architecture=architecture,
            weights_bytes=model.weights_bytes,
            dtype=_dtype(config),
            quantization=quantization,
            hidden_size=config.require(*HIDDEN_SIZE),
            attention=attention,
            vocabulary_size=config.whole("vocab_size"),
            max_model_length=max_model_length,
        ),
        weights=Weights(kind=WeightsKind.HUGGING_FACE),
        runtimes=_runtimes(model, architecture, is_quantized=bool(quantization)),
        disk=f"{weights_gib + DISK_BESIDE_WEIGHTS_GIB}Gi",
        ready_deadline_seconds=max(ready_seconds, READY_LEAST_SECONDS),
    )


# --- What is refused --------------------------------------------------------------------------


def _check_files(model: HubModel) -> None:
    files = {name.casefold() for name in model.files}
    has_gguf = any(name.endswith(".gguf") for name in files)
    if not model.config:
        raise UnsupportedModel(_without_config(files, has_gguf=has_gguf))
    if model.weights_bytes <= 0:
        raise UnsupportedModel(
            "it holds GGUF files only; name the repository that they were made from"
            if has_gguf
            else "it holds no weights as .safetensors or .bin files"
        )
    brings_tokenizer = any(name.startswith("tokenization_") for name in files)
    if brings_tokenizer and not files & {"tokenizer.json", "tokenizer.model", "vocab.json"}:
        raise UnsupportedModel(
            "its tokenizer is Python code of its own, which the platform never runs; only entries "
            "of the catalogue that were looked at may bring code"
        )


def _without_config(files: set[str], *, has_gguf: bool) -> str:
    if "model_index.json" in files:
        return "it is a pipeline that makes pictures or sound; the platform serves models of text"
    if "adapter_config.json" in files:
        return "it is an adapter and no model; name its base model, and the adapter as an adapter"
    if has_gguf:
        return "it holds GGUF files only; name the repository that they were made from"
    return "it has no config.json; name a repository in the format of transformers"


def _architecture(model: HubModel) -> str:
    told = model.config.get("architectures")
    if not isinstance(told, list) or not told or not isinstance(told[0], str):
        raise UnsupportedModel(
            "its config.json names no architectures; name a repository that holds a whole model"
        )
    architecture: str = told[0]
    if architecture in BY_ARCHITECTURE:
        return architecture
    shown = show(architecture)
    if architecture.endswith(WRITES_NO_TEXT) or model.config.get("is_encoder_decoder") is True:
        raise UnsupportedModel(
            f"its architecture {shown} is no language model that goes on with a text; supported "
            f"are {family_names()}"
        )
    if model.config.get("auto_map"):
        raise UnsupportedModel(
            f"its architecture {shown} needs Python code of the repository, which the platform "
            f"never runs; supported without such code are {family_names()}"
        )
    raise UnsupportedModel(
        f"its architecture {shown} is not supported; supported are {family_names()}"
    )


# --- What is read -----------------------------------------------------------------------------


def _quantization(config: ModelConfig) -> str:
    told = config.mapping("quantization_config")
    if not told:
        return ""
    method = told.get("quant_method")
    known = method.casefold() if isinstance(method, str) else ""
    if known not in QUANTIZATIONS:
        raise UnsupportedModel(
            f"its config.json says quantization_config.quant_method is {show(method)}; supported "
            f"are {', '.join(sorted(QUANTIZATIONS))}"
        )
    return known


def _dtype(config: ModelConfig) -> str:
    told = config.word("dtype", "torch_dtype").removeprefix("torch.")
    if not told:
        return DEFAULT_DTYPE
    if told not in DTYPES:
        raise UnsupportedModel(
            f"its config.json says dtype is {show(told)}; supported are {', '.join(sorted(DTYPES))}"
        )
    return told


def _runtimes(model: HubModel, architecture: str, *, is_quantized: bool) -> tuple[Runtime, ...]:
    family = BY_ARCHITECTURE[architecture]
    parsers = parsers_of(architecture, model.id)
    arguments: dict[str, ArgumentValue] = dict(family.arguments)
    if parsers.tool:
        arguments |= {"enable-auto-tool-choice": True, "tool-call-parser": parsers.tool}
    if parsers.reasoning:
        arguments["reasoning-parser"] = parsers.reasoning
    vllm = Runtime(name=RuntimeName.VLLM, arguments=arguments)
    takes_pictures = architecture.endswith("ForConditionalGeneration")
    if takes_pictures or is_quantized or not family.has_transformers:
        return (vllm,)
    # The type that the weights are stored in; without the flag the runtime would take float32.
    transformers = Runtime(name=RuntimeName.TRANSFORMERS, arguments={"torch_dtype": "auto"})
    return (vllm, transformers)
