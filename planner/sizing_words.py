"""What is said when a model does not fit: what is too small for what, with numbers."""

from __future__ import annotations

from collections.abc import Iterator

from api.payloads import MemoryBudget
from api.preset import Accelerator, AcceleratorVendor, Preset, Runtime, RuntimeName
from planner.amounts import gibibytes
from planner.layout import AskedSizes, can_cut, layer_count, tensor_sizes

Refusal = tuple[str, str]
"""A message and a remedy."""

_ASK_FOR_MORE = "choose an instance type with more GPU memory"


def hardware(accelerator: Accelerator) -> str:
    """Return what a node has, in a few words."""
    if accelerator.vendor is AcceleratorVendor.EMULATED:
        in_all = gibibytes(accelerator.count * accelerator.memory)
        return f"emulated GPUs of {in_all} in all"
    each = " each" if accelerator.count > 1 else ""
    memory = gibibytes(accelerator.memory)
    return f"{accelerator.count} {accelerator.model} of {memory}{each}"


def guessed(gpus: int) -> str:
    """Return the warning that a sizing is no more than a guess."""
    return (
        "nobody knows the GPUs of these nodes, so it is not judged whether the model fits; each "
        f"pod takes {gpus} of them"
    )


def size_refusals(
    preset: Preset, runtime: Runtime, accelerator: Accelerator, sizes: AskedSizes
) -> Iterator[Refusal]:
    """Yield why the model server could not start with the sizes that are asked for."""
    attention = preset.model.attention
    tensor, data = sizes.tensor or 1, sizes.data or 1
    if tensor > 1 and not runtime.tensor_parallel:
        message = f"tensor-parallel-size is {tensor}, and {preset.name} can't be cut by its heads"
        yield message, "remove tensor-parallel-size"
    elif not can_cut(preset.model, tensor):
        message = (
            f"{preset.name} can't be cut by tensor-parallel-size {tensor}: it has "
            f"{attention.heads} attention heads and {attention.key_value_heads} key-value heads"
        )
        fitting = ", ".join(map(str, tensor_sizes(preset.model, runtime, accelerator.count)))
        yield message, f"choose one of {fitting}, or remove tensor-parallel-size"
    if tensor * data > accelerator.count:
        message = (
            f"tensor-parallel-size {tensor} and data-parallel-size {data} need {tensor * data} "
            f"GPUs on each node, and a node has {hardware(accelerator)}"
        )
        yield message, "lower them, or choose an instance type with more GPUs"
    layers = layer_count(preset.model)
    if sizes.pipeline and sizes.pipeline > layers:
        message = (
            f"pipeline-parallel-size is {sizes.pipeline}, and {preset.name} has {layers} layers"
        )
        yield message, "lower pipeline-parallel-size"


def too_small_gpus(
    accelerator: Accelerator, budget: MemoryBudget, *, is_context_asked: bool
) -> Refusal:
    """Return why no number of these GPUs would do."""
    message = (
        f"of the {gibibytes(budget.total)} of a {accelerator.model}, {gibibytes(budget.usable)} "
        f"may be used; on each GPU the model server itself needs {gibibytes(budget.overhead)}, and "
        f"{budget.context_tokens} tokens of context need {gibibytes(budget.kv_cache)}"
    )
    lower = ", or lower max-model-len" if is_context_asked else ""
    return message, f"choose an instance type with more memory on each GPU{lower}"


def too_large_for_a_node(
    preset: Preset, runtime: Runtime, accelerator: Accelerator, budget: MemoryBudget
) -> Refusal:
    """Return why a server that can't span nodes does not fit on one."""
    needed_bytes = budget.weights + budget.kv_cache + budget.overhead
    message = (
        f"{preset.name} needs {gibibytes(needed_bytes)} on each GPU of a node with "
        f"{hardware(accelerator)}, of which {gibibytes(budget.usable)} may be used, and the "
        f"runtime {runtime.name} can't span nodes"
    )
    has_vllm = any(one.name is RuntimeName.VLLM for one in preset.runtimes)
    return message, _ASK_FOR_MORE + (", or the runtime vllm, which can" if has_vllm else "")


def too_many_nodes(
    preset: Preset, accelerator: Accelerator, nodes: int, max_nodes: int, sizes: AskedSizes
) -> Refusal:
    """Return why the nodes that it takes may not be had."""
    message = (
        f"{_weights_of(preset)} needs {nodes} nodes with {hardware(accelerator)}, and one instance "
        f"may span at most {max_nodes}"
    )
    remove = "" if sizes.is_open else ", remove the parallel sizes from inference.config"
    raise_limit = ", or ask the operator to raise KAITO_MAX_NODES_PER_INSTANCE"
    return message, f"{_ASK_FOR_MORE}{remove}{raise_limit}"


def no_layout(preset: Preset, accelerator: Accelerator, sizes: AskedSizes) -> Refusal:
    """Return why it fits on no number of nodes, although its GPUs are not too small."""
    given = ", ".join(
        f"{name}-parallel-size {size}" for name, size in vars(sizes).items() if size is not None
    )
    under = f" and {given}" if given else ""
    message = (
        f"{_weights_of(preset)} fits on no number of nodes with {hardware(accelerator)}{under}"
    )
    remove = ", or remove the parallel sizes from inference.config" if given else ""
    return message, f"{_ASK_FOR_MORE}{remove}"


def _weights_of(preset: Preset) -> str:
    return f"{preset.name} ({gibibytes(preset.model.weights_bytes)} of weights)"
