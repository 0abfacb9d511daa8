"""What a measurement hands back, and the page that is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Cell = str | int | float


@dataclass(frozen=True)
class Table:
    """Rows of numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def lines(self) -> list[str]:
        """Return the table in Markdown."""
        return [
            _row(self.columns),
            "|" + "---|" * len(self.columns),
            *(_row([_text(cell) for cell in row]) for row in self.rows),
        ]


@dataclass(frozen=True)
class Section:
    """One measurement: a title, what to know about it, and its tables."""

    title: str
    text: str
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    """Paragraphs below the tables."""

    def lines(self) -> list[str]:
        """Return the section in Markdown."""
        parts = [[f"## {self.title}"], [self.text], *(table.lines() for table in self.tables)]
        parts += [[note] for note in self.notes]
        return [line for part in parts for line in (*part, "")][:-1]


def markdown(head: Iterable[str], sections: Iterable[Section]) -> str:
    """Return the whole page."""
    lines = list(head)
    for section in sections:
        lines += ["", *section.lines()]
    return "\n".join(lines) + "\n"


def plain(sections: Iterable[Section]) -> list[dict[str, Any]]:
    """Return the sections as data, for JSON."""
    return [asdict(section) for section in sections]


def verdict(count: float, budget: float) -> str:
    """Return the word that stands beside a count and its budget."""
    return "met" if count <= budget else "NOT met"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(cell: Cell) -> str:
    return f"{cell:.1f}" if isinstance(cell, float) else str(cell)
