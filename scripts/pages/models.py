"""docs/models.md and docs/instance_types.md: what the catalogue knows, for people who choose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Final

from api.preset import AcceleratorVendor, Catalogue, ImageAccess, InstanceType, Preset, Runtime
from planner.kv_cache import cache_shape
from planner.serving_config import ServingConfig
from planner.serving_request import ServingRequest
from planner.suggestions import fitting_types
from planner.world import PlatformSettings
from presets.loader import load_catalogue
from scripts.pages.tables import code, table

GIBIBYTE: Final = 2**30
KIBIBYTE: Final = 2**10

REVISION_CHARACTERS: Final = 7
"""Of a commit: as many as Git shows."""

PROVIDERS: Final[Mapping[str, str]] = {
    "azure": "Azure",
    "aws": "AWS",
    "arc": "Azure Arc",
    "onebox": "onebox (this machine)",
}
"""Catalogue files of instance types, in the order of the page."""

CLOUDS: Final = ("azure", "aws")
"""Providers of which the smallest type is named."""

_MODELS: Final = """\
# Models

<!-- Written by `make generate` from presets/catalogue/; a model is added there. -->

Each of these is served by its name, by any of its aliases, or by its Hugging Face id, in upper or
lower case. Any other text model of Hugging Face is served by its id: `org/name`, or
`org/name@revision`.

The instance types are the smallest that carry one instance of the model with the default settings:
the fewest nodes, then the lowest list price, of those whose GPUs compute in bfloat16.
`python -m worker plan` says more, of any model, type and configuration
([how to read it](plan.md)).

- **gated**: Hugging Face asks for a token (`inference.preset.presetOptions.modelAccessSecret`).
- **private**: needs an image of your own that holds the weights (`presetOptions.image`).
- **code**: its repository brings Python code, which is run.
- **tuning**: it can be tuned as well.
- **cpu**: runs on CPUs, on nodes of [onebox](../README.md)."""

_INSTANCE_TYPES: Final = """\
# Instance types

<!-- Written by `make generate` from presets/instance_types/. -->

Prices are list prices of one hour on demand, in US dollars, from the month beside them; whoever
pays looks them up anew. Other types work once a node of theirs exists: its labels then tell what
GPUs it has."""


def models_page() -> str:
    """Return docs/models.md."""
    return "\n".join([*_models_page(load_catalogue()), ""])


def _models_page(catalogue: Catalogue) -> Iterator[str]:
    presets = [catalogue.presets[name] for name in catalogue.names()]
    yield from _MODELS.splitlines()
    yield ""
    yield f"## To choose one of {len(presets)}"
    yield ""
    head = ["Name", "What it is", "Weights, GiB", "Context", *_provider_names(), "Remarks"]
    yield from table(head, (_choice(preset, catalogue) for preset in presets))
    yield ""
    yield "## Particulars"
    yield ""
    yield "*Cache* is what the keys and values of one token of context take, over all GPUs."
    yield ""
    head = [
        "Name",
        "Aliases",
        "Repository",
        "License",
        "Architecture",
        "Type",
        "Cache, KiB",
        "Servers",
        "Parsers",
    ]
    yield from table(head, (_particulars(preset) for preset in presets))


def _provider_names() -> list[str]:
    return [PROVIDERS[provider] for provider in CLOUDS]


def _choice(preset: Preset, catalogue: Catalogue) -> list[str]:
    model = preset.model
    return [
        code(preset.name),
        preset.description,
        f"{model.weights_bytes / GIBIBYTE:.1f}",
        str(model.max_model_length),
        *(_smallest(preset, provider, catalogue) for provider in CLOUDS),
        ", ".join(_remarks(preset)),
    ]


def _remarks(preset: Preset) -> Iterator[str]:
    if preset.model.gated:
        yield "gated"
    if preset.image_access is ImageAccess.PRIVATE:
        yield "private"
    if preset.trust_remote_code:
        yield "code"
    if preset.tuning is not None:
        yield "tuning"
    if AcceleratorVendor.EMULATED in preset.runtimes[0].accelerators:
        yield "cpu"
    if preset.deprecated:
        yield f"deprecated: {preset.deprecated}"


def _particulars(preset: Preset) -> list[str]:
    model = preset.model
    revision = f" @ {code(model.revision[:REVISION_CHARACTERS])}" if model.revision else ""
    return [
        code(preset.name),
        ", ".join(code(alias) for alias in preset.aliases),
        f"{model.hugging_face_id}{revision}",
        model.license,
        model.architecture,
        f"{model.dtype}, {model.quantization}" if model.quantization else model.dtype,
        f"{_cache_bytes_per_token(preset) / KIBIBYTE:.1f}",
        ", ".join(runtime.name for runtime in preset.runtimes),
        "; ".join(_parsers(preset.runtimes[0])),
    ]


def _parsers(runtime: Runtime) -> Iterator[str]:
    for flag, word in (("tool-call-parser", "tools"), ("reasoning-parser", "reasoning")):
        if value := runtime.arguments.get(flag):
            yield f"{word} {code(str(value))}"


def _cache_bytes_per_token(preset: Preset) -> int:
    request = ServingRequest.of(preset.model, preset.runtimes[0], ServingConfig())
    return cache_shape(preset.model.attention, request.cache_bytes).bytes_per_token


def _smallest(preset: Preset, provider: str, catalogue: Catalogue) -> str:
    """Return the provider's instance type that carries the model on the fewest nodes."""
    most = PlatformSettings.max_nodes_per_instance
    found = fitting_types(preset, preset.runtimes[0], catalogue, provider, max_nodes=most)
    if not found:
        return ""
    name = code(found[0].instance_type)
    return name if found[0].nodes == 1 else f"{found[0].nodes} of {name}"


# --- Instance types -------------------------------------------------------------------------------


def instance_types_page() -> str:
    """Return docs/instance_types.md."""
    return "\n".join([*_instance_types_page(load_catalogue()), ""])


def _instance_types_page(catalogue: Catalogue) -> Iterator[str]:
    yield from _INSTANCE_TYPES.splitlines()
    order = list(PROVIDERS)
    known = sorted(
        catalogue.instance_types.values(),
        key=lambda one: (order.index(one.provider), one.accelerator.model, one.gpu_count, one.name),
    )
    for provider, members in groupby(known, key=lambda one: one.provider):
        yield ""
        yield f"## {PROVIDERS[provider]}"
        yield ""
        head = ["Name", "Accelerators", "GiB each", "CPUs", "Memory, GiB", "Local disk, GiB", "USD"]
        yield from table(head, (_instance_type(one) for one in members))


def _instance_type(one: InstanceType) -> list[str]:
    price = one.price
    return [
        code(one.name),
        f"{one.gpu_count} {one.accelerator.model}",
        _gib(one.gpu_memory_bytes),
        str(one.cpus or ""),
        _gib(one.memory),
        _gib(one.local_disk),
        f"{price.usd_per_hour:.2f} ({price.region}, {price.as_of})" if price else "",
    ]


def _gib(size_bytes: int | None) -> str:
    return f"{size_bytes / GIBIBYTE:.0f}" if size_bytes else ""
