"""How large the cache of keys and values is that a model keeps of every token that it read.

A token costs, in each layer and with numbers of b bytes:

    attention           2 · key-value heads · head dimension · b        a key and a value a head
    latent attention    (rank + rope dimension) · b                     one vector for all heads
    sliding window      as above, for the last `tokens` tokens only
    recurrent layers    nothing a token; a state of fixed size a sequence

Multi-head, grouped-query and multi-query attention differ in their key-value heads only. Tensor
parallelism splits heads over GPUs, but no head is split: with fewer heads than GPUs each GPU keeps
a whole one. A latent vector belongs to all heads, so every GPU keeps all of it. Pipeline
parallelism splits layers; the GPU with the most of them counts.

From: Ainslie et al. 2023 (grouped-query attention), DeepSeek-V2 2024 section 2.1 (latent
attention), and vLLM's `KVCacheSpec` classes (vllm/v1/kv_cache_interface.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from api.preset import Attention


@dataclass(frozen=True)
class CacheShape:
    """The cache on the GPU that holds most of it."""

    full_bytes: int
    """Of one token, in the layers that keep all tokens."""
    window_bytes: int
    """Of one token, in the layers that keep the last `window_tokens` only."""
    window_tokens: int
    state_bytes: int
    """Of one sequence, in the recurrent layers."""

    @property
    def bytes_per_token(self) -> int:
        """Return what the first tokens of a sequence cost each."""
        return self.full_bytes + self.window_bytes

    def bytes_of(self, tokens: int) -> int:
        """Return what one sequence of this many tokens takes."""
        kept_tokens = min(tokens, self.window_tokens)
        return self.state_bytes + tokens * self.full_bytes + kept_tokens * self.window_bytes

    def tokens_in(self, available_bytes: int) -> int | None:
        """Return the longest sequence that fits; None when any length does."""
        left_bytes = available_bytes - self.state_bytes
        if left_bytes < 0:
            return 0
        if self.bytes_per_token == 0:
            return None
        in_window = left_bytes // self.bytes_per_token
        if self.window_bytes == 0 or in_window < self.window_tokens:
            return in_window
        if self.full_bytes == 0:
            return None
        return (left_bytes - self.window_tokens * self.window_bytes) // self.full_bytes


def cache_shape(
    attention: Attention, cache_bytes: int, *, tensor: int = 1, pipeline: int = 1
) -> CacheShape:
    """Return what the cache of one sequence takes of one GPU.

    Args:
        attention: The model's layers.
        cache_bytes: Bytes of one number in the cache (`serving_config.CACHE_BYTES`).
        tensor: GPUs that each layer is split over.
        pipeline: Groups that the layers are split into.
    """
    if attention.latent is not None:
        layer_bytes = (attention.latent.rank + attention.latent.rope_dimension) * cache_bytes
    else:
        heads = _split(attention.key_value_heads, tensor)
        layer_bytes = 2 * heads * attention.head_dimension * cache_bytes
    sliding, recurrent = attention.sliding, attention.recurrent
    sliding_layers = sliding.layers if sliding is not None else 0
    return CacheShape(
        full_bytes=_split(attention.layers - sliding_layers, pipeline) * layer_bytes,
        window_bytes=_split(sliding_layers, pipeline) * layer_bytes,
        window_tokens=sliding.tokens if sliding is not None else 0,
        state_bytes=_split(recurrent.state_bytes, tensor * pipeline) if recurrent else 0,
    )


def _split(whole: int, parts: int) -> int:
    """Return the largest of the parts."""
    return -(-whole // parts)
