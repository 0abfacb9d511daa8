"""Cuts out of a shared library what a CPU never reads: GPU machine code and the linker's symbols.

Both lie in the file as whole page ranges, so they can go without touching an address: the ranges
are dropped, later file offsets move down by whole pages, and the segment that held the GPU code is
split in three, of which the middle one is zeros that take no room in the file.

    file before   [ tables | code | rodata  GPU CODE  eh_frame | data | SYMBOLS | late tables ]
    file after    [ tables | code | rodata            eh_frame | data           | late tables ]
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

from onebox.images.elf import HEADER_BYTES, PAGE_BYTES, PROGRAM_HEADER_BYTES

SEGMENT_LOAD: Final = 1
COPY_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Segment:
    """One program header."""

    kind: int
    flags: int
    offset: int
    address: int
    file_bytes: int
    memory_bytes: int
    alignment: int

    def pack(self) -> bytes:
        """Return the entry of the program header table."""
        return struct.pack(
            "<IIQQQQQQ",
            *(self.kind, self.flags, self.offset, self.address, self.address),
            *(self.file_bytes, self.memory_bytes, self.alignment),
        )


def compact(source: Path, target: Path, drop_sections: AbstractSet[str]) -> int:
    """Write `source` to `target` without the named sections and whatever no segment loads.

    Sections that are dropped read as zeros. Section headers go too: the loader never reads them,
    debuggers do.

    Returns:
        Bytes saved.

    Raises:
        ValueError: The program header table has no room to grow, or lies elsewhere than usual; the
            file can't be cut this way.
    """
    with source.open("rb") as file:
        segments, sections = _read(file)
        holes = [
            (_up(offset), _down(offset + size))
            for name, (offset, size) in sections.items()
            if name in drop_sections and _up(offset) < _down(offset + size)
        ]
        split = [part for segment in segments for part in _split(segment, holes)]
        loaded = sorted(
            (_down(s.offset), _up(s.offset + s.file_bytes)) for s in split if s.kind == SEGMENT_LOAD
        )
        ranges = _merge([(start, end) for start, end in loaded if end > start])
        first_section = min(offset for offset, size in sections.values() if size and offset)
        if HEADER_BYTES + PROGRAM_HEADER_BYTES * len(split) > first_section:
            raise ValueError(f"{source}: no room for {len(split)} program headers")

        moved = [replace(s, offset=_moved(s, ranges)) for s in split]
        with target.open("wb") as output:
            for start, end in ranges:
                _copy(file, output, start, end)
            file.seek(0)
            header = bytearray(file.read(HEADER_BYTES))
            struct.pack_into("<Q", header, 40, 0)  # no section headers
            struct.pack_into("<HHHHH", header, 54, PROGRAM_HEADER_BYTES, len(moved), 64, 0, 0)
            output.seek(0)
            output.write(header + b"".join(segment.pack() for segment in moved))
    return source.stat().st_size - target.stat().st_size


def _read(file: BinaryIO) -> tuple[list[Segment], dict[str, tuple[int, int]]]:
    """Return the program headers and {section: (offset, bytes)}."""
    header = file.read(HEADER_BYTES)
    program_offset, section_offset = struct.unpack_from("<QQ", header, 32)
    if program_offset != HEADER_BYTES:
        raise ValueError("the program headers don't follow the file header")
    _, program_count, section_size, section_count, names_index = struct.unpack_from(
        "<HHHHH", header, 54
    )
    file.seek(program_offset)
    segments = []
    for _ in range(program_count):
        kind, flags, offset, address, _, in_file, in_memory, alignment = struct.unpack(
            "<IIQQQQQQ", file.read(PROGRAM_HEADER_BYTES)
        )
        segments.append(Segment(kind, flags, offset, address, in_file, in_memory, alignment))
    file.seek(section_offset)
    table = file.read(section_size * section_count)
    raw = [struct.unpack_from("<IIQQQQIIQQ", table, section_size * i) for i in range(section_count)]
    file.seek(raw[names_index][4])
    names = file.read(raw[names_index][5])
    return segments, {
        names[section[0] : names.index(b"\0", section[0])].decode(): (section[4], section[5])
        for section in raw
    }


def _split(segment: Segment, holes: Sequence[tuple[int, int]]) -> list[Segment]:
    """Return the segment, cut around the first hole that lies in it."""
    end = segment.offset + segment.file_bytes
    for start, stop in holes:
        if segment.kind == SEGMENT_LOAD and segment.offset < start and stop < end:
            address = segment.address - segment.offset
            before = replace(
                segment, file_bytes=start - segment.offset, memory_bytes=start - segment.offset
            )
            hole = replace(
                segment,
                offset=start,
                address=address + start,
                file_bytes=0,
                memory_bytes=stop - start,
            )
            after = replace(
                segment,
                offset=stop,
                address=address + stop,
                file_bytes=end - stop,
                memory_bytes=segment.memory_bytes - (stop - segment.offset),
            )
            return [before, hole, after]
    return [segment]


def _merge(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in ranges:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _moved(segment: Segment, ranges: Sequence[tuple[int, int]]) -> int:
    """Return the segment's offset in the new file.

    A segment without bytes in the file keeps only what the loader checks: its place in a page.
    """
    before = 0
    for start, end in ranges:
        if start <= segment.offset < end:
            return before + segment.offset - start
        before += end - start
    return segment.offset % PAGE_BYTES


def _copy(source: BinaryIO, target: BinaryIO, start: int, end: int) -> None:
    """Copy a range; past the end of the source it is filled with zeros."""
    source.seek(start)
    left = end - start
    while left:
        part = source.read(min(left, COPY_BYTES)) or bytes(min(left, COPY_BYTES))
        target.write(part)
        left -= len(part)


def _down(offset: int) -> int:
    return offset // PAGE_BYTES * PAGE_BYTES


def _up(offset: int) -> int:
    return -(-offset // PAGE_BYTES) * PAGE_BYTES
