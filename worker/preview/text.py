"""A preview as lines for people; colours and wrapped lines only where there is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TextIO

from api.payloads import InstanceCandidate
from planner.amounts import counted, gibibytes
from planner.edit_effect import EffectKind
from planner.preview_parts import (
    Preview,
    PreviewBudget,
    PreviewChange,
    PreviewEffect,
    PreviewModel,
    PreviewNodes,
    PreviewProblem,
)

SECONDS_PER_MINUTE: Final = 60
SHORT_COMMIT_CHARACTERS: Final = 7
INDENT: Final = 2

HEADING: Final = "bold"
BAD: Final = "red"
DOUBTFUL: Final = "yellow"
"""Styles, in rich's words."""

EFFECTS: Final = {
    EffectKind.START: "start",
    EffectKind.NOTHING: "nothing restarts",
    EffectKind.IN_PLACE: "in place",
    EffectKind.SURGE: "surge",
    EffectKind.REFUSED: "nothing",
}


@dataclass(frozen=True)
class Line:
    """One line, which a terminal may wrap."""

    text: str = ""
    style: str = ""
    indent: int = 0
    is_verbatim: bool = False
    """To be copied: it is never broken, so the terminal itself wraps it."""


def show(previews: Sequence[Preview], stream: TextIO | None = None) -> None:
    """Print them."""
    out = stream or sys.stdout
    lines = list(all_lines(previews))
    if out.isatty():
        _show_styled(lines, out)
        return
    for line in lines:
        out.write(written(line) + "\n")


def written(line: Line) -> str:
    """Return a line as it is written where there is no terminal."""
    return (" " * line.indent + line.text).rstrip()


def _show_styled(lines: Iterable[Line], out: TextIO) -> None:
    # Only here: where nobody sees colours, nobody waits for the library.
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(file=out, highlight=False)
    for line in lines:
        text = Text(line.text, line.style)
        if line.is_verbatim or not line.text:
            console.print(Text(" " * line.indent) + text, soft_wrap=True)
        else:
            console.print(Padding(text, (0, 0, 0, line.indent), expand=False))


def all_lines(previews: Sequence[Preview]) -> Iterator[Line]:
    """Yield the lines of all previews, with an empty one between two."""
    for index, one in enumerate(previews):
        if index:
            yield Line()
        yield from lines_of(one)


def lines_of(preview: Preview) -> Iterator[Line]:
    """Yield the lines of one preview: what is in the way comes last, where eyes rest."""
    where = f"{preview.namespace}/{preview.name}" if preview.name else "a Workspace without a name"
    revision = f", revision {preview.revision}" if preview.revision else ""
    yield Line(f"Workspace {where}{revision}", HEADING)
    facts = list(_facts(preview))
    width = max((len(label) for label, _ in facts), default=0)
    for label, text in facts:
        yield Line(f"{label:{width}}  {text}", indent=INDENT)
    if preview.budget is not None:
        yield from _section("GPU memory", _budget(preview.budget))
    if len(preview.candidates) > 1 or preview.problems:
        candidates = _candidates(preview.candidates)
        yield from _section("Instance types, in the order of trying", candidates)
    yield from _section("Instance types that would do", _candidates(preview.suggestions))
    if preview.images:
        yield from _section("Images", preview.images)
    if preview.pod is not None and preview.pod.command:
        yield from _section("Command", [preview.pod.command], is_verbatim=True)
    if preview.effect is not None:
        yield from _section("Changes", map(_change, preview.effect.changes))
    yield from _section("Warnings", preview.warnings, DOUBTFUL)
    yield from _section("Problems", map(_problem, preview.problems), BAD)


def _section(
    title: str, texts: Iterable[str], style: str = "", *, is_verbatim: bool = False
) -> Iterator[Line]:
    found = list(texts)
    if not found:
        return
    yield Line()
    yield Line(title, HEADING)
    for text in found:
        yield Line(text, style, INDENT, is_verbatim)


# --- Facts of one line ----------------------------------------------------------------------------


def _facts(preview: Preview) -> Iterator[tuple[str, str]]:
    if preview.model is not None:
        yield "model", _model(preview.model)
        yield (
            "weights",
            f"{gibibytes(preview.model.weights_bytes)} from {preview.model.weights_from}",
        )
    if preview.runtime:
        yield "server", f"{preview.runtime}{_layout(preview)}"
    if preview.nodes is not None:
        yield "nodes", _nodes(preview.nodes)
        yield "price", _price(preview)
    if preview.pod is not None:
        yield "each pod", ", ".join(_pod(preview))
    if preview.service:
        yield "service", f"{preview.name} ({preview.service})"
    if preview.effect is not None:
        yield "effect", _effect(preview.effect)


