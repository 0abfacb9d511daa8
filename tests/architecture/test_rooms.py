"""Rooms can't leak: imports, and who may read the environment."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("api", "planner", "presets", "workflows", "activities", "worker", "onebox")

READS_ENVIRONMENT = {"worker/settings.py"}
"""Beside onebox, which starts programs and so hands the environment on."""


def modules(room: str) -> list[Path]:
    # presets/runtimes are programs of other machines: they read their pod's environment.
    return [
        path
        for path in sorted((ROOT / room).rglob("*.py"))
        if not path.is_relative_to(ROOT / "presets" / "runtimes")
    ]


def test_every_room_imports_only_what_it_may() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}


def environment_reads(source: str) -> list[int]:
    """Lines that reach for the environment of the process, under whatever name."""
    nodes = list(ast.walk(ast.parse(source)))
    names_of_os = {
        alias.asname or "os"
        for node in nodes
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name.split(".")[0] == "os"
    }
    attributes = [
        node.lineno
        for node in nodes
        if isinstance(node, ast.Attribute)
        and node.attr in ENVIRONMENT
        and isinstance(node.value, ast.Name)
        and node.value.id in names_of_os
    ]
    imports = [
        node.lineno
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        and node.module == "os"
        and ENVIRONMENT & {alias.name for alias in node.names}
    ]
    return sorted(attributes + imports)


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("import os\nos.environ['A']\nos.getenv('B')\n", [2, 3]),
        ("import os as system\nsystem.environ\n", [2]),
        ("import os.path\nos.getenv('B')\n", [2]),
        ("from os import environ\n", [1]),
        ("from os import getenv as read\n", [1]),
        ("import os\nos.path.join('a')\nself.environ\n", []),
    ],
)
def test_the_search_for_reads_of_the_environment_finds_them(source: str, lines: list[int]) -> None:
    assert environment_reads(source) == lines


def test_the_one_reader_of_the_environment_is_found() -> None:
    for reader in READS_ENVIRONMENT:
        assert environment_reads((ROOT / reader).read_text())


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "onebox"])
def test_the_environment_is_read_in_one_place_only(room: str) -> None:
    readers = {
        str(path.relative_to(ROOT)) for path in modules(room) if environment_reads(path.read_text())
    }
    assert readers <= READS_ENVIRONMENT


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_says_in_its_first_line_what_it_is_for(room: str) -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in modules(room)
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []
