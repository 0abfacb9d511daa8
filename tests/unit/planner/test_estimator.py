"""Our counts of nodes beside upstream's formula, over everything that upstream's catalogue has."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from api.preset import Accelerator, Preset
from presets.loader import load_catalogue
from scripts.estimator_table import (
    CACHE,
    CONTEXT_TOKENS,
    LAYERS,
    PAGE,
    REASONS,
    UTILIZATION,
    WEIGHTS,
    Difference,
    UpstreamModel,
    difference,
    our_nodes,
    page,
    pairs,
    upstream_models,
    upstream_nodes,
)

GIB = 2**30

Pair = tuple[Preset, UpstreamModel, str, Accelerator]


def all_differences() -> Iterator[tuple[Pair, Difference]]:
    for pair in pairs(load_catalogue()):
        found = difference(*pair)
        if found is not None:
            yield pair, found


@pytest.mark.parametrize(
    ("weights_gib", "cache_bytes", "memory_gib", "gpus", "expected"),
    [
        # By hand: 27.31 · 1.02 = 27.86 GiB; an A100 of 80 GiB has (67.2 - 2.69) / 1.05 = 61.4.
        (27.31, 204800, 80, 1, 1),
        # 654.1 GiB; an A10 of 24 GiB has (20.16 - 2.43) / 1.05 = 16.88, so 39 of them.
        (641.30, 70272, 24, 1, 39),
        # 654.1 GiB; an H100 of 80 GiB has 61.8, so 11 of them: two nodes of 8.
        (641.30, 70272, 80, 8, 2),
        # 2 GiB of memory are less than the server itself takes.
        (5.0, 204800, 2, 1, None),
    ],
)
def test_upstreams_formula_is_as_upstream_has_it(
    weights_gib: float, cache_bytes: int, memory_gib: int, gpus: int, expected: int | None
) -> None:
    model = UpstreamModel(weights_gib * GIB, cache_bytes)
    assert upstream_nodes(model, memory_gib * GIB, gpus) == expected


def test_the_page_is_as_the_code_has_it() -> None:
    current = PAGE.read_text()
    assert page(current, load_catalogue()) == current, "python -m scripts.estimator_table --write"


def test_every_model_of_upstreams_is_in_our_catalogue() -> None:
    assert set(upstream_models()) <= set(load_catalogue().names())


def test_we_agree_with_upstream_wherever_no_reason_is_given() -> None:
    unexplained = [found for _, found in all_differences() if not set(found.reasons) <= {*REASONS}]
    assert unexplained == []
    assert all(found.reasons for _, found in all_differences())


def test_weights_differ_only_where_our_catalogue_corrects_upstreams() -> None:
    found = {one.preset for _, one in all_differences() if WEIGHTS in one.reasons}
    assert found == {"gpt-oss-20b", "gpt-oss-120b"}


def test_another_part_of_the_memory_counts_on_an_a10_only() -> None:
    found = [(pair[3], one) for pair, one in all_differences() if UTILIZATION in one.reasons]
    assert {accelerator.model for accelerator, _ in found} == {"A10"}
    assert all(one.ours >= one.upstream for _, one in found if one.ours and one.upstream)


def test_a_cache_that_is_dealt_out_makes_fewer_nodes_and_of_usual_gpus_one_fewer() -> None:
    found = [(pair[3], one) for pair, one in all_differences() if one.reasons == (CACHE,)]
    assert found
    for accelerator, one in found:
        assert one.ours is not None
        assert one.upstream is not None
        assert one.ours < one.upstream, one
        assert accelerator.memory < 24 * GIB or one.ours == one.upstream - 1, one


def test_what_has_more_nodes_than_layers_fits_nowhere() -> None:
    for (preset, _, _, accelerator), one in all_differences():
        if LAYERS in one.reasons:
            attention = preset.model.attention
            layers = attention.layers + (attention.recurrent.layers if attention.recurrent else 0)
            assert one.upstream is None or one.upstream * accelerator.count > layers, one


def least_nodes(weights: float, cache: float, usable: float, gpus: int) -> int:
    """Return upstream's number with the cache over all GPUs of the instance."""
    per_gpu = (usable - 2.3 * GIB) / (weights + cache)
    return math.ceil(1 / (per_gpu * gpus))


def test_with_the_stated_differences_upstreams_formula_gives_our_numbers() -> None:
    for preset, model, hardware, accelerator in pairs(load_catalogue()):
        attention = preset.model.attention
        is_plain = (attention.latent, attention.sliding, attention.recurrent) == (None,) * 3
        ours = our_nodes(preset, accelerator)
        if not is_plain or ours is None:
            continue
        usable = accelerator.memory * (0.82 if accelerator.model == "A10" else 0.84)
        weights = preset.model.weights_bytes * 1.02 * 1.05
        cache = CONTEXT_TOKENS * model.cache_bytes_per_token
        least = least_nodes(weights, cache, usable, accelerator.count)
        # Layers and heads are whole: the fullest GPU may have a little more than its share.
        assert least <= ours <= math.ceil(least * 1.1), (preset.name, hardware)
