"""How a model is laid over GPUs: how many nodes, how it is split, what their memory is spent on.

Of each GPU, the model server may take a part (`gpu-memory-utilization`). Into that must fit

    weights     bytes of the files · 1.02 · 1.05 / GPUs of one instance
    cache       keys and values of one sequence of the planned length (`planner.kv_cache`)
    overhead    2.3 GiB that the server needs for itself

The least number of nodes is taken on which some layout (`planner.layout`) fits. The factors are
upstream's (facts, control plane B6.2); docs/estimator.md compares the results with upstream's.

Deterministic in its arguments, so that a plan and the manifests made from it agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from api.payloads import MemoryBudget, Parallelism
from api.preset import Accelerator, AcceleratorVendor, Preset, Runtime, RuntimeName
from planner import sizing_words as words
from planner.kv_cache import CacheShape, cache_shape
from planner.layout import Layout, layer_count, layouts
from planner.serving_config import ServingConfig
from planner.serving_request import ServingRequest

WEIGHTS_FACTOR: Final = 1.02
"""Loaded weights over their files: padding, and what is made from them. Upstream's."""

UNEVENNESS_FACTOR: Final = 1.05
"""The fullest GPU over the average one: embeddings, rests of divisions. Upstream's."""

OVERHEAD_BYTES: Final = int(2.3 * 2**30)
"""2.3 GiB: CUDA context, activations, graphs. Upstream's; a guess for servers that are not vLLM."""

SHORT_CONTEXT_TOKENS: Final = 8192
"""Below this a warning says how little context is left: a guess at what a chat with a document
needs."""


