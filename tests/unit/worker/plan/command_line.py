"""`python -m worker plan` without a process of its own."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import gen
from worker import cli, plan_command


@dataclass(frozen=True)
class Printed:
    """What a command printed, and how it ended."""

    code: int
    text: str
    error: str

    @property
    def workspaces(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.text)["workspaces"]
        return found

    @property
    def only(self) -> dict[str, Any]:
        (one,) = self.workspaces
        return one


class CommandLine:
    """Runs commands in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.folder = folder
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def write(self, name: str, *objects: Any) -> str:
        """Write objects, or a text as it is; return the path."""
        path = self.folder / name
        texts = (one if isinstance(one, str) else yaml.safe_dump(one) for one in objects)
        path.write_text("---\n".join(texts))
        return str(path)

    def manifest(self, name: str = "workspace.yaml", **changes: Any) -> str:
        """Write a manifest that serves phi-4; return the path."""
        return self.write(name, phi_4(**changes))

    def plan(self, *arguments: str, standard_input: str = "") -> Printed:
        self._monkeypatch.setattr("sys.stdin", io.StringIO(standard_input))
        code = plan_command.run(cli.parser().parse_args(["plan", *arguments]))
        printed = self._capsys.readouterr()
        return Printed(code, printed.out, printed.err)


def phi_4(**changes: Any) -> dict[str, Any]:
    """Return a manifest as a user writes it."""
    return gen.workspace_object(
        **{"preset": "phi-4", "instance_type": "Standard_NC24ads_A100_v4", **changes}
    )
