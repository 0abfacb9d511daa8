"""Flags of the vLLM runtime: what the plan decided, in the words of vLLM's server."""

from __future__ import annotations

from typing import Final

from api import names
from api.preset import ArgumentValue, WeightsKind
from planner.annotations import annotation_word
from planner.render.adapters import served_adapters
from planner.render.serving import Serving

PROGRAM: Final = "python3 /workspace/vllm/inference_api.py"
CONFIG_FILE: Final = f"{names.PATH_CONFIG}/inference_config.yaml"

LONGEST_THAT_FITS: Final = "auto"
"""vLLM then takes the longest context for which the GPUs have room left, up to the model's own."""

BALANCED: Final = "balanced"
"""The performance mode that vLLM has without being told."""


def arguments(serving: Serving) -> dict[str, ArgumentValue]:
    """Return the flags, without dashes, that the preset's own are laid over."""
    found: dict[str, ArgumentValue] = {
        "served-model-name": serving.preset.name,
        "trust-remote-code": serving.preset.trust_remote_code,
        "gpu-memory-utilization": f"{serving.sizing.gpu_memory_utilization:.2f}",
        # The file's settings come after all flags and win.
        "kaito-config-file": CONFIG_FILE if serving.has_config else None,
        "enable-lora": bool(served_adapters(serving)),
        "performance-mode": _performance_mode(serving),
        **_model(serving),
        **_parallelism(serving),
    }
    if not serving.has_private_image:
        # The program in an image of upstream's v0.4.5 finds the length by trying, and its vLLM
        # does not know the word.
        found["max-model-len"] = LONGEST_THAT_FITS
    return found


def _model(serving: Serving) -> dict[str, ArgumentValue]:
    if serving.weights_kind is not WeightsKind.HUGGING_FACE:
        return {"model": names.PATH_WEIGHTS}
    model = serving.preset.model
    return {
        "model": model.hugging_face_id,
        # The tokenizer and the model's own code follow it, unless they are in another repository.
        "revision": model.revision or None,
        "download-dir": names.PATH_WEIGHTS,
    }


def _parallelism(serving: Serving) -> dict[str, ArgumentValue]:
    if serving.is_emulated:
        # GPUs that do not exist share the node's CPUs: there is nothing to split over.
        return {"tensor-parallel-size": 1}
    parallelism = serving.sizing.parallelism
    found: dict[str, ArgumentValue] = {"tensor-parallel-size": parallelism.tensor}
    if parallelism.data > 1:
        found["data-parallel-size"] = parallelism.data
    if parallelism.pipeline > 1:
        found["pipeline-parallel-size"] = parallelism.pipeline
    if serving.is_multi_node:
        found["distributed-executor-backend"] = "ray"
    return found


def _performance_mode(serving: Serving) -> str | None:
    mode = annotation_word(serving.workspace, names.ANNOTATION_PERFORMANCE_MODE)
    return mode if mode != BALANCED and mode else None
