"""Reads one variable of the environment at a time, or says what is wrong with it and what helps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import urlsplit

MAX_PORT: Final = 65535
_LABEL_PATTERN: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class BadSetting(Exception):
    """A variable holds what can't be used; the message names it and the remedy."""


_Choice = TypeVar("_Choice", bound=StrEnum)


@dataclass(frozen=True)
class Reader:
    """Reads one variable at a time; an empty value counts as not set.

    Every method raises BadSetting, naming the variable, its value and what would be right.
    """

    environment: Mapping[str, str]

    def text(self, name: str, default: str) -> str:
        """Return the text."""
        return self.environment.get(name, "").strip() or default

    def number(self, name: str, default: int, *, minimum: int, maximum: int = 10**6) -> int:
        """Return the whole number within both limits."""
        text = self.text(name, str(default))
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if not minimum <= value <= maximum:
            raise BadSetting(
                f"{name} is {text!r}; set it to a whole number from {minimum} to {maximum}"
            )
        return value

    def flag(self, name: str) -> bool:
        """Return whether it is true; not set is false."""
        text = self.text(name, "false").lower()
        if text not in {"true", "false", "1", "0"}:
            raise BadSetting(f"{name} is {text!r}; set it to true or false")
        return text in {"true", "1"}

    def choice(self, name: str, options: type[_Choice], default: _Choice) -> _Choice:
        """Return one of the options."""
        text = self.text(name, default.value).lower()
        if text not in set(options):
            raise BadSetting(f"{name} is {text!r}; set it to one of {', '.join(options)}")
        return options(text)

    def url(
        self, name: str, default: str = "", schemes: tuple[str, ...] = ("http", "https")
    ) -> str:
        """Return the base URL, without a slash at its end."""
        text = self.text(name, default)
        if text and not _is_base_url(text, schemes):
            raise BadSetting(
                f"{name} is {text!r}; set it to a URL such as {schemes[0]}://host:port"
            )
        return text.rstrip("/")

    def namespace(self, name: str, default: str) -> str:
        """Return the name of a Kubernetes namespace."""
        return self._label(name, default, "namespace")

    def service(self, name: str, default: str) -> str:
        """Return the name of a Kubernetes Service."""
        return self._label(name, default, "Service")

    def _label(self, name: str, default: str, what: str) -> str:
        text = self.text(name, default)
        if text and not _LABEL_PATTERN.fullmatch(text):
            raise BadSetting(f"{name} is {text!r}; set it to the name of a Kubernetes {what}")
        return text


def _is_base_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        # Asking for the port reads it, and refuses what is none.
        is_whole = bool(parts.hostname) and parts.port != 0 and text.isascii()
    except ValueError:
        return False
    return is_whole and parts.scheme in schemes and not (parts.query or parts.fragment)
