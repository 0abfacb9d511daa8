"""Flags of the transformers runtime, which one process serves on all GPUs of a node."""

from __future__ import annotations

from typing import Final

from api import names
from api.preset import ArgumentValue, WeightsKind
from planner.render.serving import Serving

PROGRAM: Final = (
    "accelerate launch --num_processes=1 --num_machines=1 --machine_rank=0 --gpu_ids=all "
    "/workspace/tfs/inference_api.py"
)
"""Upstream's launcher and its settings: the program itself lays the model over the GPUs."""


def arguments(serving: Serving) -> dict[str, ArgumentValue]:
    """Return the flags, without dashes, that the preset's own are laid over."""
    found: dict[str, ArgumentValue] = {
        "pipeline": "text-generation",
        "torch_dtype": "auto",
        "trust_remote_code": serving.preset.trust_remote_code,
        **_model(serving),
    }
    if not serving.has_private_image:
        # The program of upstream's v0.4.5 takes it for an argument of the model's class.
        found["served_model_name"] = serving.preset.name
    return found


def _model(serving: Serving) -> dict[str, ArgumentValue]:
    if serving.weights_kind is not WeightsKind.HUGGING_FACE:
        return {"pretrained_model_name_or_path": names.PATH_WEIGHTS}
    model = serving.preset.model
    return {
        "pretrained_model_name_or_path": model.hugging_face_id,
        "revision": model.revision or None,
        "allow_remote_files": True,
    }
