"""The command line says what is missing, with an exit code that scripts can rely on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from onebox import places, status
from onebox.cli import parser
from onebox.errors import EXIT_CODE_NOT_WELL, EXIT_CODE_UNMET


def onebox(*arguments: str, run: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "onebox", *arguments],
        cwd=places.REPOSITORY,
        env={**os.environ, "KAITO_RUN": str(run)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_question_without_a_platform_says_how_to_start_it(tmp_path: Path) -> None:
    done = onebox("ask", "hello", run=tmp_path)
    assert done.returncode == EXIT_CODE_UNMET
    assert done.stderr == "onebox: onebox does not run\n  remedy: start it: make up\n"


def test_status_of_nothing_is_a_table_and_not_well(tmp_path: Path) -> None:
    done = onebox("status", run=tmp_path)
    assert done.returncode == EXIT_CODE_NOT_WELL
    assert "kube-apiserver" in done.stdout
    assert "onebox does not run" in done.stdout


def test_an_unknown_binary_is_refused(tmp_path: Path) -> None:
    assert onebox("build", "nginx", run=tmp_path).returncode == EXIT_CODE_UNMET


def test_the_limit_of_nodes_is_two_unless_chosen() -> None:
    assert parser().parse_args(["up"]).node_limit == 2
    assert parser().parse_args(["agent", "--node-limit", "5"]).node_limit == 5


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.9, "7 s"), (67, "1 min 7 s"), (3 * 3600 + 61, "3 h 1 min")]
)
def test_ages_are_written_as_people_write_them(seconds: float, text: str) -> None:
    assert status.duration(seconds) == text


def test_columns_are_aligned() -> None:
    assert status.table([("A", "B"), ("long", "x")]) == "A     B\nlong  x"
