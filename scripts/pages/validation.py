"""docs/validation.md: every rule that a Workspace is judged by."""

from __future__ import annotations

from collections.abc import Iterator

from planner.validation import RULES
from scripts.pages.tables import code, table


def validation_page() -> str:
    """Return docs/validation.md."""
    return "\n".join([*_lines(), ""])


def _lines() -> Iterator[str]:
    yield "# What a Workspace is judged by"
    yield ""
    yield "<!-- Written by `make generate` from planner/rules/. -->"
    yield ""
    yield "The admission webhook refuses an object that breaks one of these rules; where it is"
    yield "off or down, the object is accepted and its conditions say the same words. Each refusal"
    yield "names the field, what is wrong with it, and what to do. `python -m worker plan -f FILE`"
    yield "tells them without a cluster."
    yield ""
    yield "An edit is judged by what it changes: a fault that an object had before blocks no edit"
    yield "of anything else, and nothing ever blocks a deletion. Rules that need the content of a"
    yield "ConfigMap are left to the plan, because it may be created after the Workspace."
    yield ""
    yield from table(
        ("Rule", "Field", "It promises", "Reason"),
        (
            (code(rule.id), code(rule.field), rule.promise, code(rule.error.reason()))
            for rule in RULES.values()
        ),
    )
