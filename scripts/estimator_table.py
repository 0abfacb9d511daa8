"""Writes the tables of docs/estimator.md: how many nodes we plan with, beside upstream's estimate.

python -m scripts.estimator_table --write     write them anew
python -m scripts.estimator_table --check     exit 1 when they are stale
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from api.preset import Accelerator, AcceleratorVendor, Catalogue, Preset, Runtime, RuntimeName
from planner.serving_config import ServingConfig
from planner.serving_request import UTILIZATION_BY_MODEL
from planner.sizing import Sizing, size_serving
from planner.world import PlatformSettings
from presets.loader import load_catalogue

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "estimator.md"
UPSTREAM_MODELS: Final = ROOT / "scripts" / "upstream_models.yaml"
BEGIN: Final = "<!-- tables: begin (python -m scripts.estimator_table --write) -->"
END: Final = "<!-- tables: end -->"

GIBIBYTE: Final = 2**30
CONTEXT_TOKENS: Final = 2048
NO_CAP: Final = 10**6
CAP: Final = PlatformSettings().max_nodes_per_instance

COLUMNS: Final = (
    "Standard_NV36ads_A10_v5",
    "g6.12xlarge",
    "Standard_NC24ads_A100_v4",
    "Standard_NC96ads_A100_v4",
    "Standard_ND96isr_H100_v5",
    "Standard_ND96isr_H200_v5",
)

WEIGHTS, UTILIZATION, CACHE, LAYERS = "weights", "A10", "cache", "layers"

REASONS: Final = {
    WEIGHTS: "Upstream's catalogue counts the weights of these repositories twice: they hold the "
    "same numbers in two layouts, and a server loads one.",
    UTILIZATION: "Upstream starts servers on an A10 with 0.82 of its memory and estimates with "
    "0.84. We plan with what the server gets.",
    CACHE: "Upstream divides the cache by the GPUs of one node, and we by those of the instance: "
    "each node keeps the cache of its own layers only. Layers with a sliding window or a state "
    "count less, and a latent vector counts whole on each GPU.",
    LAYERS: "Upstream orders more nodes than the model has layers. A node without a layer helps "
    "nobody, so it does not fit.",
}
"""Why our number may differ from upstream's; all of them do so for the better."""


@dataclass(frozen=True)
class UpstreamModel:
    """What upstream's estimator knows of a model."""

    weights_bytes: float
    cache_bytes_per_token: int


def upstream_models() -> dict[str, UpstreamModel]:
    """Return upstream v0.12's facts by our names."""
    content: dict[str, dict[str, Any]] = yaml.safe_load(UPSTREAM_MODELS.read_text())
    return {
        name: UpstreamModel(facts["gib"] * GIBIBYTE, facts["cacheBytesPerToken"])
        for name, facts in content.items()
    }


def upstream_nodes(
    model: UpstreamModel, memory_bytes: int, gpus: int, utilization: float = 0.84
) -> int | None:
    """Return the nodes that upstream v0.12 would order (facts, control plane B6.2)."""
    available = memory_bytes * utilization
    reserve = 2.3 * GIBIBYTE + CONTEXT_TOKENS * model.cache_bytes_per_token / gpus
    if available <= reserve:
        return None
    per_gpu = (available - reserve) / 1.05
    return math.ceil((int(model.weights_bytes * 1.02 / per_gpu) + 1) / gpus)


def our_nodes(preset: Preset, accelerator: Accelerator) -> int | None:
    """Return the nodes that one instance takes, without a cap; None where it fits on none."""
    sizing = size_serving(preset, _runtime(preset), accelerator, ServingConfig(), max_nodes=NO_CAP)
    return sizing.nodes_per_instance if isinstance(sizing, Sizing) else None


def _runtime(preset: Preset) -> Runtime:
    return preset.runtime(RuntimeName.VLLM) or preset.runtimes[0]


@dataclass(frozen=True)
class Difference:
    """One model on one kind of hardware for which we plan with another number."""

    preset: str
    hardware: str
    ours: int | None
    upstream: int | None
    reasons: tuple[str, ...]
    """What changes upstream's number on the way to ours, one after the other."""


def kinds_of_hardware(catalogue: Catalogue) -> dict[str, Accelerator]:
    """Return every kind of node with NVIDIA GPUs by its name, small ones first."""
    found = {
        described(one.accelerator): one.accelerator
        for one in catalogue.instance_types.values()
        if one.accelerator.vendor is AcceleratorVendor.NVIDIA
    }
    return dict(sorted(found.items(), key=lambda item: (item[1].memory, item[1].count, item[0])))


def described(accelerator: Accelerator) -> str:
    """Return what decides the numbers: GPUs, their memory, and the one model that is special."""
    special = f" ({accelerator.model})" if accelerator.model in UTILIZATION_BY_MODEL else ""
    return f"{accelerator.count} of {accelerator.memory // GIBIBYTE} GiB{special}"


def pairs(catalogue: Catalogue) -> Iterator[tuple[Preset, UpstreamModel, str, Accelerator]]:
    """Yield every model that upstream knows with every kind of hardware."""
    known = upstream_models()
    for name in catalogue.names():
        if name in known:
            for hardware, accelerator in kinds_of_hardware(catalogue).items():
                yield catalogue.presets[name], known[name], hardware, accelerator


def differences(catalogue: Catalogue) -> Iterator[Difference]:
    """Yield every difference that matters: where both numbers are above the cap, none is used."""
    for preset, model, hardware, accelerator in pairs(catalogue):
        found = difference(preset, model, hardware, accelerator)
        if found is not None and min(found.ours or NO_CAP, found.upstream or NO_CAP) <= CAP:
            yield found


