"""Pages that are made from code."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.conditions import REASON_HELP, Reason
from api.errors import BY_REASON, PlatformError
from scripts import generate_docs


def test_the_pages_in_the_repository_are_what_the_code_says() -> None:
    assert generate_docs.main(["--check"]) == 0


def test_a_stale_or_missing_page_is_found_and_written_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate_docs.main(["--check"], tmp_path) == 1
    assert generate_docs.main(["--write"], tmp_path) == 0
    assert generate_docs.main(["--check"], tmp_path) == 0
    (tmp_path / "reasons.md").write_text("old words")
    assert generate_docs.main(["--check"], tmp_path) == 1
    assert "reasons.md is stale" in capsys.readouterr().err


def test_without_an_order_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate_docs.main([]) == 2
    assert "--write" in capsys.readouterr().err


@pytest.mark.parametrize("reason", sorted({*Reason, *BY_REASON} - {PlatformError.reason()}))
def test_every_reason_is_explained_once(reason: str) -> None:
    rows = [
        line
        for line in generate_docs.reasons_page().splitlines()
        if line.startswith(f"| `{reason}` |")
    ]
    assert len(rows) == 1


def test_every_reason_that_is_no_error_has_words_of_its_own() -> None:
    assert set(REASON_HELP) == set(Reason)
