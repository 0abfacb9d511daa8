"""What the model server will be asked for: the user's file before the catalogue's arguments.

The runtime image lets settings of the file win over flags, and the catalogue's arguments win over
flags that the renderer makes; planning has to see the same values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from api.preset import Accelerator, ModelFacts, Runtime, RuntimeName
from planner.config_file import RefusedError
from planner.layout import AskedSizes
from planner.serving_config import (
    CACHE_BYTES,
    ServingConfig,
    parse_cache_dtype,
    parse_length,
    parse_share,
    parse_size,
)

DEFAULT_CONTEXT_TOKENS: Final = 2048
"""Context that nodes are planned for where nobody asks for one; upstream's. The server itself takes
all the context that fits beside the weights (`max-model-len=auto`), so more nodes are ordered only
for a length that somebody wants."""

UTILIZATION: Final = 0.84
"""Part of a GPU's memory that the server may take. Upstream v0.12's, which starts the generation of
vLLM that we start; v0.4.5 took all but 1.5 GiB, up to 0.95. The lower one, because what fits by
plan must start, and what else lies on a GPU (contexts of other processes, NCCL's buffers, graphs)
we have not measured. Users can raise it."""

UTILIZATION_BY_MODEL: Final = {"A10": 0.82}
"""Upstream v0.12 starts servers on an A10 with less, though its estimate counts 0.84 there too."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class ServingRequest:
    """The values that decide how much memory is needed."""

    context_tokens: int
    is_context_asked: bool
    """Somebody asked for this length, so less would not do."""
    cache_bytes: int
    """Bytes of one number in the cache of keys and values."""
    sizes: AskedSizes
    utilization: float | None = None
    """None where nobody asks for one."""

    @classmethod
    def of(cls, model: ModelFacts, runtime: Runtime, config: ServingConfig) -> ServingRequest:
        """Read them; the file is vLLM's alone."""
        asked = config if runtime.name is RuntimeName.VLLM else ServingConfig()
        length = asked.max_model_length or _argument(runtime, "max-model-len", parse_length)
        dtype = asked.kv_cache_dtype or _argument(runtime, "kv-cache-dtype", parse_cache_dtype)
        return cls(
            context_tokens=length or min(DEFAULT_CONTEXT_TOKENS, model.max_model_length),
            is_context_asked=length is not None,
            cache_bytes=CACHE_BYTES[dtype or "auto"],
            utilization=asked.gpu_memory_utilization
            or _argument(runtime, "gpu-memory-utilization", parse_share),
            sizes=AskedSizes(
                tensor=asked.tensor_parallel_size
                or _argument(runtime, "tensor-parallel-size", parse_size),
                pipeline=asked.pipeline_parallel_size
                or _argument(runtime, "pipeline-parallel-size", parse_size),
                data=asked.data_parallel_size
                or _argument(runtime, "data-parallel-size", parse_size),
            ),
        )

    def utilization_on(self, accelerator: Accelerator | None) -> float:
        """Return the part of a GPU's memory that the server may take on these GPUs."""
        if self.utilization is not None:
            return self.utilization
        model = accelerator.model if accelerator is not None else ""
        return UTILIZATION_BY_MODEL.get(model, UTILIZATION)


def _argument(runtime: Runtime, name: str, parse: Callable[[object], _T]) -> _T | None:
    value = runtime.arguments.get(name, runtime.arguments.get(name.replace("-", "_")))
    if value is None:
        return None
    try:
        return parse(value)
    except RefusedError:
        # The contract test of the catalogue's arguments finds such a value; planning goes on.
        return None
