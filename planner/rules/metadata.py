"""Rules on the name and the annotations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api import names
from api.preset import RuntimeName
from planner.annotations import annotation_word
from planner.rules.base import Case, Fault, Rule, annotation, choose, quote, rule
from planner.syntax import is_object_name, is_service_name

NODE_IMAGE_FAMILIES: Final = ("azurelinux", "ubuntu")
PERFORMANCE_MODES: Final = ("balanced", "interactivity", "throughput")
"""Those of vLLM's flag of this name."""
BOOLEANS: Final = ("true", "false")


@rule("metadata.name")
def name_is_service_name(case: Case) -> Iterator[Fault]:
    """The Service gets the Workspace's name, so it is one that a Service may have (RFC 1035)."""
    name = case.workspace.name
    if not is_service_name(name):
        yield Fault(
            f"{quote(name)} can't be the name of a Service",
            "create the Workspace anew under a name of lower-case letters, digits and dashes that "
            "begins with a letter",
        )


@rule("metadata.name")
def name_is_short(case: Case) -> Iterator[Fault]:
    """Names of pods and labels are made of the name, and they still fit."""
    length = len(case.workspace.name)
    if length > names.MAX_WORKSPACE_NAME_CHARACTERS:
        yield Fault(
            f"{length} characters are too many; names of pods are made of it",
            "create the Workspace anew under a name of at most "
            f"{names.MAX_WORKSPACE_NAME_CHARACTERS} characters",
        )


@rule(annotation(names.ANNOTATION_RUNTIME))
def runtime_is_known(case: Case) -> Iterator[Fault]:
    """The annotation names a model server that the platform has."""
    wanted = case.wanted_runtime
    if wanted and wanted not in set(RuntimeName):
        yield Fault(f"there is no runtime {quote(wanted)}", "set it to vllm or transformers")


@rule(annotation(names.ANNOTATION_RUNTIME))
def runtime_serves_model(case: Case) -> Iterator[Fault]:
    """The model can be served by the runtime that the annotation names."""
    wanted, preset = case.wanted_runtime, case.preset
    if preset is None or not case.serves_preset or wanted not in set(RuntimeName):
        return
    if case.runtime is None:
        known = " or ".join(one.name for one in preset.runtimes)
        yield Fault(
            f"{preset.name} can't be served by {wanted}", f"set it to {known}, or remove it"
        )


@rule(annotation(names.ANNOTATION_ENABLE_LOAD_BALANCER))
def load_balancer_is_boolean(case: Case) -> Iterator[Fault]:
    """The annotation says true or false, in any case; nobody exposes a model by a slip."""
    yield from _is_one_of(case, names.ANNOTATION_ENABLE_LOAD_BALANCER, BOOLEANS)


@rule(annotation(names.ANNOTATION_NODE_IMAGE_FAMILY))
def node_image_family_is_known(case: Case) -> Iterator[Fault]:
    """The annotation names an operating system that nodes can be made with."""
    yield from _is_one_of(case, names.ANNOTATION_NODE_IMAGE_FAMILY, NODE_IMAGE_FAMILIES)


@rule(annotation(names.ANNOTATION_PERFORMANCE_MODE))
def performance_mode_is_known(case: Case) -> Iterator[Fault]:
    """The annotation names one of vLLM's performance modes."""
    yield from _is_one_of(case, names.ANNOTATION_PERFORMANCE_MODE, PERFORMANCE_MODES)


@rule(annotation(names.ANNOTATION_USE_LOCAL_WEIGHTS))
def local_weights_is_boolean(case: Case) -> Iterator[Fault]:
    """The annotation says true or false."""
    yield from _is_one_of(case, names.ANNOTATION_USE_LOCAL_WEIGHTS, BOOLEANS)


@rule(annotation(names.ANNOTATION_NODE_CLASS_NAME))
def node_class_is_a_name(case: Case) -> Iterator[Fault]:
    """The annotation holds a name that a node class can have."""
    name = case.workspace.annotations.get(names.ANNOTATION_NODE_CLASS_NAME)
    if name is not None and not is_object_name(name):
        yield Fault(
            f"{quote(name)} can't be the name of a node class",
            "name one that the operator of the platform set up, or remove it",
        )


def _is_one_of(case: Case, name: str, known: tuple[str, ...]) -> Iterator[Fault]:
    """Upstream takes some of these values in one case only; here, case and spaces don't matter."""
    value = case.workspace.annotations.get(name)
    if value is not None and annotation_word(case.workspace, name) not in known:
        yield Fault(f"{quote(value)} is not one of its values", choose(list(known)))


RULES: Final[tuple[Rule, ...]] = (
    name_is_service_name,
    name_is_short,
    runtime_is_known,
    runtime_serves_model,
    load_balancer_is_boolean,
    node_image_family_is_known,
    performance_mode_is_known,
    local_weights_is_boolean,
    node_class_is_a_name,
)
