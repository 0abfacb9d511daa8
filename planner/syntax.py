"""Names and labels as Kubernetes accepts them."""

from __future__ import annotations

import re
from typing import Final

_DNS_LABEL: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DNS_SUBDOMAIN: Final = re.compile(
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
)
_QUALIFIED: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")

MAX_SUBDOMAIN_CHARACTERS: Final = 253
MAX_LABEL_CHARACTERS: Final = 63


def is_service_name(name: str) -> bool:
    """Return whether a Service may have the name (RFC 1035); its length is not judged."""
    return _DNS_LABEL.fullmatch(name) is not None


def is_object_name(name: str) -> bool:
    """Return whether most objects may have the name (RFC 1123 subdomain): nodes, ConfigMaps."""
    is_short = len(name) <= MAX_SUBDOMAIN_CHARACTERS
    return is_short and _DNS_SUBDOMAIN.fullmatch(name) is not None


def is_label_value(value: str) -> bool:
    """Return whether a label may have the value; it may be empty."""
    return not value or _is_qualified(value)


def is_label_key(key: str) -> bool:
    """Return whether a label may have the key: `name` or `prefix.example/name`."""
    prefix, slash, name = key.rpartition("/")
    return _is_qualified(name) and (not slash or is_object_name(prefix))


def _is_qualified(text: str) -> bool:
    return len(text) <= MAX_LABEL_CHARACTERS and _QUALIFIED.fullmatch(text) is not None
