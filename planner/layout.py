"""The ways in which one instance of a model can be spread over GPUs, the best first.

    tensor     every layer is cut into this many parts, one a GPU: fastest, needs heads that divide
    stages     groups of layers inside a node, one after the other: for what tensor can't divide
    nodes      groups of layers on nodes of their own: for what one node can't hold
    data       whole copies side by side in a node: for what is small

A smaller number of nodes is always better. On one node, whole copies are better where the weights
fit into half a GPU (upstream's rule); else fewest stages, then most GPUs in use, then the widest
cut. What the user asks for explicitly is not varied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from api.payloads import Parallelism
from api.preset import Accelerator, ModelFacts, Runtime

VOCABULARY_PADDING: Final = 64
"""vLLM pads the vocabulary to a multiple of this before it cuts it
(vllm/model_executor/layers/vocab_parallel_embedding.py)."""

COPIES_FIT_TWICE: Final = 2
"""Weights below 1/2 of a GPU are copied to each GPU instead of cut (upstream v0.12)."""


@dataclass(frozen=True)
class Layout:
    """One way to spread an instance, or its copies on one node."""

    tensor: int = 1
    stages: int = 1
    """Groups of layers in one node."""
    nodes: int = 1
    data: int = 1

    @property
    def gpus_per_node(self) -> int:
        """Return how many GPUs each node gives."""
        return self.tensor * self.stages * self.data

    @property
    def pipeline(self) -> int:
        """Return how many groups of layers there are in all."""
        return self.stages * self.nodes

    @property
    def parallelism(self) -> Parallelism:
        """Return the sizes as the model server is told them."""
        return Parallelism(tensor=self.tensor, pipeline=self.pipeline, data=self.data)


@dataclass(frozen=True)
class AskedSizes:
    """Sizes that the user or the catalogue fixes; None leaves them open."""

    tensor: int | None = None
    pipeline: int | None = None
    data: int | None = None

    @property
    def is_open(self) -> bool:
        """Return whether nothing is fixed."""
        return (self.tensor, self.pipeline, self.data) == (None, None, None)


def tensor_sizes(model: ModelFacts, runtime: Runtime, most: int) -> list[int]:
    """Return the numbers of GPUs, up to `most`, that the model's layers can be cut for."""
    if not runtime.tensor_parallel:
        return [1]
    # Every part needs a head; a user may ask for a billion GPUs.
    most = min(most, model.attention.heads)
    return [size for size in range(1, most + 1) if can_cut(model, size)]


def can_cut(model: ModelFacts, size: int) -> bool:
    """Return whether every part of a layer can be cut into `size` equal parts.

    Key-value heads are either dealt out evenly or copied evenly. A model with latent attention has
    none to deal out. What else is cut (the feed-forward layers) has widths that the catalogue does
    not know; the hidden size stands for them, as they are nearly always multiples of the same
    powers of two.
    """
    attention = model.attention
    if attention.heads % size or model.hidden_size % size:
        return False
    kv_heads = attention.key_value_heads
    if attention.latent is None and kv_heads % size and size % kv_heads:
        return False
    if model.vocabulary_size is None:
        return VOCABULARY_PADDING % size == 0
    padded = -(-model.vocabulary_size // VOCABULARY_PADDING) * VOCABULARY_PADDING
    return padded % size == 0


def layer_count(model: ModelFacts) -> int:
    """Return how many layers can be dealt out to groups."""
    recurrent = model.attention.recurrent
    return model.attention.layers + (recurrent.layers if recurrent is not None else 0)


def layouts(
    model: ModelFacts, runtime: Runtime, accelerator: Accelerator, asked: AskedSizes, nodes: int
) -> Iterator[Layout]:
    """Yield every layout over this many nodes, the best first; whether it fits is not judged."""
    gpus = accelerator.count
    if nodes > 1 and (asked.data or 1) > 1:
        return  # copies that each span nodes would be started and found in ways of their own
    sizes = [asked.tensor] if asked.tensor else tensor_sizes(model, runtime, gpus)
    found = [
        Layout(tensor, stages, nodes, _copies(asked, nodes, gpus // (tensor * stages)))
        for tensor in sizes
        for stages in range(1, min(gpus // tensor, layer_count(model) // nodes) + 1)
        if not asked.pipeline or stages * nodes == asked.pipeline
    ]
    is_small = COPIES_FIT_TWICE * model.weights_bytes < accelerator.memory
    copies_first = nodes == 1 and asked.is_open and is_small
    yield from sorted(
        (one for one in found if one.gpus_per_node <= gpus),
        key=lambda one: (
            one.stages,
            one.tensor if copies_first else 0,
            -one.gpus_per_node,
            -one.tensor,
        ),
    )


def _copies(asked: AskedSizes, nodes: int, room: int) -> int:
    if asked.data is not None:
        return asked.data
    # Whoever fixes one size means the others to be as the model server has them: 1.
    return room if nodes == 1 and asked.is_open else 1
