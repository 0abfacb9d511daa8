"""The version that records name is the one that is released."""

from __future__ import annotations

import tomllib
from pathlib import Path

from api.version import VERSION

ROOT = Path(__file__).resolve().parents[3]


def test_it_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
