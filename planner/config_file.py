"""Reading YAML that anybody may have written: single values of it, never the whole.

A few lines of YAML can describe more than fits into memory, or nest deeper than a recursive reader
can follow. So only the document's nodes are made, which are never larger than its text, and a
value is made of a node when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import yaml

MAX_CHARACTERS: Final = 32768
"""32 Ki: files are below 1 Ki, and one of this length takes 40 ms to read, in every plan."""

MAX_DEPTH: Final = 32
"""Maps and lists in one another: real files have 3, and the reader is recursive."""

MAX_QUOTED_CHARACTERS: Final = 40
"""Half a line: longest part of a file that a message repeats."""

MAX_INTEGER_BITS: Final = 64
"""Larger numbers stay text: they are slips, and Python refuses to print the largest."""

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE: Final = "tag:yaml.org,2002:merge"
_NULL: Final = "tag:yaml.org,2002:null"


class RefusedError(Exception):
    """What was read can't be used: a message and a remedy."""

    def __init__(self, message: str, remedy: str) -> None:
        """Take both; they stand in one sentence."""
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy


def compose(text: str) -> yaml.Node | None:
    """Return the root of the document, None when it is empty or null.

    Raises:
        RefusedError: no YAML, or more of it than anybody needs.
    """
    if len(text) > MAX_CHARACTERS:
        raise RefusedError(
            f"the file has {len(text)} characters, and {MAX_CHARACTERS} is the most",
            "keep only settings in it",
        )
    try:
        _check_depth(text)
        root: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise RefusedError(f"it is no YAML: {_complaint(error)}", "correct its syntax") from error
    return None if root is None or is_null(root) else root


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise RefusedError(
                f"the file has more than {MAX_DEPTH} maps and lists in one another",
                "write settings as `key: value` lines",
            )


def _complaint(error: Exception) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return "it has characters that YAML does not allow"
    mark = error.problem_mark
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    words = " ".join((error.problem or error.context or "it can't be read").split())
    return ascii(f"{words[:120]}{where}")[1:-1]


def keys(mapping: yaml.MappingNode) -> Iterator[str]:
    """Yield the keys that the map has itself; one that is no single value is an empty string."""
    for key, _ in mapping.value:
        if key.tag != _MERGE:
            yield key.value if isinstance(key, yaml.ScalarNode) else ""


def find(mapping: yaml.MappingNode, *names: str) -> yaml.Node | None:
    """Return what the map, or one that is merged into it, has under any of the names."""
    pending, seen = [mapping], {id(mapping)}
    while pending:
        found: yaml.Node | None = None
        for key, value in pending.pop(0).value:
            if isinstance(key, yaml.ScalarNode) and key.value in names:
                found = value  # the last one counts, as YAML's readers have it
            elif key.tag == _MERGE:
                merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for one in merged:
                    # Each map once: merges of merges of merges would take for ever.
                    if isinstance(one, yaml.MappingNode) and id(one) not in seen:
                        seen.add(id(one))
                        pending.append(one)
        if found is not None:
            return found
    return None


def value_of(node: yaml.Node) -> Any:
    """Return a single value: a text, a number, true or false.

    Raises:
        RefusedError: a list, a map or nothing.
    """
    if not isinstance(node, yaml.ScalarNode):
        raise RefusedError(f"it holds {kind(node)}", "give it a single value")
    if is_null(node):
        raise RefusedError("it has no value", "give it one or remove the line")
    try:
        value = yaml.constructor.SafeConstructor().construct_object(node)
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        # A date that does not exist, a tag that lies: text, as far as we care.
        return node.value
    is_huge = isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS
    return value if isinstance(value, str | int | float) and not is_huge else node.value


def is_null(node: yaml.Node) -> bool:
    """Return whether the file says nothing here."""
    return isinstance(node, yaml.ScalarNode) and bool(node.tag == _NULL)


def kind(node: yaml.Node) -> str:
    """Return a word for what a node is, with its article."""
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "a map" if isinstance(node, yaml.MappingNode) else "a single value"


def shown(value: object) -> str:
    """Return a single value as a message may repeat it: short, and of printable ASCII."""
    text = ascii(value)
    is_long = len(text) > MAX_QUOTED_CHARACTERS
    return f"{text[: MAX_QUOTED_CHARACTERS - 1]}…" if is_long else text
