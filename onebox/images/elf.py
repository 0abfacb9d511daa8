"""Reads what shared libraries need, and writes stand-ins for those that are never called.

A stand-in exports the names that the kept libraries leave undefined, under the versions that they
ask for, so the loader is content. Each name leads to one tiny function that ends the process with a
message: a call that was never expected must not go on with a wrong result.

Layout of the file: one writable segment with the tables (glibc's loader relocates the dynamic
section in place) and one executable segment with the function. x86-64 only.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PAGE_BYTES: Final = 4096
HEADER_BYTES: Final = 64
PROGRAM_HEADER_BYTES: Final = 56
SYMBOL_BYTES: Final = 24
VERSION_DEFINITION_BYTES: Final = 28

SECTION_DYNAMIC: Final = 6
SECTION_DYNSYM: Final = 11
SECTION_VERNEED: Final = 0x6FFFFFFE
SECTION_VERSYM: Final = 0x6FFFFFFF
TAG_NEEDED: Final = 1
BINDING_WEAK: Final = 2
VERSION_MASK: Final = 0x7FFF

EXIT_CODE: Final = 134
"""What a shell reports for an aborted process (128 + SIGABRT)."""


@dataclass(frozen=True)
class Symbol:
    """A name, and the version and file that a library expects it from ("" where it says none)."""

    name: str
    version: str = ""
    file: str = ""


@dataclass
class Library:
    """What the loader reads of a shared library."""

    needed: list[str] = field(default_factory=list)
    undefined: set[Symbol] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)
    versions_needed: set[tuple[str, str]] = field(default_factory=set)
    """(file, version) pairs that must exist, whether or not a symbol of them is used."""


def read_library(path: Path) -> Library:
    """Read the dynamic symbols, their versions, and the needed libraries of an ELF file."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
        offset = struct.unpack_from("<Q", header, 40)[0]
        size, count = struct.unpack_from("<HH", header, 58)
        file.seek(offset)
        table = file.read(size * count)
        sections = [struct.unpack_from("<IIQQQQIIQQ", table, size * i) for i in range(count)]
        index_by_type = {section[1]: index for index, section in enumerate(sections)}

        def content(index: int | None) -> bytes:
            if index is None:
                return b""
            file.seek(sections[index][4])
            return file.read(sections[index][5])

        strings = content(sections[index_by_type[SECTION_DYNSYM]][6])
        symbols = content(index_by_type[SECTION_DYNSYM])
        numbers = content(index_by_type.get(SECTION_VERSYM))
        needs = content(index_by_type.get(SECTION_VERNEED))
        dynamic = content(index_by_type[SECTION_DYNAMIC])

    def text(offset: int) -> str:
        return strings[offset : strings.index(b"\0", offset)].decode()

    versions = _needed_versions(needs, text)
    library = Library(versions_needed=set(versions.values()))
    library.needed = [text(v) for tag, v in struct.iter_unpack("<QQ", dynamic) if tag == TAG_NEEDED]
    for index, (name, info, _, section, _, _) in enumerate(struct.iter_unpack("<IBBHQQ", symbols)):
        if index and section:
            library.defined.add(text(name))
        elif index and info >> 4 != BINDING_WEAK:
            number = struct.unpack_from("<H", numbers, 2 * index)[0] if numbers else 0
            from_file, version = versions.get(number & VERSION_MASK, ("", ""))
            library.undefined.add(Symbol(text(name), version, from_file))
    return library


def _needed_versions(table: bytes, text: Callable[[int], str]) -> dict[int, tuple[str, str]]:
    """Return {number: (file, version)} of a `.gnu.version_r` section."""
    found: dict[int, tuple[str, str]] = {}
    offset, following = 0, len(table)
    while following:
        _, count, file, auxiliary, following = struct.unpack_from("<HHIII", table, offset)
        entry = offset + auxiliary
        for _ in range(count):
            _, _, number, name, next_entry = struct.unpack_from("<IHHII", table, entry)
            found[number & VERSION_MASK] = (text(file), text(name))
            entry += next_entry
        offset += following
    return found


def missing_symbols(
    libraries: Iterable[Library], absent: AbstractSet[str], own_names: re.Pattern[str]
) -> set[Symbol]:
    """Return what the libraries want from the absent files.

    A symbol with a version names its file. One without could come from anywhere, so it counts only
    if its name fits `own_names` and no kept library defines it.
    """
    kept = list(libraries)
    defined = {name for library in kept for name in library.defined}
    return {
        symbol
        for library in kept
        for symbol in library.undefined
        if symbol.file in absent
        or (not symbol.file and own_names.match(symbol.name) and symbol.name not in defined)
    }


def write_stand_in(
    path: Path, symbols: Iterable[Symbol], versions: Iterable[str], message: str
) -> None:
    """Write a shared library that exports the symbols and dies with the message when one is called.

    Args:
        path: The file; its name becomes the soname. Links to it stand in under other names too.
        symbols: What to export.
        versions: Every version that a kept library asks an absent file for; the loader checks them.
        message: What goes to standard error before the process ends.
    """
    exported = sorted(symbols, key=lambda symbol: (symbol.name, symbol.version))
    names = sorted({*versions, *(symbol.version for symbol in exported)} - {""})
    path.write_bytes(_StandIn(path.name, exported, names, message).image())


