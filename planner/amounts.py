"""Amounts as people read them."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return a number of things: `1 node`, and `2 nodes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def gibibytes(size_bytes: int) -> str:
    """Return a size in GiB, with one digit behind the point."""
    return f"{size_bytes / 2**30:.1f} GiB"
