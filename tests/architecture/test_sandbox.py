"""What runs outside the workflow sandbox needs no guard: it has no clock, no chance and no I/O."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from workflows.registry import PURE_MODULES

ROOT = Path(__file__).resolve().parents[2]

ALLOWED = {
    "__future__",
    "api",
    "collections.abc",
    "dataclasses",
    "datetime",  # Its types: `now` is not called, see below.
    "enum",
    "random",  # Its type `Random`, which comes in as an argument.
    "temporalio.common",
    "temporalio.exceptions",
    "temporalio.workflow",  # Its enum of cancellation types.
    "typing",
}
TYPES_ONLY = {
    "random": {"Random"},
    "datetime": {"datetime", "timedelta"},
    "temporalio.workflow": {"ActivityCancellationType"},
}
CLOCKS = {"now", "utcnow", "today"}


def tree_of(module: str) -> ast.Module:
    return ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())


def imports(tree: ast.Module) -> list[tuple[str, set[str]]]:
    """Return each imported module with the names taken from it."""
    found: list[tuple[str, set[str]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, {"*"}) for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            found.append((node.module or "", {alias.name for alias in node.names}))
    return found


@pytest.mark.parametrize("module", PURE_MODULES)
def test_a_pure_module_imports_nothing_that_needs_the_sandbox(module: str) -> None:
    for source, taken in imports(tree_of(module)):
        if source == "workflows":
            assert {f"workflows.{name}" for name in taken} <= set(PURE_MODULES)
        elif source.startswith("workflows."):
            assert source in PURE_MODULES
        else:
            assert source in ALLOWED or source.split(".")[0] == "api", source
            assert taken <= TYPES_ONLY.get(source, taken), (source, taken)


@pytest.mark.parametrize("module", PURE_MODULES)
def test_a_pure_module_asks_no_clock_and_makes_no_chance(module: str) -> None:
    calls = {
        ast.unparse(node.func) for node in ast.walk(tree_of(module)) if isinstance(node, ast.Call)
    }
    assert not {call for call in calls if call.split(".")[-1] in CLOCKS}
    assert "Random" not in calls