def _model(model: PreviewModel) -> str:
    commit = f" at {model.revision[:SHORT_COMMIT_CHARACTERS]}" if model.revision else ""
    is_named_so = model.hugging_face_id.casefold() == model.name
    repository = "" if is_named_so else f", {model.hugging_face_id}"
    return f"{model.name}{repository}{commit} (license {model.license})"


def _layout(preview: Preview) -> str:
    sizes = preview.parallelism
    if sizes is None:
        return ""
    words = [
        f"{name} {size}"
        for name, size in (
            ("tensor", sizes.tensor),
            ("pipeline", sizes.pipeline),
            ("data", sizes.data),
        )
        if size > 1
    ]
    return f", parallel by {', '.join(words)}" if words else ""


def _nodes(nodes: PreviewNodes) -> str:
    of_type = f" of {nodes.instance_type}" if nodes.instance_type else ""
    hardware = f" with {nodes.accelerator}" if nodes.accelerator else ""
    origin = [
        f"{len(members)} {word}"
        for word, members in (
            ("new", nodes.new),
            ("of earlier claims", nodes.bought),
            ("existing", nodes.existing),
        )
        if members
    ]
    spans = f"; one instance spans {nodes.per_instance}" if nodes.per_instance > 1 else ""
    released = f"; {len(nodes.released)} released" if nodes.released else ""
    return f"{nodes.count}{of_type}{hardware} ({', '.join(origin)}){spans}{released}"


def _price(preview: Preview) -> str:
    if preview.usd_per_hour is None:
        return "not known"
    if not preview.usd_per_hour:
        return "nothing more, as no node is made"
    return f"{preview.usd_per_hour:.2f} USD an hour (list price)"


def _pod(preview: Preview) -> Iterator[str]:
    pod = preview.pod
    if pod is None:
        return
    yield from (f"{count} {device}" for device, count in pod.devices.items())
    if pod.cpu:
        yield "1 CPU" if pod.cpu == "1" else f"{pod.cpu} CPUs"
    if pod.memory:
        yield f"{pod.memory} of memory"


def _effect(effect: PreviewEffect) -> str:
    word = EFFECTS[EffectKind(effect.kind)]
    downtime = ""
    if effect.downtime_seconds_at_most:
        minutes = -(-effect.downtime_seconds_at_most // SECONDS_PER_MINUTE)
        downtime = f"; nobody answers meanwhile, for at most {minutes} min"
    return f"{word}: {effect.summary}{downtime}"


# --- Tables ---------------------------------------------------------------------------------------


def _budget(budget: PreviewBudget) -> list[str]:
    share = budget.usable_bytes / budget.total_bytes if budget.total_bytes else 0.0
    tokens = budget.cache_tokens
    room = "" if tokens is None or tokens <= 0 else f"in all, about {_round(tokens)} tokens at once"
    return _columns(
        [
            ["of each GPU", gibibytes(budget.total_bytes), ""],
            ["usable", gibibytes(budget.usable_bytes), f"{share:.0%} of it"],
            ["- weights", gibibytes(budget.weights_bytes), ""],
            ["- cache", gibibytes(budget.kv_cache_bytes), f"for {budget.context_tokens} tokens"],
            ["- overhead", gibibytes(budget.overhead_bytes), "activations, graphs, CUDA"],
            ["= free", gibibytes(budget.free_bytes), room],
        ],
        right={1},
    )


def _round(tokens: int) -> int:
    """Return the number with two digits that count: more would claim to know."""
    digits = str(tokens)
    return int(digits[:2] + "0" * len(digits[2:]))


def _candidates(candidates: Iterable[InstanceCandidate]) -> list[str]:
    rows = [
        [
            one.instance_type,
            one.capacity_type,
            counted(one.nodes, "node"),
            "price not known" if one.usd_per_hour is None else f"{one.usd_per_hour:.2f} USD/h",
            one.problem,
        ]
        for one in candidates
    ]
    return _columns(rows, right={2, 3})


def _columns(rows: list[list[str]], right: set[int]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _change(change: PreviewChange) -> str:
    before, after = change.before or "(nothing)", change.after or "(nothing)"
    note = f"   ({change.note})" if change.note else ""
    return f"{change.field}: {before} -> {after}{note}"


def _problem(problem: PreviewProblem) -> str:
    field = f"{problem.field}: " if problem.field else ""
    remedy = f"; {problem.remedy}" if problem.remedy else ""
    return f"{problem.reason}: {field}{problem.message}{remedy}"
