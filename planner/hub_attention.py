"""The attention of a model by its config.json: what the size of its KV cache follows from.

Keys differ between families and ages; each list of keys here begins with the one that transformers
uses today. Where a file leaves a choice, the reading that needs more memory is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.errors import UnsupportedModel
from api.preset import Attention, LatentAttention, RecurrentLayers, SlidingWindow
from planner.hub_config import ModelConfig, positive
from planner.hub_layers import LayerKind, layer_kinds

_LAYERS: Final = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")
_HEADS: Final = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_KEY_VALUE_HEADS: Final = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "num_query_groups")
HIDDEN_SIZE: Final = ("hidden_size", "n_embd", "d_model", "model_dim")

_ONE_VECTOR: Final = "deepseek_v4"
"""Keys and values are one vector of `head_dim` there, the rotated part in it."""

_STATE_BYTES: Final = 4
"""Bytes of one value of a recurrent state: float32 is what vLLM takes for most models."""
_TAIL_BYTES: Final = 2
"""Bytes of one input that the convolution keeps, in the model's own type."""

_OLD_FALCONS: Final = frozenset({"falcon", "refinedweb", "refinedwebmodel"})
"""Types whose number of key-value heads counts only with `new_decoder_architecture`."""


def attention_of(config: ModelConfig, max_model_length: int) -> Attention:
    """Return the shape of the model's attention.

    Args:
        config: Its config.json.
        max_model_length: Tokens of context; a window that is no shorter is none.

    Raises:
        UnsupportedModel: a key is missing or odd, or no layer has attention.
    """
    layers = config.require(*_LAYERS)
    kinds = layer_kinds(config, layers)
    with_attention = sum(kind not in {LayerKind.OTHER, LayerKind.RECURRENT} for kind in kinds)
    if with_attention <= 0:
        raise UnsupportedModel("by its config.json none of its layers has attention")
    heads = config.require(*_HEADS)
    latent = _latent(config)
    key_value_heads, head_dimension = _heads(config, heads, is_latent=latent is not None)
    return Attention(
        layers=with_attention,
        heads=heads,
        key_value_heads=key_value_heads,
        head_dimension=head_dimension,
        latent=latent,
        sliding=_sliding(config, kinds, max_model_length) if latent is None else None,
        recurrent=_recurrent(config, kinds),
    )


def _heads(config: ModelConfig, heads: int, *, is_latent: bool) -> tuple[int, int]:
    """Return the key-value heads of a layer and the dimension of one."""
    if is_latent:
        # Nothing of it is cached; the number of heads is what tensor parallelism splits.
        nope = config.whole("qk_nope_head_dim") or 0
        rope = config.whole("qk_rope_head_dim") or 0
        return heads, nope + rope or config.whole("head_dim") or 1
    head_dimension = _head_dimension(config, heads)
    key_value_heads = _key_value_heads(config, heads)
    wide = config.whole("global_head_dim")
    if wide is None:
        return key_value_heads, head_dimension
    # Layers that see everything have heads of their own there (Gemma 4), and they are the ones
    # whose cache grows with the context.
    wide_heads = config.whole("num_global_key_value_heads") or key_value_heads
    _check_key_value_heads("num_global_key_value_heads", wide_heads, heads)
    return max(
        (key_value_heads, head_dimension), (wide_heads, wide), key=lambda pair: pair[0] * pair[1]
    )


def _head_dimension(config: ModelConfig, heads: int) -> int:
    told = config.whole("head_dim", "attention_head_dim", "kv_channels")
    if told is not None:
        return told
    hidden = config.require(*HIDDEN_SIZE)
    if hidden < heads:
        raise UnsupportedModel(
            f"its config.json says hidden_size is {hidden} for {heads} attention heads, without "
            "a head_dim"
        )
    return hidden // heads


def _key_value_heads(config: ModelConfig, heads: int) -> int:
    if config.model_type in _OLD_FALCONS and not config.flag("new_decoder_architecture"):
        # The file's number means nothing there: it has one head, or as many as queries have.
        return 1 if config.flag("multi_query") is not False else heads
    nested = config.mapping("attn_config").get("kv_n_heads")
    told = config.whole(*_KEY_VALUE_HEADS)
    if told is None and nested is not None:
        told = positive(nested, "attn_config.kv_n_heads")
    if told is None:
        return 1 if config.flag("multi_query") else heads
    _check_key_value_heads("num_key_value_heads", told, heads)
    return told


def _check_key_value_heads(name: str, told: int, heads: int) -> None:
    if told > heads:
        raise UnsupportedModel(f"its config.json says {name} is {told} for {heads} attention heads")


def _latent(config: ModelConfig) -> LatentAttention | None:
    rank = config.whole("kv_lora_rank")
    rope = config.whole("qk_rope_head_dim") or 0
    if rank is None and config.model_type == _ONE_VECTOR:
        rank = config.require("head_dim") - rope
    return LatentAttention(rank=rank, rope_dimension=rope) if rank and rank > 0 else None


def _sliding(
    config: ModelConfig, kinds: list[LayerKind], max_model_length: int
) -> SlidingWindow | None:
    for kind, names in (
        (LayerKind.SLIDING, ("sliding_window", "sliding_window_size")),
        (LayerKind.CHUNKED, ("attention_chunk_size",)),
    ):
        layers = sum(one is kind for one in kinds)
        tokens = config.whole(*names) if layers else None
        if tokens is not None and tokens < max_model_length:
            return SlidingWindow(layers=layers, tokens=tokens)
    return None


def _recurrent(config: ModelConfig, kinds: list[LayerKind]) -> RecurrentLayers | None:
    layers = sum(kind in {LayerKind.RECURRENT, LayerKind.BOTH} for kind in kinds)
    if not layers:
        return None
    return RecurrentLayers(layers=layers, state_bytes=layers * _state_bytes(config.text))


def _state_bytes(text: Mapping[str, Any]) -> int:
    """Return the size of one layer's state for one sequence; 0 where the keys are not known.

    Mamba 2 keeps heads x head dimension x state size, a gated delta net a matrix of key by value
    dimension for each value head; before either, a convolution keeps its last inputs.
    """

    def size(*names: str) -> int:
        return _first_positive(text, names)

    heads = size("mamba_num_heads", "mamba_n_heads")
    width = heads * size("mamba_head_dim", "mamba_d_head")
    state = size("ssm_state_size", "mamba_d_state")
    if width and state:
        groups = size("n_groups", "mamba_n_groups") or 1
        inputs = width + 2 * groups * state
        tail = size("conv_kernel", "mamba_d_conv")
        return _state_with_tail(width * state, inputs, tail)
    values = size("linear_num_value_heads") * size("linear_value_head_dim")
    key = size("linear_key_head_dim")
    if values and key:
        inputs = values + 2 * key * size("linear_num_key_heads")
        return _state_with_tail(values * key, inputs, size("linear_conv_kernel_dim"))
    return 0


def _state_with_tail(state: int, inputs: int, kernel: int) -> int:
    return state * _STATE_BYTES + inputs * max(kernel - 1, 0) * _TAIL_BYTES


def _first_positive(text: Mapping[str, Any], names: tuple[str, ...]) -> int:
    for name in names:
        if text.get(name) is not None:
            try:
                return positive(text[name], name)
            except UnsupportedModel:
                # mamba_d_head may say "auto": then nobody knows, and nothing fails for it.
                return 0
    return 0
