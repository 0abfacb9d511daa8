"""What each layer of a model is, by its config.json: full attention, a window, or a recurrence."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from api.errors import UnsupportedModel
from planner.hub_config import ModelConfig

MAX_LAYERS: Final = 4096
"""The deepest models have some hundred; more is a mistake, and would cost us a list of its size."""


class LayerKind(StrEnum):
    """What of a layer is kept for each sequence."""

    FULL = "full"
    """Keys and values of every token."""
    SLIDING = "sliding"
    """Those of the last tokens."""
    CHUNKED = "chunked"
    """Those of the chunk that a token is in."""
    RECURRENT = "recurrent"
    """A state of fixed size."""
    BOTH = "both"
    """Keys and values, and a state beside them."""
    OTHER = "other"
    """Nothing: a feed-forward layer that is counted as a layer of its own."""


_WORDS: Final = {
    "full_attention": LayerKind.FULL,
    "attention": LayerKind.FULL,
    "global_attention": LayerKind.FULL,
    "global": LayerKind.FULL,
    "full": LayerKind.FULL,
    "*": LayerKind.FULL,
    "sliding_attention": LayerKind.SLIDING,
    "local_attention": LayerKind.SLIDING,
    "sliding": LayerKind.SLIDING,
    "local": LayerKind.SLIDING,
    "chunked_attention": LayerKind.CHUNKED,
    "linear_attention": LayerKind.RECURRENT,
    "mamba": LayerKind.RECURRENT,
    "mamba2": LayerKind.RECURRENT,
    "m": LayerKind.RECURRENT,
    "conv": LayerKind.RECURRENT,
    "recurrent": LayerKind.RECURRENT,
    "hybrid": LayerKind.BOTH,
    "mlp": LayerKind.OTHER,
    "moe": LayerKind.OTHER,
    "-": LayerKind.OTHER,
    "e": LayerKind.OTHER,
}
"""Words of `layer_types`, `layers_block_type` and the letters of `hybrid_override_pattern`. A word
that is not here counts as full attention, which needs the most memory."""

_ALTERNATING: Final = frozenset({"gemma2"})
"""Types whose every second layer has the window, which their older files do not say."""

_EVERY_SIXTH_FULL: Final = frozenset({"gemma3", "gemma3_text"})
"""Types of which one layer in six sees everything, which is the default of a key."""

_ALL_BOTH: Final = frozenset({"falcon_h1"})

_PATTERN_OF: Final = {"cohere2": 4}


def layer_kinds(config: ModelConfig, layers: int) -> list[LayerKind]:
    """Return one kind a layer; `layers` is the number that the file gives.

    Raises:
        UnsupportedModel: the number is absurd, or the file's list is of another length.
    """
    if layers > MAX_LAYERS:
        raise UnsupportedModel(f"its config.json says that it has {layers} layers")
    told = _told(config, layers)
    if told is None:
        return _windowed(config, layers)
    if LayerKind.SLIDING in told and not _window(config):
        # Types of layers without a window: they see everything.
        return [LayerKind.FULL if kind is LayerKind.SLIDING else kind for kind in told]
    return told


def _told(config: ModelConfig, layers: int) -> list[LayerKind] | None:
    """Return what the file lists layer by layer, in any of the ways that are in use."""
    if config.model_type in _ALL_BOTH:
        return [LayerKind.BOTH] * layers
    words = config.words("layer_types", "layers_block_type")
    pattern = config.value("hybrid_override_pattern")
    if words is None and isinstance(pattern, str) and pattern:
        words = list(pattern.casefold())
    if words is not None:
        if len(words) != layers:
            raise UnsupportedModel(
                f"its config.json lists {len(words)} types of layers for {layers} layers"
            )
        return [_WORDS.get(word, LayerKind.FULL) for word in words]
    for with_attention in (_listed(config), _periodic(config, layers)):
        if with_attention is not None:
            return [
                LayerKind.FULL if index in with_attention else LayerKind.RECURRENT
                for index in range(layers)
            ]
    return None


def _listed(config: ModelConfig) -> set[int] | None:
    """Return the layers with attention where the file lists their indices."""
    for name in ("attn_layer_indices", "full_attn_idxs"):
        value = config.value(name)
        if isinstance(value, list):
            return {one for one in value if _is_index(one)}
    kinds = config.value("attn_type_list")
    if isinstance(kinds, list):
        return {index for index, kind in enumerate(kinds) if kind == 1}
    return None


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_LAYERS


def _periodic(config: ModelConfig, layers: int) -> set[int] | None:
    """Return the layers with attention where the file gives a period."""
    every = config.whole("full_attention_interval")
    if every is not None:
        return set(range(every - 1, layers, every))
    every = config.whole("attn_layer_period")
    if every is not None:
        offset = config.value("attn_layer_offset")
        return set(range(offset if _is_index(offset) else 0, layers, every))
    return None


def _windowed(config: ModelConfig, layers: int) -> list[LayerKind]:
    """Return the kinds of a model without a list: all full, unless a window is in use."""
    if not _window(config):
        return [LayerKind.FULL] * layers
    every = _full_every(config)
    if every is not None:
        return [
            LayerKind.SLIDING if (index + 1) % every else LayerKind.FULL for index in range(layers)
        ]
    first = config.value("max_window_layers")
    if config.flag("use_sliding_window") and _is_index(first):
        return [LayerKind.FULL if index < first else LayerKind.SLIDING for index in range(layers)]
    return [LayerKind.SLIDING] * layers


def _full_every(config: ModelConfig) -> int | None:
    """Return n where every n-th layer sees everything."""
    if config.model_type in _ALTERNATING:
        return 2
    pattern = config.value("sliding_window_pattern")
    if isinstance(pattern, str) and pattern:
        return len(pattern)  # EXAONE writes LLLG.
    if pattern is not None:
        return config.whole("sliding_window_pattern")
    if config.model_type in _EVERY_SIXTH_FULL:
        return 6
    return _PATTERN_OF.get(config.model_type)


def _window(config: ModelConfig) -> bool:
    """Whether a window is in use at all."""
    if config.flag("use_sliding_window") is False:
        return False
    return bool(config.value("sliding_window", "sliding_window_size"))
