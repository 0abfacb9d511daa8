"""Rules on which nodes, and how many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api import names
from planner.rules.base import Case, Fault, Rule, number, quote, rule
from planner.syntax import is_label_key, is_label_value, is_object_name

MAX_NODE_COUNT: Final = 100
"""Most nodes of one Workspace: a guess at what nobody means to order. Placement knows 1024."""

_RESERVED_LABELS: Final = frozenset(
    {
        names.LABEL_WORKSPACE,
        names.LABEL_WORKSPACE_NAMESPACE,
        names.LABEL_WORKSPACE_UID,
        names.LABEL_REVISION,
        names.LABEL_ROLE,
        names.LABEL_MANAGED_BY,
        # Upstream's for its other kinds; it drops them from a selector and says nothing.
        "kaito.sh/ragengine",
        "kaito.sh/ragenginenamespace",
        "karpenter.kaito.sh/workspace-name",
        "karpenter.kaito.sh/workspace-namespace",
        "karpenter.kaito.sh/inferenceset",
        "karpenter.kaito.sh/inferenceset-namespace",
    }
)
_OPERATORS_WITH_VALUES: Final = frozenset({"In", "NotIn"})
_OPERATORS: Final = _OPERATORS_WITH_VALUES | {"Exists", "DoesNotExist"}
_SELECTOR: Final = "resource.labelSelector"


@rule("resource.count")
def count_is_sensible(case: Case) -> Iterator[Fault]:
    """There are nodes, and not absurdly many."""
    count = case.workspace.resource.count
    if not 1 <= count <= MAX_NODE_COUNT:
        yield Fault(
            f"{number(count)} nodes can't be had",
            f"set it to something from 1 to {MAX_NODE_COUNT}",
        )


@rule(_SELECTOR)
def selector_is_given(case: Case) -> Iterator[Fault]:
    """Something says which nodes may be used."""
    if not case.workspace.resource.has_label_selector:
        yield Fault(
            "nothing says which nodes may be used",
            "set matchLabels to labels that your nodes carry, or that new nodes shall carry",
        )


@rule(f"{_SELECTOR}.matchExpressions")
def selector_operator(case: Case) -> Iterator[Fault]:
    """A selector uses the operators that Kubernetes has."""
    for one in case.workspace.resource.label_selector.match_expressions:
        if one.operator not in _OPERATORS:
            yield Fault(
                f"there is no operator {quote(one.operator)}",
                "use In, NotIn, Exists or DoesNotExist",
            )


@rule(f"{_SELECTOR}.matchExpressions")
def selector_values(case: Case) -> Iterator[Fault]:
    """In and NotIn have values, the other operators have none."""
    for one in case.workspace.resource.label_selector.match_expressions:
        is_known = one.operator in _OPERATORS
        if is_known and (one.operator in _OPERATORS_WITH_VALUES) != bool(one.values):
            yield Fault(
                f"{one.operator} on {quote(one.key)} has {len(one.values)} values",
                "give In and NotIn at least one value, Exists and DoesNotExist none",
            )


@rule(_SELECTOR)
def selector_label(case: Case) -> Iterator[Fault]:
    """A selector's labels are ones that a node can have."""
    for key, value in _labels(case):
        if not is_label_key(key) or not is_label_value(value):
            yield Fault(
                f"no node can have the label {quote(f'{key}={value}')}",
                "see kubernetes.io/docs/concepts/overview/working-with-objects/labels for the "
                "syntax",
            )


@rule(_SELECTOR)
def selector_reserved(case: Case) -> Iterator[Fault]:
    """A selector leaves the platform's own labels alone."""
    for key in dict.fromkeys(key for key, _ in _labels(case)):
        if key in _RESERVED_LABELS:
            yield Fault(
                f"the label {key} is the platform's own", "select nodes by a label of your own"
            )


@rule(_SELECTOR)
def selector_is_labels(case: Case) -> Iterator[Fault]:
    """New nodes can be given labels that satisfy the selector for certain."""
    resource = case.workspace.resource
    if not case.settings.provisions_nodes or not resource.has_label_selector:
        return
    if resource.label_selector.as_labels() is None:
        yield Fault(
            "no labels of a new node would be certain to satisfy it",
            "use matchLabels, or matchExpressions with operator In and a single value, and one "
            "value a key",
        )


@rule(_SELECTOR)
def selector_agrees_with_nodes(case: Case) -> Iterator[Fault]:
    """A selector asks for nothing that new nodes are certain not to be."""
    resource = case.workspace.resource
    if not case.settings.provisions_nodes:
        return
    decided = {
        names.LABEL_INSTANCE_TYPE: {case.wanted_type, *resource.fallback_instance_types},
        names.LABEL_NODE_POOL: {names.NODE_POOL},
    }
    selected = resource.label_selector.as_labels() or {}
    for key, values in decided.items():
        # Of several types only one matches, and the others would be waited for in vain.
        if key in selected and values != {selected[key]}:
            yield Fault(
                f"it selects nodes with {key} {quote(selected[key])}, and new ones may have "
                f"{' or '.join(quote(value) for value in sorted(values))}",
                "select nodes by a label of your own, and their type by resource.instanceType",
            )


@rule("resource.preferredNodes")
def preferred_node_is_a_name(case: Case) -> Iterator[Fault]:
    """Preferred nodes are given by name."""
    for name in case.workspace.resource.preferred_nodes:
        if not is_object_name(name):
            yield Fault(
                f"{quote(name)} can't be the name of a node",
                "use names that kubectl get nodes prints",
            )


def _labels(case: Case) -> dict[tuple[str, str], None]:
    """Return every (key, value) of the selector once, in order."""
    selector = case.workspace.resource.label_selector
    pairs = [*selector.match_labels.items()]
    pairs += [(one.key, value) for one in selector.match_expressions for value in one.values]
    pairs += [(one.key, "") for one in selector.match_expressions if not one.values]
    return dict.fromkeys(pairs)


RULES: Final[tuple[Rule, ...]] = (
    count_is_sensible,
    selector_is_given,
    selector_operator,
    selector_values,
    selector_label,
    selector_reserved,
    selector_is_labels,
    selector_agrees_with_nodes,
    preferred_node_is_a_name,
)
