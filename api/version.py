"""The version of the platform, as its own records name it."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
"""Of `pyproject.toml`; a worker's image holds the rooms and no package metadata to read it from."""
