"""Loads a program that runs inside pods by its path: such programs are no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

RUNTIMES = Path(__file__).parents[3] / "presets" / "runtimes"


def load(path: str) -> ModuleType:
    """Return the module at a path below presets/runtimes."""
    name = f"in_pod_{Path(path).stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, RUNTIMES / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
