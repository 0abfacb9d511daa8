"""docs/reasons.md: reasons of conditions, and who acts on each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api.conditions import REASON_HELP
from api.errors import PlatformError, Remedy

WHO_ACTS: Final[dict[Remedy, str]] = {
    Remedy.EDIT: "You. The platform waits until the Workspace is changed, or until the signal "
    "`retry`.",
    Remedy.SLOW_RETRY: "The platform tries again by itself, after growing delays; the signal "
    "`retry` makes it try at once. The message says what an operator can do.",
    Remedy.FAST_RETRY: "Nobody. The platform tries again within seconds, and no condition shows "
    "it as a failure.",
}


def reasons_page() -> str:
    """Return docs/reasons.md."""
    return "\n".join([*_reasons_page(), ""])


def _reasons_page() -> Iterator[str]:
    yield "# Reasons of conditions"
    yield ""
    yield "<!-- Written by `make generate` from api/conditions.py and api/errors.py. -->"
    yield ""
    yield "`kubectl describe workspace <name>` shows conditions. The *reason* of each is one of"
    yield "these words; the *message* beside it has the particulars, and what to do."
    yield ""
    yield "## When all goes well"
    yield ""
    yield "| Reason | What it means |"
    yield "|---|---|"
    for reason, help_text in REASON_HELP.items():
        yield f"| `{reason}` | {help_text} |"
    yield ""
    yield "## When something is in the way"
    for remedy, who_acts in WHO_ACTS.items():
        yield ""
        yield f"### {_title(remedy)}"
        yield ""
        yield who_acts
        yield ""
        yield "| Reason | What it means | Kind of |"
        yield "|---|---|---|"
        for error in _errors():
            if error.remedy is remedy:
                yield f"| `{error.reason()}` | {_first_line(error)} | {_kind_of(error)} |"


def _title(remedy: Remedy) -> str:
    titles = {
        Remedy.EDIT: "The Workspace must be changed",
        Remedy.SLOW_RETRY: "Time or an operator must help",
        Remedy.FAST_RETRY: "It passes by itself",
    }
    return titles[remedy]


def _errors(root: type[PlatformError] = PlatformError) -> Iterator[type[PlatformError]]:
    for child in root.__subclasses__():
        if child.__module__ == PlatformError.__module__:
            yield child
            yield from _errors(child)


def _kind_of(error: type[PlatformError]) -> str:
    (parent,) = error.__bases__
    return "" if parent is PlatformError else f"`{parent.__name__}`"


def _first_line(error: type[PlatformError]) -> str:
    return (error.__doc__ or "").strip().splitlines()[0]
