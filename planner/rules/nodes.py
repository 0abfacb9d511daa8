"""Rules on where to do it: nodes, instance types, and whether the model fits on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api import names
from api.errors import FeatureNotAvailable, InstanceTypeTooSmall
from api.preset import AcceleratorVendor, Catalogue
from planner.rules.base import Case, Violation, choose, quote, suggest
from planner.syntax import is_label_key, is_label_value, is_object_name

MAX_NODE_COUNT: Final = 100
"""Most nodes of one Workspace: a guess at what nobody means to order. Placement knows 1024."""

USABLE_GPU_MEMORY: Final = 0.9
"""Part of a GPU's memory that weights and cache may take; the rest is the server's own. It is what
upstream configures for GPUs that it does not know."""

_RESERVED_LABELS: Final = frozenset(
    {
        names.LABEL_WORKSPACE,
        names.LABEL_WORKSPACE_NAMESPACE,
        names.LABEL_WORKSPACE_UID,
        names.LABEL_REVISION,
        names.LABEL_ROLE,
        names.LABEL_MANAGED_BY,
    }
)
_OPERATORS_WITH_VALUES: Final = frozenset({"In", "NotIn"})
_OPERATORS: Final = _OPERATORS_WITH_VALUES | {"Exists", "DoesNotExist"}


def check_count(case: Case) -> Iterator[Violation]:
    """There must be nodes, and not absurdly many."""
    count = case.workspace.resource.count
    if not 1 <= count <= MAX_NODE_COUNT:
        shown = count if abs(count) < 10**9 else "this many"
        yield Violation(
            "count-is-sensible",
            "resource.count",
            f"{shown} nodes can't be had",
            f"set it to something from 1 to {MAX_NODE_COUNT}",
        )


def check_selector(case: Case) -> Iterator[Violation]:
    """Something must say which nodes may be used, and new nodes must be able to match it."""
    resource = case.workspace.resource
    where = "resource.labelSelector"
    if not resource.has_label_selector:
        yield Violation(
            "selector-is-given",
            where,
            "nothing says which nodes may be used",
            "set matchLabels to labels that your nodes carry, or that new nodes shall carry",
        )
        return
    yield from _selector_is_sound(case)
    if case.settings.provisions_nodes and resource.label_selector.as_labels() is None:
        yield Violation(
            "selector-is-labels",
            where,
            "no labels of a new node would be certain to satisfy it",
            "use matchLabels, or matchExpressions with operator In and a single value, and "
            "one value a key",
        )


def _selector_is_sound(case: Case) -> Iterator[Violation]:
    selector = case.workspace.resource.label_selector
    where = "resource.labelSelector"
    for one in selector.match_expressions:
        if one.operator not in _OPERATORS:
            yield Violation(
                "selector-operator",
                f"{where}.matchExpressions",
                f"there is no operator {quote(one.operator)}",
                "use In, NotIn, Exists or DoesNotExist",
            )
        elif (one.operator in _OPERATORS_WITH_VALUES) != bool(one.values):
            yield Violation(
                "selector-values",
                f"{where}.matchExpressions",
                f"{one.operator} on {quote(one.key)} has {len(one.values)} values",
                "give In and NotIn at least one value, Exists and DoesNotExist none",
            )
    pairs = [*selector.match_labels.items()]
    pairs += [(one.key, value) for one in selector.match_expressions for value in one.values]
    pairs += [(one.key, "") for one in selector.match_expressions]
    for key, value in dict.fromkeys(pairs):
        yield from _label_is_sound(key, value)


def _label_is_sound(key: str, value: str) -> Iterator[Violation]:
    if not is_label_key(key) or not is_label_value(value):
        yield Violation(
            "selector-label",
            "resource.labelSelector",
            f"no node can have the label {quote(f'{key}={value}')}",
            "see kubernetes.io/docs/concepts/overview/working-with-objects/labels for the syntax",
        )
    elif key in _RESERVED_LABELS:
        yield Violation(
            "selector-reserved",
            "resource.labelSelector",
            f"the label {key} is the platform's own",
            "select nodes by a label of your own",
        )


def check_preferred_nodes(case: Case) -> Iterator[Violation]:
    """Preferred nodes are given by name."""
    for name in case.workspace.resource.preferred_nodes:
        if not is_object_name(name):
            yield Violation(
                "preferred-node-is-a-name",
                "resource.preferredNodes",
                f"{quote(name)} can't be the name of a node",
                "use names that kubectl get nodes prints",
            )


def check_instance_type(case: Case) -> Iterator[Violation]:
    """A node can only be asked for by a type that is known."""
    wanted = case.workspace.resource.instance_type
    if not wanted or not is_label_value(wanted):
        yield Violation(
            "instance-type-is-a-name",
            "resource.instanceType",
            f"{quote(wanted)} can't be an instance type",
            "name one in your provider's spelling, or leave the field out",
        )
        return
    # On existing nodes any type will do that one of them has.
    if not case.settings.provisions_nodes or case.catalogue is None:
        return
    # Providers tell upper from lower case, so a spelling of one's own would fail there, and late.
    if case.instance_type is None or case.instance_type.name != wanted:
        yield Violation(
            "instance-type-is-known",
            "resource.instanceType",
            f"the platform knows no instance type {quote(wanted)}",
            suggest(wanted, case.catalogue.instance_type_names()),
        )


def check_accelerator(case: Case) -> Iterator[Violation]:
    """The model must have an image that runs on the accelerators."""
    known, preset = case.instance_type, case.preset
    if known is None or preset is None or case.workspace.inference is None:
        return
    vendors = {vendor for runtime in preset.runtimes for vendor in runtime.accelerators}
    if known.accelerator.vendor in vendors:
        return
    usable = _types_with(case.catalogue, vendors)
    yield Violation(
        "accelerator-is-served",
        "resource.instanceType",
        f"{known.name} has {known.accelerator.vendor} accelerators, and {preset.name} has no "
        "runtime image for them in this version",
        choose(usable),
        FeatureNotAvailable,
    )


def check_memory(case: Case) -> Iterator[Violation]:
    """The weights must fit into the GPUs of one node."""
    known, preset = case.instance_type, case.preset
    if known is None or preset is None or case.workspace.inference is None:
        return
    if names.ANNOTATION_BYPASS_RESOURCE_CHECKS in case.workspace.annotations:
        return
    usable_bytes = int(known.gpu_count * known.gpu_memory_bytes * USABLE_GPU_MEMORY)
    if preset.model.weights_bytes > usable_bytes:
        yield Violation(
            "model-fits",
            "resource.instanceType",
            f"the weights of {preset.name} take {_gibibytes(preset.model.weights_bytes)}, and "
            f"{known.name} has room for {_gibibytes(usable_bytes)} ({known.gpu_count} GPUs of "
            f"{_gibibytes(known.gpu_memory_bytes)}, of which {USABLE_GPU_MEMORY:.0%} are usable)",
            "choose an instance type with more GPU memory, or a smaller model",
            InstanceTypeTooSmall,
        )


def _types_with(catalogue: Catalogue | None, vendors: set[AcceleratorVendor]) -> list[str]:
    if catalogue is None:
        return []
    return sorted(
        one.name for one in catalogue.instance_types.values() if one.accelerator.vendor in vendors
    )


def _gibibytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
