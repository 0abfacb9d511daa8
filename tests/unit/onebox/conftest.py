"""Fixtures of onebox's tests: places of their own, and a registry on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.onebox.fake_distribution import FakeDistribution


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty `.run` of this test's own; what runs on this machine is not touched."""
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setenv("KAITO_RUN", str(folder))
    return folder


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache of this test's own."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("KAITO_CACHE", str(folder))
    return folder


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[FakeDistribution]:
    with FakeDistribution(tmp_path / "blobs").running() as running:
        yield running
