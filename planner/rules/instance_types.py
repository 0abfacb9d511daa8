"""Rules on instance types: whether a node can be asked for by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from api.workspace import MAX_FALLBACK_INSTANCE_TYPES
from planner.rules.base import Case, Fault, Rule, quote, rule, suggest
from planner.syntax import is_label_value

_AZURE: Final = re.compile(r"Standard_[DN][A-Za-z0-9]*(_[A-Za-z0-9-]+)*")
_AZURE_WITH_GPUS: Final = re.compile(r"Standard_N[A-Za-z0-9]*(_[A-Za-z0-9-]+)*")
_TYPE: Final = "resource.instanceType"
_FALLBACKS: Final = "resource.fallbackInstanceTypes"


@rule(_TYPE)
def instance_type_is_a_name(case: Case) -> Iterator[Fault]:
    """Instance types are names that a node's label can carry."""
    for field, wanted in _wanted(case):
        if not wanted or not is_label_value(wanted):
            yield Fault(
                f"{quote(wanted)} can't be an instance type",
                "name one in your provider's spelling, or leave the field out",
                field,
            )


@rule(_TYPE)
def instance_type_is_known(case: Case) -> Iterator[Fault]:
    """New nodes are of types that the catalogue knows, or that Azure may have."""
    # On existing nodes any type will do that one of them has.
    if not case.settings.provisions_nodes or case.catalogue is None:
        return
    for field, wanted in _wanted(case):
        if not is_label_value(wanted) or not wanted or is_unlisted(case, wanted):
            continue
        known = case.catalogue.instance_type(wanted)
        # Providers tell upper from lower case: a spelling of one's own would fail there, and late.
        if known is None or known.name != wanted:
            yield Fault(
                f"the platform knows no instance type {quote(wanted)}",
                suggest(wanted, case.catalogue.instance_type_names()),
                field,
            )


@rule(_FALLBACKS)
def fallbacks_are_few(case: Case) -> Iterator[Fault]:
    """There are at most 16 fallback instance types."""
    count = len(case.workspace.resource.fallback_instance_types)
    if count > MAX_FALLBACK_INSTANCE_TYPES:
        yield Fault(
            f"{count} types are too many to try",
            f"name at most {MAX_FALLBACK_INSTANCE_TYPES}, the likeliest first",
        )


@rule(_FALLBACKS)
def fallbacks_differ(case: Case) -> Iterator[Fault]:
    """Each instance type is tried once."""
    seen = {case.wanted_type.casefold()}
    for name in case.workspace.resource.fallback_instance_types:
        if name and name.casefold() in seen:
            yield Fault(f"{quote(name)} is there already", "name each type once")
        seen.add(name.casefold())


def is_unlisted(case: Case, wanted: str) -> bool:
    """Return whether Azure may well have the type, though the catalogue does not.

    Those without GPUs are only of use for pods of the user's own.
    """
    if case.catalogue is None or case.catalogue.instance_type(wanted) is not None:
        return False
    return (_AZURE if case.has_own_pods else _AZURE_WITH_GPUS).fullmatch(wanted) is not None


def _wanted(case: Case) -> Iterator[tuple[str, str]]:
    resource = case.workspace.resource
    if resource.instance_type:
        yield _TYPE, resource.instance_type
    for name in resource.fallback_instance_types:
        yield _FALLBACKS, name


RULES: Final[tuple[Rule, ...]] = (
    instance_type_is_a_name,
    instance_type_is_known,
    fallbacks_are_few,
    fallbacks_differ,
)
