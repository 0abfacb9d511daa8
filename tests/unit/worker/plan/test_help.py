"""What `--help` says of settings and of commands."""

from __future__ import annotations

import re

import pytest

from tests.harness.cluster import ROOT
from worker import cli

SETTINGS = sorted(set(re.findall(r'"(KAITO_[A-Z_]+)"', (ROOT / "worker/settings.py").read_text())))


def is_told(name: str, text: str) -> bool:
    """Whether a setting is named; `KAITO_HTTP_HOST, _PORT` names two."""
    stem, _, last = name.rpartition("_")
    return name in text or re.search(rf"{stem}_[A-Z]+, _{last}\b", text) is not None


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_told(name: str) -> None:
    assert is_told(name, cli.parser().format_help())


def test_help_of_plan_shows_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parser().parse_args(["plan", "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "python -m worker plan -f new.yaml --against old.yaml" in text
    assert "exit codes: 0 " in text


def test_without_a_command_the_worker_runs() -> None:
    assert cli.parser().parse_args([]).command is None
    assert cli.parser().parse_args(["run"]).command == "run"