@dataclass(frozen=True)
class Sizing:
    """One way that fits."""

    gpus_per_pod: int
    """GPUs that each pod asks for; a pod has a node of its own."""
    nodes_per_instance: int
    """Pods, and so nodes, that one instance of the model spans; 1 unless it is too large."""
    parallelism: Parallelism
    """`pipeline` counts all groups of layers: each node holds `pipeline / nodes_per_instance`."""
    gpu_memory_utilization: float
    """Part of each GPU's memory that the model server may take."""
    budget: MemoryBudget | None
    """None where nobody knows the accelerators' memory: the sizing is then a guess."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class DoesNotFit:
    """Why there is no way."""

    message: str
    """What is too small for what, with numbers."""
    remedy: str
    is_of_settings: bool = False
    """Settings of `inference.config` stand in the way, whatever nodes there are."""


def size_serving(
    preset: Preset,
    runtime: Runtime,
    accelerator: Accelerator | None,
    config: ServingConfig,
    *,
    max_nodes: int = 8,
) -> Sizing | DoesNotFit:
    """Return how one instance of the model is laid over nodes with these accelerators.

    Args:
        preset: The model.
        runtime: The server that is to serve it.
        accelerator: Those of one node, after partitioning; None where nobody knows them.
        config: What the user asks of the server (`inference.config`).
        max_nodes: Most nodes that one instance may span (`PlatformSettings`).
    """
    if accelerator is None:
        return _guess(preset, runtime, config)
    case = _Case.of(preset, runtime, accelerator, config)
    refusals = words.size_refusals(preset, runtime, case.accelerator, case.request.sizes)
    refusal = next(refusals, None)
    if refusal is not None:
        return DoesNotFit(*refusal, is_of_settings=True)
    layout = next(filter(case.fits, case.layouts()), None)
    if layout is None:
        return DoesNotFit(*case.why_not())
    if layout.nodes > max_nodes:
        sizes = case.request.sizes
        return DoesNotFit(
            *words.too_many_nodes(preset, case.accelerator, layout.nodes, max_nodes, sizes)
        )
    return case.sizing(layout)


def size_anyway(
    preset: Preset, runtime: Runtime, accelerator: Accelerator | None, config: ServingConfig
) -> Sizing:
    """Return the roomiest layout on one node, whether it fits or not: the user knows better."""
    if accelerator is None:
        return _guess(preset, runtime, config)
    case = _Case.of(preset, runtime, accelerator, config)
    sizes = case.request.sizes
    as_asked = Layout(sizes.tensor or 1, sizes.pipeline or 1, 1, sizes.data or 1)
    on_one_node = [layout for layout in case.layouts() if layout.nodes == 1]
    return case.sizing(max(on_one_node, key=lambda one: case.budget(one).free, default=as_asked))


def _guess(preset: Preset, runtime: Runtime, config: ServingConfig) -> Sizing:
    request = ServingRequest.of(preset.model, runtime, config)
    sizes = request.sizes
    layout = Layout(sizes.tensor or 1, sizes.pipeline or 1, 1, sizes.data or 1)
    return Sizing(
        gpus_per_pod=layout.gpus_per_node,
        nodes_per_instance=1,
        parallelism=layout.parallelism,
        gpu_memory_utilization=request.utilization_on(None),
        budget=None,
        warnings=(words.guessed(layout.gpus_per_node),),
    )


@dataclass(frozen=True)
class _Case:
    """One model on one kind of node."""

    preset: Preset
    runtime: Runtime
    accelerator: Accelerator
    """As the model server sees them: emulated ones are one device."""
    request: ServingRequest
    device_count: int
    """GPUs that a node shows to Kubernetes."""

    @classmethod
    def of(
        cls, preset: Preset, runtime: Runtime, accelerator: Accelerator, config: ServingConfig
    ) -> _Case:
        request = ServingRequest.of(preset.model, runtime, config)
        seen = accelerator
        if accelerator.vendor is AcceleratorVendor.EMULATED:
            # They stand for shares of one machine: its CPUs and memory are the only device.
            memory = accelerator.memory * accelerator.count
            seen = accelerator.model_copy(update={"count": 1, "memory": memory})
        return cls(preset, runtime, seen, request, accelerator.count)

    @property
    def spans_nodes(self) -> bool:
        return self.runtime.name is not RuntimeName.TRANSFORMERS

    def layouts(self) -> Iterator[Layout]:
        """Yield every layout, fewest nodes first."""
        if not self.spans_nodes:
            # It deals layers out to all GPUs of its node (`device_map`) and computes one by one.
            yield Layout(stages=self.accelerator.count)
            return
        model, sizes = self.preset.model, self.request.sizes
        # A group needs a layer, so there are no more nodes than layers.
        for nodes in range(1, layer_count(model) + 1):
            yield from layouts(model, self.runtime, self.accelerator, sizes, nodes)

    def budget(self, layout: Layout) -> MemoryBudget:
        """Return what the memory of the fullest GPU is spent on."""
        weights_bytes = self.preset.model.weights_bytes / (layout.tensor * layout.pipeline)
        whole = self._cache(layout.tensor, 1)
        return MemoryBudget(
            total=self.accelerator.memory,
            usable=int(self.accelerator.memory * self.request.utilization_on(self.accelerator)),
            weights=math.ceil(weights_bytes * WEIGHTS_FACTOR * UNEVENNESS_FACTOR),
            kv_cache=self._cache(layout.tensor, layout.pipeline).bytes_of(
                self.request.context_tokens
            ),
            overhead=OVERHEAD_BYTES,
            kv_cache_bytes_per_token=whole.bytes_per_token * layout.tensor,
            context_tokens=self.request.context_tokens,
        )

    def fits(self, layout: Layout) -> bool:
        return self.budget(layout).free >= 0

    def sizing(self, layout: Layout) -> Sizing:
        budget = self.budget(layout)
        is_emulated = self.accelerator.vendor is AcceleratorVendor.EMULATED
        return Sizing(
            # All of a machine that only pretends to have some: pods would share its CPUs.
            gpus_per_pod=self.device_count if is_emulated else layout.gpus_per_node,
            nodes_per_instance=layout.nodes,
            parallelism=layout.parallelism if self.spans_nodes else Parallelism(),
            gpu_memory_utilization=self.request.utilization_on(self.accelerator),
            budget=budget,
            warnings=tuple(self._warnings(layout, budget)),
        )

    def why_not(self) -> words.Refusal:
        """Return why no layout fits."""
        finest = max(self.layouts(), key=lambda one: self.budget(one).free, default=None)
        if finest is None:
            return words.no_layout(self.preset, self.accelerator, self.request.sizes)
        budget = self.budget(finest)
        if budget.kv_cache + budget.overhead >= budget.usable:
            return words.too_small_gpus(
                self.accelerator, budget, is_context_asked=self.request.is_context_asked
            )
        if not self.spans_nodes:
            return words.too_large_for_a_node(self.preset, self.runtime, self.accelerator, budget)
        return words.no_layout(self.preset, self.accelerator, self.request.sizes)

    def _cache(self, tensor: int, pipeline: int) -> CacheShape:
        attention = self.preset.model.attention
        return cache_shape(attention, self.request.cache_bytes, tensor=tensor, pipeline=pipeline)

    def _warnings(self, layout: Layout, budget: MemoryBudget) -> Iterator[str]:
        model, request = self.preset.model, self.request
        if request.context_tokens > model.max_model_length:
            yield (
                f"max-model-len {request.context_tokens} is more than the {model.max_model_length} "
                f"tokens that {self.preset.name} was made for"
            )
        cache = self._cache(layout.tensor, layout.pipeline)
        tokens = cache.tokens_in(budget.free + budget.kv_cache)
        wanted = min(model.max_model_length, SHORT_CONTEXT_TOKENS)
        is_short = tokens is not None and 0 < tokens < wanted
        if is_short and not request.is_context_asked:
            yield (
                f"beside its weights there is room for about {tokens} tokens of context; "
                f"{self.preset.name} was made for {model.max_model_length}"
            )
        idle_count = self.accelerator.count - layout.gpus_per_node
        if idle_count > 0 and self.spans_nodes:
            yield (
                f"{idle_count} of the node's {self.accelerator.count} GPUs stay unused: "
                f"{self.preset.name} can't be spread over all of them"
                if request.sizes.is_open
                else f"{idle_count} of the node's {self.accelerator.count} GPUs stay unused, as "
                "the parallel sizes are given"
            )
