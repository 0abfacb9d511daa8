"""A small LoRA adapter for SmolLM2-135M, as an image: something real to add to a served model.

It has learned nothing. Its numbers come from a seeded generator and are large enough that the
adapter answers otherwise than the model, which is what a rollout that adds one must show. The
image is upstream's form of an adapter: its folder /data holds the files that PEFT would write.
"""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any, Final

from onebox import places
from onebox.images.layers import Progress, key_of, pack, temporary_folder
from onebox.registry_client import RegistryClient

ADAPTER_IMAGE: Final = "kaito/adapter-smollm2-demo:1"
"""Relative to onebox's registry; `examples/inference/workspace-smollm2-adapter.yaml` names it."""

BASE_MODEL: Final = "HuggingFaceTB/SmolLM2-135M-Instruct"
RANK: Final = 4
ALPHA: Final = 8
"""PEFT multiplies what an adapter adds by alpha / rank: 2 here."""

LAYER_COUNT: Final = 30
HIDDEN_SIZE: Final = 576
TARGETS: Final = {"q_proj": 576, "v_proj": 192}
"""Adapted modules and their output features; v_proj has 3 heads of 64 (the model's config.json)."""

SEED: Final = 20261125
SCALE_A: Final = 0.04
"""About 1 / sqrt(hidden size), so that A keeps the length of what it is given."""
SCALE_B: Final = 0.05
"""PEFT starts with zeros here, which change nothing; at 0.05 answers differ and are still words
(tried with vLLM 0.32, 2026-11)."""

FOLDER: Final = "data"


def ensure(registry: RegistryClient, progress: Progress) -> str:
    """Make and push the image unless the registry has it; return its reference."""
    repository, _, tag = ADAPTER_IMAGE.rpartition(":")
    # A second tag names what the image was made from, so that a stale one is noticed.
    made_from = f"{tag}-{key_of([Path(__file__)])}"
    if registry.has_manifest(repository, tag) and registry.has_manifest(repository, made_from):
        return ADAPTER_IMAGE
    with temporary_folder(places.cache() / "images") as root:
        write(root / FOLDER)
        layer = root / "layer.tar"
        pack(root, [FOLDER], layer)
        for name in (tag, made_from):
            registry.push_image(repository, name, [layer], {})
        progress(f"pushed {ADAPTER_IMAGE}: {layer.stat().st_size / 1e6:.1f} MB")
    return ADAPTER_IMAGE


def write(folder: Path) -> None:
    """Write the adapter's two files; the same bytes on every machine."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(config(), indent=1, sort_keys=True))
    (folder / "adapter_model.safetensors").write_bytes(safetensors(shapes()))


def config() -> dict[str, Any]:
    """Return what PEFT writes beside the weights."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": BASE_MODEL,
        "r": RANK,
        "lora_alpha": ALPHA,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(TARGETS),
        "inference_mode": True,
    }


def shapes() -> dict[str, tuple[int, int]]:
    """Return each tensor's name, as PEFT spells it, with its shape (rows, columns)."""
    found: dict[str, tuple[int, int]] = {}
    for layer in range(LAYER_COUNT):
        for target, features in TARGETS.items():
            module = f"base_model.model.model.layers.{layer}.self_attn.{target}"
            found[f"{module}.lora_A.weight"] = (RANK, HIDDEN_SIZE)
            found[f"{module}.lora_B.weight"] = (features, RANK)
    return found


def safetensors(tensors: dict[str, tuple[int, int]]) -> bytes:
    """Return a file of float32 tensors: length of the header, header in JSON, numbers.

    The format is small enough to write by hand (https://github.com/huggingface/safetensors), and
    this machine has neither that package nor PyTorch.
    """
    numbers = random.Random(SEED)  # noqa: S311 - no secret; the same on every machine
    header: dict[str, Any] = {}
    content = bytearray()
    for name, (rows, columns) in tensors.items():
        scale = SCALE_A if ".lora_A." in name else SCALE_B
        count = rows * columns
        start = len(content)
        content += struct.pack(f"<{count}f", *(numbers.gauss(0.0, scale) for _ in range(count)))
        header[name] = {
            "dtype": "F32",
            "shape": [rows, columns],
            "data_offsets": [start, len(content)],
        }
    words = json.dumps(header).encode()
    # The numbers begin at a multiple of eight bytes; the format allows spaces after the JSON.
    words += b" " * (-len(words) % 8)
    return struct.pack("<Q", len(words)) + words + bytes(content)
