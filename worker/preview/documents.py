"""Manifests from files or standard input, as `kubectl apply -f` takes them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from api import names

STANDARD_INPUT: Final = "-"

MAX_FILE_BYTES: Final = 4 * 2**20
"""4 MiB: an API server takes objects of 1.5 MiB at the most; larger files are something else."""

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
"""Files of a folder that are manifests; those that `kubectl apply -f <folder>` takes."""

_LIST_KIND: Final = "List"


class UnusableInput(Exception):
    """A file can't be read or holds no Workspace; the message names it."""


@dataclass
class Documents:
    """What the files hold, in their order."""

    workspaces: list[dict[str, Any]] = field(default_factory=list)
    config_maps: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """By namespace and name."""

    def config_text(self, namespace: str, name: str, key: str) -> str | None:
        """Return the text under a key of a ConfigMap, when the files hold it."""
        data = self.config_maps.get((namespace, name), {}).get("data")
        text = data.get(key) if isinstance(data, Mapping) else None
        return text if isinstance(text, str) else None


def read_documents(paths: Iterable[str], namespace: str) -> Documents:
    """Return the Workspaces and ConfigMaps of all files; other objects are left out.

    Args:
        paths: Files, folders, or `-` for standard input.
        namespace: Of objects that name none.

    Raises:
        UnusableInput: a file can't be read, or none of them holds a Workspace.
    """
    found = Documents()
    listed = list(paths)
    for path in listed:
        for name, text in _texts(path):
            for obj in _objects(name, text):
                _sort_in(found, obj, namespace)
    if not found.workspaces:
        raise UnusableInput(
            f"{', '.join(listed)}: no object of kind {names.WORKSPACE_KIND} and of the group "
            f"{names.GROUP} is there"
        )
    return found


def read_text(path: str) -> str:
    """Return the text of one file.

    Raises:
        UnusableInput: it can't be read.
    """
    try:
        if path == STANDARD_INPUT:
            return sys.stdin.read(MAX_FILE_BYTES)
        with Path(path).open(encoding="utf-8") as stream:
            text = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UnusableInput(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UnusableInput(f"{path}: it is no text in UTF-8") from error
    if len(text) > MAX_FILE_BYTES:
        raise UnusableInput(f"{path}: it is larger than {MAX_FILE_BYTES // 2**20} MiB")
    return text


def _texts(path: str) -> Iterator[tuple[str, str]]:
    if path != STANDARD_INPUT and Path(path).is_dir():
        for member in sorted(Path(path).iterdir()):
            if member.suffix in SUFFIXES and member.is_file():
                yield str(member), read_text(str(member))
        return
    yield path, read_text(path)


def _objects(path: str, text: str) -> Iterator[dict[str, Any]]:
    try:
        documents = list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnusableInput(f"{path}: {_first_words(error)}") from error
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict):
            raise UnusableInput(f"{path}: one of its documents is no object")
        if document.get("kind") == _LIST_KIND and isinstance(document.get("items"), list):
            yield from (one for one in document["items"] if isinstance(one, dict))
        else:
            yield document


def _first_words(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error) or type(error).__name__
    words = " ".join(str(problem).split())
    return f"line {mark.line + 1}: {words}" if mark is not None else words


def _sort_in(found: Documents, obj: dict[str, Any], namespace: str) -> None:
    group = str(obj.get("apiVersion", "")).partition("/")[0]
    if group == names.GROUP and obj.get("kind") == names.WORKSPACE_KIND:
        metadata = obj.get("metadata")
        if isinstance(metadata, Mapping) and not metadata.get("namespace"):
            obj = {**obj, "metadata": {**metadata, "namespace": namespace}}
        found.workspaces.append(obj)
    elif obj.get("apiVersion") == "v1" and obj.get("kind") == "ConfigMap":
        metadata = obj.get("metadata")
        if isinstance(metadata, Mapping):
            key = (str(metadata.get("namespace") or namespace), str(metadata.get("name", "")))
            found.config_maps[key] = obj
