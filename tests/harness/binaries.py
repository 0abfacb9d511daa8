"""Where the real programs are that tests talk to."""

from __future__ import annotations

import sys
from pathlib import Path


class BinariesMissing(RuntimeError):
    """Tests are never skipped for want of a program: they fail and say how to get it."""


def path(name: str) -> Path:
    """Return the path of a program that `make binaries` builds."""
    from onebox import binaries

    try:
        found = Path(binaries.path(name))
    except Exception as error:
        raise BinariesMissing(f"{name} can't be found ({error}); run: make binaries") from error
    if not found.exists():
        raise BinariesMissing(f"{name} is not at {found}; run: make binaries")
    return found


def installed(name: str) -> Path:
    """Return the path of a program that came with the virtual environment."""
    found = Path(sys.prefix) / "bin" / name
    if not found.exists():
        raise BinariesMissing(f"{name} is not at {found}; run: make setup")
    return found
