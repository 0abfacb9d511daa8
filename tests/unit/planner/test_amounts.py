"""How amounts are written."""

from __future__ import annotations

import pytest

from planner.amounts import counted, gibibytes


@pytest.mark.parametrize(
    ("count", "written"), [(0, "0 free GPUs"), (1, "1 free GPU"), (2, "2 free GPUs")]
)
def test_only_one_thing_stands_in_the_singular(count: int, written: str) -> None:
    assert counted(count, "free GPU") == written


def test_a_size_is_written_in_gib() -> None:
    assert gibibytes(3 * 2**29) == "1.5 GiB"
