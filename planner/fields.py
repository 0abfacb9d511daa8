"""Reading fields of Kubernetes objects without ever raising: what is missing or odd reads as empty.

Objects come from an API server, and still nothing here trusts their shape: a CRD may preserve
unknown fields, an older server may leave some out, and one odd object must not stop the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

_NOTHING: Final[Mapping[str, Any]] = {}

_QUANTITY_SUFFIXES: Final = {"k": 10**3, "M": 10**6, "G": 10**9}
# Kubernetes writes counts in canonical form, so 1000 devices read "1k". Other suffixes make no
# sense for a count of devices.


def value_at(obj: object, *path: str) -> Any:
    """Return what lies at `path`, or None."""
    for key in path:
        if not isinstance(obj, Mapping):
            return None
        obj = obj.get(key)
    return obj


def text_at(obj: object, *path: str) -> str:
    """Return the string at `path`, or an empty one."""
    value = value_at(obj, *path)
    return value if isinstance(value, str) else ""


def int_at(obj: object, *path: str) -> int:
    """Return the whole number at `path`, or 0."""
    value = value_at(obj, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def is_true_at(obj: object, *path: str) -> bool:
    """Return whether `true` lies at `path`."""
    return value_at(obj, *path) is True


def mapping_at(obj: object, *path: str) -> Mapping[str, Any]:
    """Return the object at `path`, or an empty one."""
    value = value_at(obj, *path)
    return value if isinstance(value, Mapping) else _NOTHING


def objects_at(obj: object, *path: str) -> list[Mapping[str, Any]]:
    """Return the objects of the list at `path`; members of another type are left out."""
    value = value_at(obj, *path)
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def texts_at(obj: object, *path: str) -> list[str]:
    """Return the strings of the list at `path`; members of another type are left out."""
    value = value_at(obj, *path)
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def text_map_at(obj: object, *path: str) -> dict[str, str]:
    """Return the string-to-string map at `path`, such as labels."""
    return {
        key: value
        for key, value in mapping_at(obj, *path).items()
        if isinstance(key, str) and isinstance(value, str)
    }


def labels_of(obj: object) -> dict[str, str]:
    """Return `metadata.labels`."""
    return text_map_at(obj, "metadata", "labels")


def is_deleting(obj: object) -> bool:
    """Return whether the object has a deletion timestamp."""
    return bool(text_at(obj, "metadata", "deletionTimestamp"))


def device_count(value: object) -> int:
    """Read a quantity of devices ("2", 2, "1k"); what is no such count reads as 0."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int):
        return max(value, 0)
    if not isinstance(value, str) or not value.isascii():
        return 0
    scale = _QUANTITY_SUFFIXES.get(value[-1:], 1)
    digits = value if scale == 1 else value[:-1]
    # Python refuses to convert absurdly long digit strings; no machine has 10^18 devices.
    return int(digits) * scale if digits.isdigit() and len(digits) <= 18 else 0  # noqa: PLR2004


def conditions_of(obj: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (type, condition) of `status.conditions`."""
    for condition in objects_at(obj, "status", "conditions"):
        yield text_at(condition, "type"), condition


def condition_status(obj: object, condition_type: str) -> str:
    """Return "True", "False" or "Unknown"; a condition that is not there is Unknown."""
    for found, condition in conditions_of(obj):
        if found == condition_type:
            return text_at(condition, "status") or "Unknown"
    return "Unknown"