class _StandIn:
    """The tables of one file; each method writes one."""

    def __init__(
        self, soname: str, symbols: Sequence[Symbol], versions: Sequence[str], message: str
    ) -> None:
        self.soname, self.symbols, self.versions = soname, symbols, versions
        self.code = _code(message.encode() + b"\n")
        self.strings = bytearray(b"\0")
        self.offsets: dict[str, int] = {}
        for name in (soname, *versions, *(symbol.name for symbol in symbols)):
            if name not in self.offsets:
                self.offsets[name] = len(self.strings)
                self.strings += name.encode() + b"\0"

    def hashes(self) -> bytes:
        """Return the System V hash table; one bucket a symbol keeps look-ups short."""
        buckets, chains = [0] * max(len(self.symbols), 1), [0] * (len(self.symbols) + 1)
        for index, symbol in enumerate(self.symbols, start=1):
            bucket = elf_hash(symbol.name) % len(buckets)
            chains[index], buckets[bucket] = buckets[bucket], index
        words = [len(buckets), len(chains), *buckets, *chains]
        return struct.pack(f"<{len(words)}I", *words)

    def symbol_table(self, address: int) -> bytes:
        """Return the entries, all global functions at one address.

        The section index (1) only has to differ from "undefined"; there are no sections.
        """
        entries = bytes(SYMBOL_BYTES)
        for symbol in self.symbols:
            offset = self.offsets[symbol.name]
            entries += struct.pack("<IBBHQQ", offset, 0x12, 0, 1, address, len(self.code))
        return entries

    def symbol_versions(self) -> bytes:
        """Return one number a symbol: 1 is the file itself, 2 and up are the versions."""
        number = {"": 1} | {name: index for index, name in enumerate(self.versions, start=2)}
        numbers = [0, *(number[symbol.version] for symbol in self.symbols)]
        return struct.pack(f"<{len(numbers)}H", *numbers)

    def version_definitions(self) -> bytes:
        names = [self.soname, *self.versions]
        table = b""
        for number, name in enumerate(names, start=1):
            is_base = int(number == 1)
            following = 0 if number == len(names) else VERSION_DEFINITION_BYTES
            table += struct.pack("<HHHHIII", 1, is_base, number, 1, elf_hash(name), 20, following)
            table += struct.pack("<II", self.offsets[name], 0)
        return table

    def image(self) -> bytes:
        """Lay the tables out one after the other, then the code on a page of its own."""
        at_hash = HEADER_BYTES + 4 * PROGRAM_HEADER_BYTES
        at_symbols = _align(at_hash + len(self.hashes()), 8)
        at_strings = at_symbols + SYMBOL_BYTES * (len(self.symbols) + 1)
        at_versions = _align(at_strings + len(self.strings), 2)
        at_definitions = _align(at_versions + len(self.symbol_versions()), 8)
        at_dynamic = _align(at_definitions + len(self.version_definitions()), 16)
        dynamic = struct.pack(
            "<20Q",
            *(14, self.offsets[self.soname]),  # DT_SONAME
            *(4, at_hash, 5, at_strings, 6, at_symbols),  # DT_HASH, DT_STRTAB, DT_SYMTAB
            *(10, len(self.strings), 11, SYMBOL_BYTES),  # DT_STRSZ, DT_SYMENT
            *(0x6FFFFFF0, at_versions),  # DT_VERSYM
            *(0x6FFFFFFC, at_definitions),  # DT_VERDEF
            *(0x6FFFFFFD, len(self.versions) + 1),  # DT_VERDEFNUM
            *(0, 0),
        )
        at_code = _align(at_dynamic + len(dynamic), PAGE_BYTES)
        program_headers = (
            _segment(1, 6, 0, at_code, PAGE_BYTES)  # PT_LOAD, read and write
            + _segment(1, 5, at_code, len(self.code), PAGE_BYTES)  # PT_LOAD, read and execute
            + _segment(2, 6, at_dynamic, len(dynamic), 8)  # PT_DYNAMIC
            + _segment(0x6474E551, 6, 0, 0, 16)  # PT_GNU_STACK: not executable
        )
        image = bytearray(at_code + len(self.code))
        for offset, part in (
            (0, _header()),
            (HEADER_BYTES, program_headers),
            (at_hash, self.hashes()),
            (at_symbols, self.symbol_table(at_code)),
            (at_strings, self.strings),
            (at_versions, self.symbol_versions()),
            (at_definitions, self.version_definitions()),
            (at_dynamic, dynamic),
            (at_code, self.code),
        ):
            image[offset : offset + len(part)] = part
        return bytes(image)


def _header() -> bytes:
    return struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01" + bytes(9),
        *(3, 62, 1, 0, HEADER_BYTES, 0, 0),  # shared object, x86-64
        *(HEADER_BYTES, PROGRAM_HEADER_BYTES, 4, 64, 0, 0),  # 4 program headers, no sections
    )


def _code(message: bytes) -> bytes:
    """Return x86-64 code that writes the message to standard error and ends the process."""
    head = b"\xb8\x01\0\0\0" + b"\xbf\x02\0\0\0"  # mov eax, 1 (write); mov edi, 2 (stderr)
    tail = b"\xba" + struct.pack("<I", len(message)) + b"\x0f\x05"  # mov edx, length; syscall
    tail += (
        b"\xb8\xe7\0\0\0" + b"\xbf" + struct.pack("<I", EXIT_CODE)
    )  # mov eax, 231; mov edi, code
    tail += b"\x0f\x05" + b"\x0f\x0b"  # syscall (exit_group); ud2
    return (
        head + b"\x48\x8d\x35" + struct.pack("<i", len(tail)) + tail + message
    )  # lea rsi, [message]


def _segment(kind: int, flags: int, offset: int, size: int, alignment: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, offset, offset, offset, size, size, alignment)


def _align(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


def elf_hash(name: str) -> int:
    """Return the hash of the System V ABI, which versions and hash tables use."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value
