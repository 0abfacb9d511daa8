"""The size of the cache: numbers that people have measured or written down, and how it is split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.preset import Attention
from planner.kv_cache import CacheShape, cache_shape

PHI_4 = Attention(layers=40, heads=40, key_value_heads=10, head_dimension=128)
DEEPSEEK_V3 = Attention.model_validate(
    {
        "layers": 61,
        "heads": 128,
        "keyValueHeads": 128,
        "headDimension": 128,
        "latent": {"rank": 512, "ropeDimension": 64},
    }
)
GEMMA_3 = Attention.model_validate(
    {
        "layers": 62,
        "heads": 32,
        "keyValueHeads": 16,
        "headDimension": 128,
        "sliding": {"layers": 52, "tokens": 1024},
    }
)
HYBRID = Attention.model_validate(
    {
        "layers": 16,
        "heads": 24,
        "keyValueHeads": 4,
        "headDimension": 256,
        "recurrent": {"layers": 48, "stateBytes": 1000},
    }
)


@pytest.mark.parametrize(
    ("sentence", "attention", "expected"),
    [
        # The first two are upstream's own numbers (facts, control plane C2).
        ("grouped queries keep a key and a value of each key-value head", PHI_4, 204800),
        ("latent attention keeps one vector", DEEPSEEK_V3, 70272),
        (
            "many heads keep many",
            Attention(layers=32, heads=32, key_value_heads=32, head_dimension=96),
            393216,
        ),
        (
            "multi-query attention keeps one",
            Attention(layers=32, heads=71, key_value_heads=1, head_dimension=64),
            8192,
        ),
        ("layers without attention keep nothing of a token", HYBRID, 65536),
    ],
)
def test_bytes_of_one_token(sentence: str, attention: Attention, expected: int) -> None:
    assert cache_shape(attention, 2).bytes_per_token == expected, sentence


def test_fp8_halves_it() -> None:
    assert cache_shape(PHI_4, 1).bytes_of(1000) * 2 == cache_shape(PHI_4, 2).bytes_of(1000)


def test_heads_are_dealt_out_but_never_split() -> None:
    one, two, many = (cache_shape(PHI_4, 2, tensor=n).bytes_per_token for n in (1, 2, 40))
    assert two * 2 == one
    assert many * 10 == one


def test_every_gpu_keeps_the_whole_latent_vector() -> None:
    assert cache_shape(DEEPSEEK_V3, 2, tensor=8) == cache_shape(DEEPSEEK_V3, 2)


def test_layers_are_dealt_out_and_the_fullest_gpu_counts() -> None:
    assert cache_shape(DEEPSEEK_V3, 2, pipeline=2).bytes_per_token == 31 * 576 * 2


def test_sliding_layers_stop_growing_at_their_window() -> None:
    shape = cache_shape(GEMMA_3, 2)
    assert shape.bytes_of(1024) == 1024 * 62 * 8192
    assert shape.bytes_of(1025) - shape.bytes_of(1024) == 10 * 8192


def test_a_state_costs_the_same_for_any_length() -> None:
    shape = cache_shape(HYBRID, 2)
    assert shape.bytes_of(10) - 10 * shape.bytes_per_token == 1000
    assert cache_shape(HYBRID, 2, tensor=2, pipeline=2).state_bytes == 250


SHAPES = st.builds(
    CacheShape,
    full_bytes=st.integers(0, 10**6),
    window_bytes=st.integers(0, 10**6),
    window_tokens=st.integers(0, 10**5),
    state_bytes=st.integers(0, 10**9),
)


@given(shape=SHAPES, available=st.integers(-(10**9), 10**13))
def test_as_many_tokens_fit_as_are_said_to_and_no_more(shape: CacheShape, available: int) -> None:
    tokens = shape.tokens_in(available)
    if tokens is None:
        assert shape.bytes_of(10**15) <= available
        return
    assert tokens == 0 or shape.bytes_of(tokens) <= available
    assert shape.bytes_of(tokens + 1) > available
