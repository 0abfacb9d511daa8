"""Stand-ins for shared libraries load like real ones, and say so when they are called."""

from __future__ import annotations

import _decimal
import ctypes
import re
import subprocess
import sys
from pathlib import Path

import pytest

from onebox.images.elf import (
    EXIT_CODE,
    Library,
    Symbol,
    elf_hash,
    missing_symbols,
    read_library,
    write_stand_in,
)
from onebox.images.elf_compact import Segment, _merge, _moved, _split, compact

EXTENSION = Path(str(_decimal.__file__))
"""A real shared library that every Python has; it needs libc and the interpreter's functions."""


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    path = tmp_path / "libcudnn.so.9"
    symbols = [Symbol("cudnnCreate", "libcudnn.so.9", "libcudnn.so.9"), Symbol("ncclInit")]
    write_stand_in(path, symbols, ["libcudnn.so.9", "NVSHMEM"], "none of these is here")
    return path


def test_the_loader_finds_every_name_in_a_stand_in(stand_in: Path) -> None:
    library = ctypes.CDLL(str(stand_in))
    assert library.cudnnCreate
    assert library.ncclInit
    with pytest.raises(AttributeError):
        _ = library.cudnnDestroy


def test_a_stand_in_that_is_called_ends_the_process_with_its_message(stand_in: Path) -> None:
    code = f"import ctypes; ctypes.CDLL({str(stand_in)!r}).ncclInit()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == EXIT_CODE
    assert done.stderr.strip() == "none of these is here"


def test_a_real_library_is_read_with_its_needs_and_versions() -> None:
    library = read_library(EXTENSION)
    assert any(name.startswith("libc.so") for name in library.needed)
    assert "PyInit__decimal" in library.defined
    assert Symbol("PyErr_SetString") in library.undefined
    versioned = {symbol for symbol in library.undefined if symbol.file.startswith("libc.so")}
    assert versioned
    assert all(symbol.version.startswith("GLIBC_") for symbol in versioned)


def test_only_what_the_absent_libraries_define_is_missing() -> None:
    kept = [
        Library(
            undefined={
                Symbol("cudnnCreate", "libcudnn.so.9", "libcudnn.so.9"),
                Symbol("ncclInit"),
                Symbol("ncclOwn"),
                Symbol("PyErr_SetString"),
                Symbol("printf", "GLIBC_2.2.5", "libc.so.6"),
            }
        ),
        Library(defined={"ncclOwn"}),
    ]
    missing = missing_symbols(kept, {"libcudnn.so.9"}, re.compile("nccl"))
    assert {symbol.name for symbol in missing} == {"cudnnCreate", "ncclInit"}


@pytest.mark.parametrize(("name", "value"), [("", 0), ("printf", 0x077905A6), ("exit", 0x0006CF04)])
def test_hashes_are_those_of_the_abi(name: str, value: int) -> None:
    assert elf_hash(name) == value


def test_a_compacted_library_is_smaller_and_still_loads(tmp_path: Path) -> None:
    target = tmp_path / EXTENSION.name
    assert compact(EXTENSION, target, frozenset()) > 0
    assert target.stat().st_size < EXTENSION.stat().st_size
    assert ctypes.CDLL(str(target)).PyInit__decimal


def test_a_library_without_room_for_headers_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no room"):
        compact(EXTENSION, tmp_path / "x.so", {".text"})


def test_a_hole_splits_a_segment_without_moving_an_address() -> None:
    segment = Segment(1, 4, 0x3000, 0x13000, 0x9000, 0x9000, 0x1000)
    before, hole, after = _split(segment, [(0x5000, 0x8000)])
    assert (before.address, before.file_bytes) == (0x13000, 0x2000)
    assert (hole.address, hole.file_bytes, hole.memory_bytes) == (0x15000, 0, 0x3000)
    assert (after.address, after.file_bytes) == (0x18000, 0x4000)


def test_later_bytes_move_down_by_whole_pages() -> None:
    ranges = _merge([(0x0, 0x5000), (0x5000, 0x6000), (0x9000, 0xA000)])
    assert ranges == [(0x0, 0x6000), (0x9000, 0xA000)]
    assert _moved(Segment(1, 4, 0x9010, 0x19010, 8, 8, 0x1000), ranges) == 0x6010
