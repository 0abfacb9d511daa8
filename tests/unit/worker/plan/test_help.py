"""What `--help` says of settings and of commands."""

from __future__ import annotations

import re

import pytest

from tests.harness.cluster import ROOT
from worker import cli

SETTINGS = sorted(
    name
    for module in ("worker/settings.py", "worker/node_settings.py")
    for name in set(re.findall(r'"(KAITO_[A-Z_]+)"', (ROOT / module).read_text()))
)


def is_told(name: str, text: str) -> bool:
    """Whether a setting is named; `KAITO_NODE_CLASS_DISK_GIB, _IMAGE_FAMILY` names two."""
    parts = name.split("_")
    return name in text or any(
        re.search(
            rf"\b{'_'.join(parts[:count])}_[A-Z]+[^.]{{0,160}}? _{'_'.join(parts[count:])}\b", text
        )
        for count in range(2, len(parts))
    )


def test_a_setting_that_nobody_tells_is_noticed() -> None:
    text = cli.parser().format_help()
    assert not is_told("KAITO_NODE_CLASS_COLOR", text)
    assert not is_told("KAITO_HTTP_ROLE", text)


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
