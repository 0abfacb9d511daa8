"""What works otherwise than one may think. Nothing is refused because of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Final

from api import names
from api.preset import RuntimeName
from api.workspace import AccessMode, CapacityType, RolloutStrategy
from planner.hub_ids import is_commit, looks_like_id
from planner.rules.base import MAX_QUOTED_CHARACTERS, Case, annotation, quote
from planner.rules.hardware import fallback_misfit, serving_misfit, tuning_misfit
from planner.rules.instance_types import is_unlisted
from planner.syntax import parse_image

Notice = Callable[[Case], Iterator[str]]

_FALLBACKS: Final = "resource.fallbackInstanceTypes"
_ONE_MACHINE: Final = "onebox"
_CLOUDS: Final = frozenset({"azure", "aws", "arc"})
"""Files of the catalogue whose types a machine of one's own can't make."""

_READ_ANNOTATIONS: Final = frozenset(
    {
        names.ANNOTATION_RUNTIME,
        names.ANNOTATION_ENABLE_LOAD_BALANCER,
        names.ANNOTATION_BYPASS_RESOURCE_CHECKS,
        names.ANNOTATION_NODE_IMAGE_FAMILY,
        names.ANNOTATION_NODE_CLASS_NAME,
        names.ANNOTATION_PERFORMANCE_MODE,
        names.ANNOTATION_USE_LOCAL_WEIGHTS,
        # Not read, and still obeyed: there is no benchmark to leave out.
        names.ANNOTATION_DISABLE_BENCHMARK,
    }
)


def notices(case: Case) -> Iterator[str]:
    """Yield one sentence for each, in the order of the fields."""
    for notice in _IN_ORDER:
        yield from notice(case)


def _types(case: Case) -> Iterator[str]:
    resource = case.workspace.resource
    if not case.settings.provisions_nodes:
        if resource.fallback_instance_types:
            yield (
                f"{_FALLBACKS}: no nodes are made by this installation, so none is of another type"
            )
        return
    for field, wanted in (
        ("resource.instanceType", case.wanted_type),
        *((_FALLBACKS, one) for one in resource.fallback_instance_types),
    ):
        if case.settings.provisioner == _ONE_MACHINE and _is_of_a_cloud(case, wanted):
            yield f"{field}: this installation has no machines of type {quote(wanted)}"
        elif is_unlisted(case, wanted):
            yield (
                f"{field}: the catalogue does not know {quote(wanted)}, so whether the model fits "
                "is known only once a node of it exists"
            )
    for name in resource.fallback_instance_types:
        fault = None if case.bypasses_checks else fallback_misfit(case, name)
        if fault is not None:
            yield f"{_FALLBACKS}: {quote(name)} will not be tried: {fault.message}"


def _is_of_a_cloud(case: Case, wanted: str) -> bool:
    known = case.catalogue.instance_type(wanted) if case.catalogue is not None else None
    return known.provider in _CLOUDS if known is not None else is_unlisted(case, wanted)


def _nodes(case: Case) -> Iterator[str]:
    resource = case.workspace.resource
    is_spot = resource.capacity_type in {CapacityType.SPOT, CapacityType.SPOT_WITH_FALLBACK}
    if is_spot and not _buys_machines(case):
        yield (
            f"resource.capacityType: {resource.capacity_type} is ignored, because this "
            "installation buys no machines"
        )
    if resource.partition is not None and case.has_own_pods:
        yield "resource.partition: pods of your own ask for what they need themselves"


def _memory(case: Case) -> Iterator[str]:
    if not case.bypasses_checks:
        return
    for fault in (serving_misfit(case), tuning_misfit(case)):
        if fault is not None:
            yield (
                f"{annotation(names.ANNOTATION_BYPASS_RESOURCE_CHECKS)}: it is tried although "
                f"{fault.message}"
            )


def _model(case: Case) -> Iterator[str]:
    if case.wanted_preset is None:
        return
    path, wanted = case.wanted_preset
    preset, options = case.preset, wanted.preset_options
    if preset is not None and preset.deprecated:
        yield f"{path}.name: {preset.name} is deprecated: {preset.deprecated}"
    is_of_catalogue = case.catalogue is not None and case.catalogue.get(wanted.name) is not None
    if looks_like_id(wanted.name) and not is_of_catalogue:
        revision = wanted.name.partition("@")[2]
        if not is_commit(revision):
            yield (
                f"{path}.name: {quote(wanted.name)} is taken as it is when it is first looked up; "
                "write @ and a commit behind it to choose one yourself"
            )
    if options is None or wanted.access_mode is AccessMode.PRIVATE:
        return
    for field, is_set in (
        ("image", bool(options.image)),
        ("imagePullSecrets", bool(options.image_pull_secrets)),
    ):
        if is_set:
            yield f"{path}.presetOptions.{field}: is ignored unless accessMode is private"


def _images(case: Case) -> Iterator[str]:
    for field, image in _own_images(case):
        reference = parse_image(image)
        if reference is not None and reference.is_moving:
            yield (
                f"{field}: {quote(image)} names no version, so nodes may come to run different "
                "ones; name a tag or a digest"
            )


def _own_images(case: Case) -> Iterator[tuple[str, str]]:
    if case.wanted_preset is not None:
        path, wanted = case.wanted_preset
        if wanted.access_mode is AccessMode.PRIVATE and wanted.preset_options is not None:
            yield f"{path}.presetOptions.image", wanted.preset_options.image
    inference, tuning = case.workspace.inference, case.workspace.tuning
    for adapter in inference.adapters if inference is not None else ():
        if adapter.source is not None and adapter.source.image:
            yield "inference.adapters.source.image", adapter.source.image
    if tuning is not None and tuning.input.image:
        yield "tuning.input.image", tuning.input.image


def _own_pods(case: Case) -> Iterator[str]:
    inference = case.workspace.inference
    if inference is None or not case.has_own_pods:
        return
    for field, is_set in (("adapters", bool(inference.adapters)), ("config", inference.config)):
        if is_set:
            yield f"inference.{field}: is ignored, because pods of your own bring what they need"
    for name in (names.ANNOTATION_RUNTIME, names.ANNOTATION_USE_LOCAL_WEIGHTS):
        if name in case.workspace.annotations:
            yield f"{annotation(name)}: is ignored, because pods of your own bring what they need"


def _server(case: Case) -> Iterator[str]:
    inference = case.workspace.inference
    if inference is None or not case.serves_preset:
        return
    if case.runtime_name != RuntimeName.TRANSFORMERS:
        return
    if inference.config:
        yield "inference.config: is not read by the runtime transformers"
    if names.ANNOTATION_PERFORMANCE_MODE in case.workspace.annotations:
        yield (
            f"{annotation(names.ANNOTATION_PERFORMANCE_MODE)}: is ignored by the runtime "
            "transformers"
        )


def _node_annotations(case: Case) -> Iterator[str]:
    for name in (names.ANNOTATION_NODE_IMAGE_FAMILY, names.ANNOTATION_NODE_CLASS_NAME):
        if name in case.workspace.annotations and not _buys_machines(case):
            yield f"{annotation(name)}: is ignored, because this installation makes no such nodes"


def _unread_annotations(case: Case) -> Iterator[str]:
    known = sorted(_READ_ANNOTATIONS)
    for name in sorted(case.workspace.annotations):
        if name.startswith(f"{names.GROUP}/") and name not in _READ_ANNOTATIONS:
            close = get_close_matches(name[:MAX_QUOTED_CHARACTERS].lower(), known, n=1)
            meant = f"; did you mean {close[0]}?" if close else ""
            yield f"metadata.annotations: {quote(name)} is not read by this version{meant}"


def _rollout(case: Case) -> Iterator[str]:
    rollout = case.workspace.rollout
    is_surge = rollout is not None and rollout.strategy is RolloutStrategy.SURGE
    if is_surge and not case.settings.provisions_nodes:
        count = case.workspace.resource.count
        yield (
            "rollout.strategy: Surge takes room for a second set of pods while an edit is carried "
            f"out, and this installation makes no nodes: see that the GPUs of {count} pods more "
            "are free"
        )


def _buys_machines(case: Case) -> bool:
    return case.settings.sells_spot


_IN_ORDER: Final[tuple[Notice, ...]] = (
    _model,
    _images,
    _own_pods,
    _server,
    _types,
    _nodes,
    _memory,
    _node_annotations,
    _unread_annotations,
    _rollout,
)
