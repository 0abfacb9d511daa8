"""What a rule looks at, what it says, and the words that rules share."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from api.errors import FeatureNotAvailable, InvalidWorkspace
from api.preset import Catalogue, InstanceType, Preset
from api.workspace import Workspace
from planner.world import PlatformSettings

MAX_QUOTED_CHARACTERS: Final = 80
"""Longest part of a user's value that a message repeats."""

MAX_CHOICES: Final = 8
"""Names in one remedy; a whole catalogue would bury the sentence."""


@dataclass(frozen=True)
class Violation:
    """One rule that the spec breaks."""

    rule: str
    """Name of the rule; it stays the same for ever."""
    field: str
    """Path of the field at fault, as `kubectl explain` writes it."""
    message: str
    """What is wrong with it."""
    remedy: str
    """What the user can do."""
    error: type[InvalidWorkspace] = InvalidWorkspace
    """Its name becomes the condition's reason."""


@dataclass(frozen=True)
class Case:
    """What the rules look at."""

    workspace: Workspace
    preset: Preset | None
    """Catalogue entry of its model; None when there is none of that name."""
    settings: PlatformSettings
    catalogue: Catalogue | None
    """Knows instance types, and names to suggest."""

    @property
    def instance_type(self) -> InstanceType | None:
        """Return what is known of the wanted instance type."""
        if self.catalogue is None:
            return None
        return self.catalogue.instance_type(self.workspace.resource.instance_type)


def not_available(rule: str, where: str, feature: str, instead: str) -> Violation:
    """Return the violation of a field whose feature is not built yet."""
    return Violation(
        f"{rule}-not-available",
        where,
        f"{feature} is not available in this version",
        f"remove the field and {instead}",
        FeatureNotAvailable,
    )


def quote(text: str) -> str:
    """Return a user's value as a message may repeat it: short, and of printable ASCII."""
    is_long = len(text) > MAX_QUOTED_CHARACTERS
    return ascii(text[: MAX_QUOTED_CHARACTERS - 1]) + "…" if is_long else ascii(text)


def suggest(wanted: str, known: list[str]) -> str:
    """Return a remedy with the known names that look most like the wanted one."""
    by_lower_case = {name.casefold(): name for name in known}
    # Cut, because comparing takes time that grows with the product of the lengths.
    close = get_close_matches(wanted[:MAX_QUOTED_CHARACTERS].casefold(), by_lower_case, n=3)
    if close:
        return f"did you mean {' or '.join(by_lower_case[name] for name in close)}?"
    return choose(known)


def choose(known: list[str]) -> str:
    """Return a remedy with the first known names."""
    if not known:
        return "ask the operator of the platform what it knows"
    more = len(known) - MAX_CHOICES
    listed = ", ".join(known[:MAX_CHOICES])
    return f"choose one of {listed}" + (f" and {more} more" if more > 0 else "")
