"""Values of annotations, however people write them."""

from __future__ import annotations

import pytest

from planner.annotations import annotation_word, is_asked_for
from tests import gen

NAME = "kaito.sh/enablelb"


@pytest.mark.parametrize(
    ("annotations", "word", "is_asked"),
    [
        ({NAME: " True\n"}, "true", True),
        ({NAME: "FALSE"}, "false", False),
        ({NAME: "yes"}, "yes", False),
        ({NAME: ""}, "", False),
        ({}, "", False),
    ],
)
def test_case_and_spaces_do_not_matter(
    annotations: dict[str, str], word: str, is_asked: bool
) -> None:
    workspace = gen.workspace(metadata={"annotations": annotations})
    assert annotation_word(workspace, NAME) == word
    assert is_asked_for(workspace, NAME) is is_asked
