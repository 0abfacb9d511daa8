"""Fields of an object that its schema does not know, and that the API server would drop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

_KUBERNETES_OWN: Final = frozenset({"metadata"})
"""Top-level fields with a schema that is not ours."""


def unknown_fields(obj: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Return the paths of the unknown fields, in the order in which they are written.

    Args:
        obj: The object as its user wrote it.
        schema: Its OpenAPI schema, as a CRD has it.
    """
    known = {key: value for key, value in obj.items() if key not in _KUBERNETES_OWN}
    return list(_unknown(known, schema, ""))


def _unknown(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if isinstance(value, list):
        for index, member in enumerate(value):
            yield from _unknown(member, schema.get("items", {}), f"{path}[{index}]")
        return
    properties = schema.get("properties")
    if not isinstance(value, Mapping) or properties is None:
        return
    for key, inner in value.items():
        where = f"{path}.{key}" if path else str(key)
        if key in properties:
            yield from _unknown(inner, properties[key], where)
        else:
            yield where
