"""Pages that are made from code."""

from __future__ import annotations

from pathlib import Path

import pytest

from api import names
from api.conditions import REASON_HELP, ConditionType, Reason
from api.errors import BY_REASON, PlatformError
from presets.loader import load_catalogue
from scripts import generate_docs
from scripts.pages.api_reference import (
    ANNOTATIONS,
    CONDITIONS,
    RECORD_ANNOTATIONS,
    SPEC_PARTS,
    api_page,
)
from scripts.pages.models import PROVIDERS, instance_types_page, models_page
from scripts.pages.reasons import reasons_page


def test_the_pages_in_the_repository_are_what_the_code_says() -> None:
    assert generate_docs.main(["--check"]) == 0


def test_a_stale_or_missing_page_is_found_and_written_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate_docs.main(["--check"], tmp_path) == 1
    assert generate_docs.main(["--write"], tmp_path) == 0
    assert generate_docs.main(["--check"], tmp_path) == 0
    capsys.readouterr()
    (tmp_path / "reasons.md").write_text("old words")
    assert generate_docs.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err == f"{tmp_path}/reasons.md is stale; run: make generate\n"


def test_without_an_order_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate_docs.main([]) == 2
    assert "--write" in capsys.readouterr().err


# --- reasons.md -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", sorted({*Reason, *BY_REASON} - {PlatformError.reason()}))
def test_every_reason_is_explained_once(reason: str) -> None:
    rows = [line for line in reasons_page().splitlines() if line.startswith(f"| `{reason}` |")]
    assert len(rows) == 1


def test_every_reason_that_is_no_error_has_words_of_its_own() -> None:
    assert set(REASON_HELP) == set(Reason)


# --- api.md ---------------------------------------------------------------------------------------


def cells(page: str, first: str) -> list[str]:
    """The cells of the only row that begins with `first`."""
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in row.strip("|").replace("\\|", "/").split("|")]


def test_every_field_is_told_with_type_default_limits_and_meaning() -> None:
    page = api_page()
    assert cells(page, "`resource.count`")[1:3] == ["integer", "`1`"]
    assert "must be at least 1" in cells(page, "`resource.count`")[3]
    assert cells(page, "`resource.labelSelector`")[3] == "required"
    assert cells(page, "`resource.capacityType`")[3].startswith("one of `on-demand`, `spot`")
    assert cells(page, "`inference.adapters[]`")[1:4] == ["list of object", "", "at most 10"]
    assert cells(page, "`inference.template`")[1] == "object of Kubernetes"
    assert cells(page, "`status.history[].finishedAt`")[1] == "time"
    for line in page.splitlines():
        if line.startswith("| `"):
            assert line.rstrip(" |").split("|")[-1].strip(), line


def test_every_part_of_a_workspace_has_a_section() -> None:
    page = api_page()
    assert [line for line in page.splitlines() if line.startswith("## ")][: len(SPEC_PARTS)] == [
        f"## {title}: `{part}`" for part, title in SPEC_PARTS.items()
    ]


def test_every_annotation_and_every_condition_is_told() -> None:
    ours = {
        value
        for name, value in vars(names).items()
        if name.startswith("ANNOTATION_") and value.startswith(f"{names.GROUP}/")
    }
    # Each once: it is the user's to set, or the platform's.
    assert sorted([*ANNOTATIONS, *RECORD_ANNOTATIONS]) == sorted(ours)
    for name in ours:
        assert f"`{name}`" in api_page()
    assert set(CONDITIONS) == set(ConditionType)


# --- models.md, instance_types.md -----------------------------------------------------------------


def test_every_model_is_told_twice_to_choose_and_in_particular() -> None:
    page = models_page()
    for name in load_catalogue().names():
        assert page.count(f"\n| `{name}` |") == 2, name


def test_a_model_is_told_with_what_it_needs() -> None:
    page = models_page()
    choice, particulars = page.split("## Particulars")
    assert cells(choice, "`phi-4`")[2:5] == ["27.3", "16384", "`Standard_NC24ads_A100_v4`"]
    assert cells(choice, "`llama-3.3-70b-instruct`")[-1].startswith("gated")
    assert cells(choice, "`smollm2-135m-instruct`")[-1] == "tuning, cpu"
    told = cells(particulars, "`phi-4`")
    assert told[1:3] == ["`microsoft/phi-4`", "microsoft/phi-4 @ `187ef03`"]
    assert told[6:8] == ["200.0", "vllm, transformers"]


def test_every_instance_type_is_told_once() -> None:
    catalogue = load_catalogue()
    page = instance_types_page()
    for name in catalogue.instance_type_names():
        assert page.count(f"| `{name}` |") == 1
    assert {one.provider for one in catalogue.instance_types.values()} <= set(PROVIDERS)
