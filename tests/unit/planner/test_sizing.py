"""How models are laid over GPUs: layouts that a person would choose, or why there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from api.payloads import Parallelism
from api.preset import Accelerator, AcceleratorVendor, Preset, Runtime, RuntimeName
from planner.serving_config import ServingConfig, read_serving_config
from planner.sizing import OVERHEAD_BYTES, DoesNotFit, Sizing, size_anyway, size_serving
from tests import gen
from tests.unit.planner.models import GIB, gpus, model, phi_4


def vllm(**changes: Any) -> Runtime:
    return Runtime.model_validate({"name": "vllm", **changes})


TRANSFORMERS = Runtime(name=RuntimeName.TRANSFORMERS)
NOTHING = ServingConfig()


def sized(
    preset: Preset,
    accelerator: Accelerator | None,
    runtime: Runtime | None = None,
    max_nodes: int = 8,
    **config: Any,
) -> Sizing:
    found = size_serving(
        preset, runtime or vllm(), accelerator, ServingConfig(**config), max_nodes=max_nodes
    )
    assert isinstance(found, Sizing), found
    return found


def refused(
    preset: Preset,
    accelerator: Accelerator,
    runtime: Runtime | None = None,
    max_nodes: int = 8,
    **config: Any,
) -> DoesNotFit:
    found = size_serving(
        preset, runtime or vllm(), accelerator, ServingConfig(**config), max_nodes=max_nodes
    )
    assert isinstance(found, DoesNotFit), found
    return found


def layout(sizing: Sizing) -> tuple[int, int, int, int, int]:
    sizes = sizing.parallelism
    return (
        sizing.nodes_per_instance,
        sizing.gpus_per_pod,
        sizes.tensor,
        sizes.pipeline,
        sizes.data,
    )


# --- Layouts: (nodes, GPUs a pod, tensor, pipeline, data) -----------------------------------------


@pytest.mark.parametrize(
    ("sentence", "preset", "accelerator", "expected"),
    [
        ("what fits into one GPU takes one", model(15), gpus(1, 24), (1, 1, 1, 1, 1)),
        ("what takes less than half a GPU is copied", model(15), gpus(4, 80), (1, 4, 1, 1, 4)),
        ("what takes more than half is cut", model(45), gpus(4, 80), (1, 4, 4, 1, 1)),
        ("what one GPU can't hold is cut", model(131), gpus(8, 80), (1, 8, 8, 1, 1)),
        ("what one node can't hold spans nodes", model(131), gpus(1, 80), (3, 1, 1, 3, 1)),
        ("nodes are cut inside as well", model(640), gpus(8, 80), (2, 8, 8, 2, 1)),
        ("heads that do not divide leave copies", phi_4(), gpus(8, 40), (1, 8, 2, 1, 4)),
        ("or groups of layers in one node", phi_4(), gpus(4, 16), (1, 4, 2, 2, 1)),
        ("an odd number of GPUs is used as far as it can", model(45), gpus(3, 80), (1, 3, 1, 1, 3)),
    ],
)
def test_the_layout(
    sentence: str,
    preset: Preset,
    accelerator: Accelerator,
    expected: tuple[int, int, int, int, int],
) -> None:
    assert layout(sized(preset, accelerator)) == expected, sentence


def test_a_model_that_cannot_be_cut_by_heads_is_copied_or_dealt_out_by_layers() -> None:
    uncut = vllm(tensorParallel=False)
    assert layout(sized(model(30), gpus(4, 80), uncut)) == (1, 4, 1, 1, 4)
    assert layout(sized(model(14), gpus(2, 16), uncut)) == (1, 2, 1, 2, 1)


def test_gpus_that_no_layout_uses_stay_free_and_that_is_said() -> None:
    sizing = sized(model(95), gpus(7, 24))
    assert sizing.gpus_per_pod == 6
    assert "1 of the node's 7 GPUs stay unused" in sizing.warnings[0]


def test_a_known_vocabulary_must_divide_as_vllm_pads_it() -> None:
    preset = model(45, heads=60, keyValueHeads=12)
    odd = preset.model_copy(
        update={"model": preset.model.model_copy(update={"vocabulary_size": 99, "hidden_size": 96})}
    )
    # 99 is padded to 128, which 3 does not divide; 191 to 192, which it does.
    even = odd.model_copy(update={"model": odd.model.model_copy(update={"vocabulary_size": 191})})
    assert layout(sized(odd, gpus(3, 24)))[2:] == (1, 3, 1)
    assert layout(sized(even, gpus(3, 24)))[2:] == (3, 1, 1)


def test_layers_that_keep_a_state_can_be_dealt_out_too() -> None:
    hybrid = model(60, layers=2, recurrent={"layers": 6, "stateBytes": 10**6})
    assert layout(sized(hybrid, gpus(1, 24))) == (4, 1, 1, 4, 1)


# --- The budget -----------------------------------------------------------------------------------


def test_the_budget_says_what_one_gpu_is_spent_on() -> None:
    budget = sized(phi_4(), gpus(1, 80)).budget
    assert budget is not None
    assert budget.total == 80 * GIB
    assert budget.usable == int(80 * GIB * 0.84)
    assert budget.weights == pytest.approx(27.3 * GIB * 1.02 * 1.05)
    assert (budget.context_tokens, budget.kv_cache_bytes_per_token) == (2048, 204800)
    assert budget.kv_cache == 2048 * 204800
    assert budget.overhead == OVERHEAD_BYTES
    assert budget.free == budget.usable - budget.weights - budget.kv_cache - budget.overhead


def test_a_token_counts_on_all_gpus_that_keep_something_of_it() -> None:
    latent = model(640, keyValueHeads=64, latent={"rank": 512, "ropeDimension": 64})
    budgets = [sized(one, gpus(8, 141)).budget for one in (model(640), latent)]
    per_token = [budget.kv_cache_bytes_per_token for budget in budgets if budget is not None]
    assert per_token == [48 * 2 * 8 * 128 * 2, 8 * 48 * 576 * 2]


@pytest.mark.parametrize(("name", "expected"), [("A100", 0.84), ("A10", 0.82), ("A10G", 0.84)])
def test_the_part_of_a_gpu_that_is_used_depends_on_its_model(name: str, expected: float) -> None:
    assert sized(model(10), gpus(1, 24, name)).gpu_memory_utilization == expected


def test_the_users_part_of_the_memory_is_planned_with() -> None:
    assert isinstance(refused(model(18.5), gpus(1, 24), max_nodes=1), DoesNotFit)
    sizing = sized(model(18.5), gpus(1, 24), gpu_memory_utilization=0.95, max_nodes=1)
    assert sizing.gpu_memory_utilization == 0.95


def test_a_length_that_is_asked_for_must_fit() -> None:
    assert layout(sized(model(15), gpus(1, 24)))[0] == 1
    assert layout(sized(model(15), gpus(1, 24), max_model_length=32768))[0] == 2


def test_a_smaller_type_of_cache_holds_more_tokens() -> None:
    asked = {"max_model_length": 16384}
    assert layout(sized(model(15), gpus(1, 24), **asked))[0] == 2
    assert layout(sized(model(15), gpus(1, 24), kv_cache_dtype="fp8", **asked))[0] == 1


def test_a_model_of_short_context_is_planned_for_that() -> None:
    preset = model(15)
    short = preset.model_copy(
        update={"model": preset.model.model_copy(update={"max_model_length": 512})}
    )
    budget = sized(short, gpus(1, 24)).budget
    assert budget is not None
    assert budget.context_tokens == 512


def test_little_room_for_context_is_said() -> None:
    (warning,) = sized(model(16), gpus(1, 24)).warnings
    assert "room for about" in warning
    assert sized(model(16), gpus(1, 24), max_model_length=2048).warnings == ()
    assert sized(model(15), gpus(1, 80)).warnings == ()


def test_a_longer_context_than_the_models_is_said() -> None:
    (warning,) = sized(model(15), gpus(1, 80), max_model_length=131073).warnings
    assert "max-model-len 131073 is more than the 131072 tokens" in warning


# --- What is asked for ----------------------------------------------------------------------------


def test_sizes_that_are_asked_for_are_taken_as_they_are() -> None:
    assert layout(sized(model(15), gpus(8, 80), tensor_parallel_size=2)) == (1, 2, 2, 1, 1)
    assert layout(sized(model(15), gpus(8, 80), data_parallel_size=2)) == (1, 8, 4, 1, 2)
    assert layout(sized(model(15), gpus(1, 80), pipeline_parallel_size=2)) == (2, 1, 1, 2, 1)
    assert layout(sized(model(15), gpus(8, 80), pipeline_parallel_size=2)) == (1, 8, 4, 2, 1)


def test_the_file_wins_over_the_catalogues_arguments() -> None:
    runtime = vllm(arguments={"tensor-parallel-size": 4, "kv_cache_dtype": "fp8"})
    assert sized(model(15), gpus(8, 80), runtime).parallelism.tensor == 4
    assert sized(model(15), gpus(8, 80), runtime, tensor_parallel_size=2).parallelism.tensor == 2
    budget = sized(model(15), gpus(8, 80), runtime).budget
    assert budget is not None
    assert budget.kv_cache_bytes_per_token == 48 * 2 * 8 * 128


def test_an_argument_of_the_catalogue_that_is_no_number_is_left_to_its_own_test() -> None:
    runtime = vllm(arguments={"max-model-len": "long", "tensor-parallel-size": None})
    assert layout(sized(model(15), gpus(1, 80), runtime)) == (1, 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("config", "message", "remedy"),
    [
        ({"tensor_parallel_size": 3}, "can't be cut by tensor-parallel-size 3", "1, 2, 4, 8"),
        ({"tensor_parallel_size": 16}, "tensor-parallel-size 16 and", "lower them"),
        (
            {"tensor_parallel_size": 4, "data_parallel_size": 4},
            "need 16 GPUs on each node, and a node has 8 test of 80.0 GiB each",
            "lower them",
        ),
        ({"pipeline_parallel_size": 49}, "pipeline-parallel-size is 49", "lower"),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    config: dict[str, int], message: str, remedy: str
) -> None:
    found = refused(model(15), gpus(8, 80), **config)
    assert found.is_of_settings
    assert message in found.message
    assert remedy in found.remedy


def test_a_model_without_tensor_parallelism_refuses_to_be_cut() -> None:
    found = refused(model(15), gpus(8, 80), vllm(tensorParallel=False), tensor_parallel_size=2)
    assert "can't be cut by its heads" in found.message


def test_copies_stay_on_one_node() -> None:
    found = refused(model(30), gpus(2, 24), data_parallel_size=2)
    assert "fits on no number of nodes" in found.message
    assert "data-parallel-size 2" in found.message


def test_sizes_under_which_it_does_not_fit_are_named() -> None:
    found = refused(model(300), gpus(8, 80), tensor_parallel_size=1, pipeline_parallel_size=1)
    assert "and tensor-parallel-size 1, pipeline-parallel-size 1" in found.message
    assert "remove the parallel sizes" in found.remedy


# --- Reasons --------------------------------------------------------------------------------------


def test_too_many_nodes_are_refused_with_the_number() -> None:
    found = refused(model(640), gpus(1, 24))
    assert "needs 39 nodes with 1 test of 24.0 GiB, and one instance may span at most 8" in (
        found.message
    )
    assert "choose an instance type with more GPU memory" in found.remedy
    assert "KAITO_MAX_NODES_PER_INSTANCE" in found.remedy


def test_the_cap_is_the_operators() -> None:
    assert sized(model(640), gpus(1, 24), max_nodes=39).nodes_per_instance == 39


def test_gpus_too_small_for_the_server_itself_are_named() -> None:
    found = refused(model(5), gpus(8, 2))
    assert "the model server itself needs 2.3 GiB" in found.message
    assert found.remedy == "choose an instance type with more memory on each GPU"
    long = refused(model(5), gpus(1, 8), max_model_length=10**9)
    assert long.remedy.endswith("or lower max-model-len")


def test_what_even_one_layer_a_node_does_not_make_fit_is_refused() -> None:
    found = refused(model(640, layers=8), gpus(1, 24), max_nodes=100)
    assert "fits on no number of nodes" in found.message


# --- Transformers, emulated and unknown GPUs ------------------------------------------------------


def test_transformers_deals_layers_out_to_all_gpus_of_one_node() -> None:
    sizing = sized(model(60), gpus(4, 24), TRANSFORMERS)
    assert layout(sizing) == (1, 4, 1, 1, 1)
    assert sizing.warnings == ()
    assert sizing.budget is not None
    assert sizing.budget.weights == pytest.approx(15 * GIB * 1.02 * 1.05)


def test_transformers_cannot_span_nodes_and_vllm_is_offered_where_there_is_one() -> None:
    preset = model(140)
    found = refused(preset, gpus(1, 80), TRANSFORMERS)
    assert "the runtime transformers can't span nodes" in found.message
    assert "the runtime vllm" in found.remedy
    alone = preset.model_copy(update={"runtimes": (TRANSFORMERS,)})
    assert "vllm" not in refused(alone, gpus(1, 80), TRANSFORMERS).remedy


def test_settings_of_vllm_mean_nothing_to_transformers() -> None:
    plain = sized(model(60), gpus(4, 24), TRANSFORMERS)
    assert sized(model(60), gpus(4, 24), TRANSFORMERS, tensor_parallel_size=3) == plain


def emulated(count: int) -> Accelerator:
    return Accelerator(vendor=AcceleratorVendor.EMULATED, model="none", count=count, memory=8 * GIB)


def test_emulated_gpus_are_one_device_and_a_pod_takes_all_of_them() -> None:
    sizing = sized(gen.preset(), emulated(2), gen.preset().runtimes[0])
    assert layout(sizing) == (1, 2, 1, 1, 1)
    assert sizing.budget is not None
    assert sizing.budget.total == 16 * GIB
    assert sizing.warnings == ()


def test_emulated_gpus_are_described_as_what_they_are() -> None:
    runtime = gen.preset().runtimes[0]
    found = refused(gen.preset(), emulated(2), runtime, tensor_parallel_size=3)
    assert "a node has emulated GPUs of 16.0 GiB in all" in found.message


def test_nobody_knowing_the_gpus_is_a_guess_that_says_so() -> None:
    sizing = sized(model(640), None)
    assert layout(sizing) == (1, 1, 1, 1, 1)
    assert sizing.budget is None
    assert "not judged whether the model fits" in sizing.warnings[0]
    assert sized(model(640), None, tensor_parallel_size=4).gpus_per_pod == 4


# --- Against all advice ---------------------------------------------------------------------------


def test_what_does_not_fit_is_tried_in_the_roomiest_way_on_one_node() -> None:
    found = size_anyway(model(640), vllm(), gpus(8, 80), NOTHING)
    assert layout(found) == (1, 8, 8, 1, 1)
    assert found.budget is not None
    assert found.budget.free < 0


def test_sizes_that_cannot_be_are_tried_as_they_are_asked_for() -> None:
    found = size_anyway(model(15), vllm(), gpus(1, 80), ServingConfig(tensor_parallel_size=2))
    assert found.parallelism == Parallelism(tensor=2)


def test_unknown_gpus_are_no_less_a_guess() -> None:
    assert size_anyway(model(15), vllm(), None, NOTHING) == sized(model(15), None)


def test_a_file_as_users_write_it_is_planned_with() -> None:
    config = read_serving_config("vllm:\n  max-model-len: 16K\n  gpu_memory_utilization: 0.9\n")
    found = size_serving(model(15), vllm(), gpus(1, 24), config)
    assert isinstance(found, Sizing)
    assert found == replace(
        sized(model(15), gpus(1, 24), max_model_length=16384, gpu_memory_utilization=0.9)
    )
