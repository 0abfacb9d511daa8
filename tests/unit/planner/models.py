"""Models and GPUs for tests of sizing: real shapes, and nothing of the catalogue."""

from __future__ import annotations

from typing import Any

from api.preset import Accelerator, AcceleratorVendor, Preset
from tests import gen

GIB = 2**30


def model(weights_gib: float, **attention: Any) -> Preset:
    """Return a model of so many GiB, by default with heads that any even number divides."""
    shape = {"layers": 48, "heads": 64, "keyValueHeads": 8, "headDimension": 128, **attention}
    return gen.gpu_preset(
        model={
            "weightsBytes": int(weights_gib * GIB),
            "hiddenSize": 8192,
            "vocabularySize": None,
            "maxModelLength": 131072,
            "attention": shape,
        }
    )


def phi_4() -> Preset:
    """Return a model with 40 heads and 10 key-value heads, which 4 and 8 do not divide."""
    return model(27.3, layers=40, heads=40, keyValueHeads=10)


def gpus(count: int, memory_gib: float, name: str = "test") -> Accelerator:
    """Return the accelerators of a node."""
    return Accelerator(
        vendor=AcceleratorVendor.NVIDIA, model=name, count=count, memory=int(memory_gib * GIB)
    )
