"""What holds of the sizing of any model on any GPUs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.preset import Accelerator, Preset, Runtime
from planner.serving_config import CACHE_BYTES, ServingConfig
from planner.sizing import DoesNotFit, Sizing, size_anyway, size_serving
from presets.loader import load_catalogue
from tests.unit.planner.models import gpus, model

GENEROUS = 10**6


@st.composite
def models(draw: st.DrawFn) -> Preset:
    kv_heads = draw(st.sampled_from([1, 2, 3, 4, 8, 10, 12, 16]))
    layers = draw(st.integers(1, 64))
    shape: dict[str, Any] = {
        "layers": layers,
        "heads": kv_heads * draw(st.integers(1, 8)),
        "keyValueHeads": kv_heads,
        "headDimension": draw(st.sampled_from([64, 128, 256])),
    }
    if draw(st.booleans()):
        shape["latent"] = {"rank": draw(st.integers(1, 1024)), "ropeDimension": 64}
    if draw(st.booleans()):
        shape["sliding"] = {"layers": draw(st.integers(1, layers)), "tokens": 1024}
    if draw(st.booleans()):
        shape["recurrent"] = {"layers": draw(st.integers(1, 32)), "stateBytes": 10**8}
    return model(draw(st.floats(0.1, 900)), **shape)


def hardware() -> st.SearchStrategy[Accelerator]:
    names = st.sampled_from(["A10", "A100"])
    return st.builds(gpus, st.integers(1, 16), st.floats(1, 300), names)


def configs() -> st.SearchStrategy[ServingConfig]:
    def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.none() | values

    return st.builds(
        ServingConfig,
        max_model_length=maybe(st.integers(1, 10**6)),
        gpu_memory_utilization=maybe(st.floats(0.05, 1)),
        kv_cache_dtype=maybe(st.sampled_from(sorted(CACHE_BYTES))),
        tensor_parallel_size=maybe(st.integers(1, 16)),
        pipeline_parallel_size=maybe(st.integers(1, 80)),
        data_parallel_size=maybe(st.integers(1, 16)),
    )


def runtimes() -> st.SearchStrategy[Runtime]:
    return st.sampled_from(
        [
            Runtime.model_validate({"name": "vllm"}),
            Runtime.model_validate({"name": "vllm", "tensorParallel": False}),
            Runtime.model_validate({"name": "transformers"}),
        ]
    )


@given(models(), runtimes(), hardware(), configs(), st.integers(1, 100))
def test_it_fits_or_says_why(
    preset: Preset, runtime: Runtime, node: Accelerator, config: ServingConfig, max_nodes: int
) -> None:
    found = size_serving(preset, runtime, node, config, max_nodes=max_nodes)
    if isinstance(found, DoesNotFit):
        assert found.message
        assert found.remedy
        return
    assert 1 <= found.nodes_per_instance <= max_nodes
    assert 1 <= found.gpus_per_pod <= node.count
    assert found.budget is not None
    assert found.budget.free >= 0
    assert found.budget.usable <= node.memory


@given(models(), runtimes(), hardware(), configs())
def test_what_is_planned_is_what_the_pods_have(
    preset: Preset, runtime: Runtime, node: Accelerator, config: ServingConfig
) -> None:
    found = size_serving(preset, runtime, node, config, max_nodes=GENEROUS)
    if not isinstance(found, Sizing) or runtime.name == "transformers":
        return
    sizes = found.parallelism
    assert sizes.pipeline % found.nodes_per_instance == 0
    stages = sizes.pipeline // found.nodes_per_instance
    assert sizes.tensor * stages * sizes.data == found.gpus_per_pod
    assert sizes.data == 1 or found.nodes_per_instance == 1
    for asked, given_size in (
        (config.tensor_parallel_size, sizes.tensor),
        (config.pipeline_parallel_size, sizes.pipeline),
        (config.data_parallel_size, sizes.data),
    ):
        assert asked in {None, given_size}


@given(models(), runtimes(), hardware(), configs(), st.floats(0, 200))
def test_more_memory_never_needs_more_nodes(
    preset: Preset, runtime: Runtime, node: Accelerator, config: ServingConfig, more_gib: float
) -> None:
    larger = node.model_copy(update={"memory": node.memory + int(more_gib * 2**30)})
    before = size_serving(preset, runtime, node, config, max_nodes=GENEROUS)
    after = size_serving(preset, runtime, larger, config, max_nodes=GENEROUS)
    if isinstance(before, Sizing):
        assert isinstance(after, Sizing)
        assert after.nodes_per_instance <= before.nodes_per_instance


@given(models(), hardware(), st.floats(1, 2))
def test_a_larger_model_never_needs_fewer_nodes(
    preset: Preset, node: Accelerator, factor: float
) -> None:
    weights_bytes = int(preset.model.weights_bytes * factor)
    larger = preset.model_copy(
        update={"model": preset.model.model_copy(update={"weights_bytes": weights_bytes})}
    )
    vllm = Runtime.model_validate({"name": "vllm"})
    after = size_serving(larger, vllm, node, ServingConfig(), max_nodes=GENEROUS)
    if isinstance(after, Sizing):
        before = size_serving(preset, vllm, node, ServingConfig(), max_nodes=GENEROUS)
        assert isinstance(before, Sizing)
        assert before.nodes_per_instance <= after.nodes_per_instance


@given(models(), runtimes(), hardware() | st.none(), configs())
def test_there_is_always_something_to_try(
    preset: Preset, runtime: Runtime, node: Accelerator | None, config: ServingConfig
) -> None:
    found = size_anyway(preset, runtime, node, config)
    assert found.nodes_per_instance == 1
    assert found.gpus_per_pod >= 1


@given(models(), runtimes(), hardware(), configs())
def test_the_same_question_has_the_same_answer(
    preset: Preset, runtime: Runtime, node: Accelerator, config: ServingConfig
) -> None:
    first = size_serving(preset, runtime, node, config)
    assert size_serving(preset, runtime, node, config) == first


@pytest.mark.parametrize("preset", load_catalogue().names())
def test_every_model_of_the_catalogue_fits_on_eight_of_the_largest_gpus(preset: str) -> None:
    known = load_catalogue().presets[preset]
    for runtime in known.runtimes:
        found = size_serving(known, runtime, gpus(8, 141), ServingConfig(), max_nodes=1)
        assert isinstance(found, Sizing), found