def difference(
    preset: Preset, model: UpstreamModel, hardware: str, accelerator: Accelerator
) -> Difference | None:
    """Return how the two numbers differ and why, or None."""
    memory, gpus = accelerator.memory, accelerator.count
    upstream, ours = upstream_nodes(model, memory, gpus), our_nodes(preset, accelerator)
    if ours == upstream:
        return None
    corrected = UpstreamModel(preset.model.weights_bytes, model.cache_bytes_per_token)
    utilization = UTILIZATION_BY_MODEL.get(accelerator.model, 0.84)
    with_weights = upstream_nodes(corrected, memory, gpus)
    with_utilization = upstream_nodes(corrected, memory, gpus, utilization)
    steps = (
        (WEIGHTS, upstream != with_weights),
        (UTILIZATION, with_weights != with_utilization),
        (LAYERS, ours is None),
        (CACHE, ours is not None and with_utilization != ours),
    )
    reasons = tuple(reason for reason, has_changed in steps if has_changed)
    return Difference(preset.name, hardware, ours, upstream, reasons)


# --- The page -------------------------------------------------------------------------------------


def tables(catalogue: Catalogue) -> str:
    """Return the part of the page between the markers."""
    return "\n".join([*_node_table(catalogue), "", *_difference_table(catalogue)])


def _node_table(catalogue: Catalogue) -> Iterator[str]:
    columns = [catalogue.instance_types[name.casefold()] for name in COLUMNS]
    heads = [
        f"{one.name}, {one.accelerator.count} {one.accelerator.model} of "
        f"{one.accelerator.memory // GIBIBYTE} GiB"
        for one in columns
    ]
    yield "| model | weights, GiB | cache, KiB a token | " + " | ".join(heads) + " |"
    yield "|---|---|---|" + "---|" * len(heads)
    known = upstream_models()
    for name in catalogue.names():
        preset = catalogue.presets[name]
        cells = [_cell(preset, known.get(name), one.accelerator) for one in columns]
        weights = f"{preset.model.weights_bytes / GIBIBYTE:.1f}"
        yield f"| {name} | {weights} | {_cache(preset)} | " + " | ".join(cells) + " |"


def _cache(preset: Preset) -> str:
    gpu = Accelerator(
        vendor=AcceleratorVendor.NVIDIA, model="any", count=1, memory=NO_CAP * GIBIBYTE
    )
    sizing = size_serving(preset, _runtime(preset), gpu, ServingConfig())
    if not isinstance(sizing, Sizing) or sizing.budget is None:
        return ""
    return f"{sizing.budget.kv_cache_bytes_per_token / 1024:g}"


def _cell(preset: Preset, model: UpstreamModel | None, accelerator: Accelerator) -> str:
    sizing = size_serving(preset, _runtime(preset), accelerator, ServingConfig(), max_nodes=NO_CAP)
    if not isinstance(sizing, Sizing):
        ours, text = None, "no"
    else:
        ours = sizing.nodes_per_instance
        text = f"{ours}{'*' if ours > CAP else ''} {_layout(sizing)}".rstrip()
    if model is None:
        return text
    upstream = upstream_nodes(model, accelerator.memory, accelerator.count)
    return text if upstream == ours else f"{text} (≠ {upstream})"


def _layout(sizing: Sizing) -> str:
    sizes = {"TP": sizing.parallelism.tensor, "PP": sizing.parallelism.pipeline}
    sizes["DP"] = sizing.parallelism.data
    return " ".join(f"{name}{size}" for name, size in sizes.items() if size > 1)


def _difference_table(catalogue: Catalogue) -> Iterator[str]:
    found = list(differences(catalogue))
    count = sum(1 for _ in pairs(catalogue))
    yield (
        f"{len(upstream_models())} models of upstream v0.12 on {len(kinds_of_hardware(catalogue))} "
        f"kinds of nodes are {count} pairs. In {count - len(found)} of them both come to the same, "
        f"or to more than {CAP} nodes. The others:"
    )
    for reason, why in REASONS.items():
        rows = _rows(one for one in found if reason in one.reasons)
        if rows:
            yield from ("", f"**{reason}.** {why}", "", "| model | nodes: ours, upstream's |")
            yield "|---|---|"
            yield from (f"| {name} | {'; '.join(numbers)} |" for name, numbers in rows.items())


def _rows(found: Iterable[Difference]) -> dict[str, list[str]]:
    by_model: dict[str, list[str]] = {}
    for one in found:
        ours = "none" if one.ours is None else one.ours
        upstream = "none" if one.upstream is None else one.upstream
        by_model.setdefault(one.preset, []).append(f"{one.hardware}: {ours}, {upstream}")
    return by_model


def page(old: str, catalogue: Catalogue) -> str:
    """Return the page with its tables written anew.

    Raises:
        ValueError: the page has no markers.
    """
    head, begin, rest = old.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE}: there must be {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{tables(catalogue)}\n\n{END}{tail}"


def main() -> int:
    """Write or check the page."""
    parser = argparse.ArgumentParser(prog="python -m scripts.estimator_table", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the tables anew")
    action.add_argument("--check", action="store_true", help="exit 1 when they are stale")
    chosen = parser.parse_args()
    old = PAGE.read_text()
    new = page(old, load_catalogue())
    if chosen.write:
        PAGE.write_text(new)
        return 0
    if new != old:
        sys.stderr.write(f"{PAGE} is stale; run python -m scripts.estimator_table --write\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
