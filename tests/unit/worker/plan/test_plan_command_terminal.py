"""The same lines on a terminal: styled, and wrapped where nobody copies them."""

from __future__ import annotations

import io
import re

import pytest

from planner.preview_parts import Preview, PreviewPod, PreviewProblem
from worker.preview.text import all_lines, show, written

COMMAND = "exec server " + " ".join(f"--flag-{index}=value" for index in range(30))

PREVIEWS = [
    Preview(
        namespace="default",
        name="chat",
        images=["registry.test/image:1"],
        pod=PreviewPod(image="registry.test/image:1", command=COMMAND),
        warnings=["something works otherwise than one may think " * 5],
    ),
    Preview(
        namespace="default",
        name="broken",
        problems=[PreviewProblem(reason="InvalidWorkspace", message="[bold]no markup[/bold]")],
    ),
]

_STYLE = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    show(PREVIEWS, terminal)
    return terminal.getvalue()


def test_headings_and_problems_are_styled(printed: str) -> None:
    assert "\x1b[1mWorkspace default/chat\x1b[0m" in printed
    assert re.search(r"\x1b\[31m.*InvalidWorkspace", printed)


def test_words_of_users_are_no_markup(printed: str) -> None:
    assert "[bold]no markup[/bold]" in printed


def test_long_sentences_are_wrapped_and_stay_indented(printed: str) -> None:
    lines = _STYLE.sub("", printed).splitlines()
    told = [line for line in lines if "works otherwise" in line]
    assert len(told) > 1
    assert all(line.startswith("  ") and len(line) <= 80 for line in told)


def test_a_command_is_one_line_to_copy(printed: str) -> None:
    assert COMMAND in _STYLE.sub("", printed)


def test_the_words_are_those_of_plain_lines(printed: str) -> None:
    plain = "\n".join(written(line) for line in all_lines(PREVIEWS))
    assert _STYLE.sub("", printed).split() == plain.split()
    assert _STYLE.sub("", printed).count("\n\n") == plain.count("\n\n")
