"""Rules on LoRA adapters. Upstream judges most of this on updates only, and lets broken ones in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from api.preset import RuntimeName
from api.workspace import MAX_ADAPTERS, Adapter, DataSource
from planner.rules.base import Case, Fault, Rule, quote, rule
from planner.rules.volumes import volume_fault
from planner.syntax import MAX_LABEL_CHARACTERS, is_object_name, parse_image

_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9}")
_SOURCE: Final = "inference.adapters.source"


@rule("inference.adapters")
def adapters_are_supported(case: Case) -> Iterator[Fault]:
    """The model server can load adapters for the model."""
    if _adapters(case) and case.runtime is not None and not case.runtime.adapters:
        model = case.preset.name if case.preset is not None else ""
        yield Fault(
            f"{case.runtime.name} can't serve {model} with adapters",
            "remove them, or choose another model",
        )


@rule("inference.adapters")
def adapters_are_few(case: Case) -> Iterator[Fault]:
    """There are at most 10 adapters."""
    count = len(_adapters(case))
    if count > MAX_ADAPTERS:
        yield Fault(f"{count} adapters are too many", f"serve at most {MAX_ADAPTERS} of them")


@rule(_SOURCE)
def adapter_has_source(case: Case) -> Iterator[Fault]:
    """Every adapter says where it comes from."""
    for index, adapter in enumerate(_adapters(case), start=1):
        if adapter.source is None:
            yield Fault(
                f"adapter {index} has none", "give it a name and an image or a volumeSource"
            )


@rule(f"{_SOURCE}.name")
def adapter_name_is_a_name(case: Case) -> Iterator[Fault]:
    """Every adapter has a name that a folder and a request can carry."""
    for index, source in _sources(case):
        if not is_object_name(source.name) or len(source.name) > MAX_LABEL_CHARACTERS:
            told = f"{quote(source.name)} can't be its name" if source.name else "it has no name"
            yield Fault(
                f"adapter {index}: {told}",
                f"name it in at most {MAX_LABEL_CHARACTERS} lower-case letters, digits, dashes "
                "and dots",
            )


@rule(f"{_SOURCE}.name")
def adapter_names_differ(case: Case) -> Iterator[Fault]:
    """No two adapters have one name, and none has the model's."""
    counts = Counter(source.name for _, source in _sources(case) if source.name)
    for name, count in counts.items():
        if count > 1:
            yield Fault(f"{count} adapters are called {quote(name)}", "give each its own name")
        if case.preset is not None and name == case.preset.name:
            yield Fault(
                f"{quote(name)} is the model's own name",
                "name it otherwise, so that a request can choose between the two",
            )


@rule(f"{_SOURCE}.urls")
def adapter_has_no_urls(case: Case) -> Iterator[Fault]:
    """Adapters come from images and volumes; upstream takes addresses and ignores them."""
    for index, source in _sources(case):
        if source.urls:
            yield Fault(
                f"adapter {index}: an adapter can't be downloaded from addresses",
                "put its files below /data of an image, or on a volume",
            )


@rule(_SOURCE)
def adapter_has_one_source(case: Case) -> Iterator[Fault]:
    """Every adapter has either an image or a volume."""
    for index, source in _sources(case):
        if bool(source.image) == (source.volume_source is not None) and not source.urls:
            given = "both" if source.image else "neither"
            yield Fault(
                f"adapter {index}: of image and volumeSource {given} is given",
                "set exactly one of them",
            )


@rule(f"{_SOURCE}.image")
def adapter_image_is_reference(case: Case) -> Iterator[Fault]:
    """An adapter's image is one that a registry can have."""
    for _, source in _sources(case):
        if source.image and parse_image(source.image) is None:
            yield Fault(
                f"{quote(source.image)} can't be an image",
                "write it as registry.example/repository:tag or with @sha256:…",
            )


@rule(f"{_SOURCE}.volumeSource")
def adapter_volume_is_sound(case: Case) -> Iterator[Fault]:
    """An adapter's volume is written as in a pod: one kind of volume."""
    for index, source in _sources(case):
        fault = volume_fault(source.volume_source)
        if fault is not None:
            yield Fault(f"adapter {index}: {fault.message}", fault.remedy)


@rule("inference.adapters.strength")
def adapter_strength_is_a_part(case: Case) -> Iterator[Fault]:
    """A strength is a number from 0 to 1."""
    for index, adapter in enumerate(_adapters(case), start=1):
        text = adapter.strength
        if text is None or (_NUMBER.fullmatch(text) is not None and float(text) <= 1):
            continue
        yield Fault(
            f"adapter {index}: {quote(text)} is no number from 0 to 1",
            'write it as a text such as "0.5", or remove it for full strength',
        )


@rule("inference.adapters.strength")
def adapter_strength_is_applied(case: Case) -> Iterator[Fault]:
    """A strength is given only where the model server mixes adapters into the model."""
    with_strength = [one for one in _adapters(case) if one.strength is not None]
    if not with_strength:
        return
    if case.runtime_name != RuntimeName.TRANSFORMERS:
        yield Fault(
            "vllm serves each adapter by itself and knows no strength",
            "remove it, or choose the runtime transformers",
        )
        return
    for one in with_strength:
        name = one.source.name if one.source is not None else ""
        # The runtime reads it from a variable of the adapter's name.
        if name[:1].isdigit():
            yield Fault(
                f"the strength of {quote(name)} can't reach the model server",
                "give the adapter a name that begins with a letter, or remove its strength",
            )


def _adapters(case: Case) -> tuple[Adapter, ...]:
    inference = case.workspace.inference
    return inference.adapters if inference is not None else ()


def _sources(case: Case) -> Iterator[tuple[int, DataSource]]:
    for index, adapter in enumerate(_adapters(case), start=1):
        if adapter.source is not None:
            yield index, adapter.source


RULES: Final[tuple[Rule, ...]] = (
    adapters_are_supported,
    adapters_are_few,
    adapter_has_source,
    adapter_name_is_a_name,
    adapter_names_differ,
    adapter_has_no_urls,
    adapter_has_one_source,
    adapter_image_is_reference,
    adapter_volume_is_sound,
    adapter_strength_is_a_part,
    adapter_strength_is_applied,
)
