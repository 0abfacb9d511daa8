"""Image references that two rooms must spell alike, relative to the installation's registry."""

from __future__ import annotations

from typing import Final

VLLM_CPU_IMAGE: Final = "kaito/vllm-cpu:0.32.0-1"
"""vLLM for CPUs with our runtime program; onebox builds and pushes it."""

SMOLLM2_WEIGHTS: Final = "kaito/weights/smollm2-135m-instruct:1"
"""Safetensors of SmolLM2-135M-Instruct as an OCI artifact; onebox makes and pushes it."""

PAUSE_IMAGE: Final = "kaito/pause:1"
COREDNS_IMAGE: Final = "kaito/coredns:1"
