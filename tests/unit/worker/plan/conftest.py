"""A command line whose environment says nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.worker.plan.command_line import CommandLine


@pytest.fixture
def command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    for name in list(os.environ):
        if name.startswith(("KAITO_", "TEMPORAL_")):
            monkeypatch.delenv(name)
    return CommandLine(tmp_path, capsys, monkeypatch)
