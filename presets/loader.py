"""Reads the catalogue's files, checks them and keeps the result for the life of the process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from api.preset import Catalogue, InstanceType, Preset

FOLDER: Final = Path(__file__).parent


class CatalogueError(ValueError):
    """A file of the catalogue is wrong; the message names the file and the key."""


class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, in C where it was built; a key that is there twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Build a mapping, as PyYAML does, but lose nothing in silence."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise CatalogueError(f"line {key_node.start_mark.line + 1}: {key!r} is there twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


@cache
def load_catalogue(folder: Path = FOLDER) -> Catalogue:
    """Return everything in `catalogue/*.yaml` and `instance_types/*.yaml` of `folder`.

    Raises:
        CatalogueError: naming file and key; whoever edits the catalogue fixes it.
    """
    presets = [(str(path), _preset(path)) for path in _files(folder / "catalogue")]
    instance_types = [
        one for path in _files(folder / "instance_types") for one in _instance_types(path)
    ]
    _refuse_twins((where, name) for where, one in presets for name in (one.name, *one.aliases))
    _refuse_twins((where, one.name) for where, one in instance_types)
    return Catalogue.of(tuple(one for _, one in presets), tuple(one for _, one in instance_types))


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.yaml"))


def _preset(path: Path) -> Preset:
    content = _read(path)
    try:
        preset = Preset.model_validate(content)
    except ValidationError as error:
        raise CatalogueError(_complaint(path, error)) from error
    # A reader who looks for a model looks for a file; a name with a slash has it as a dash.
    expected = preset.name.replace("/", "--")
    if path.stem != expected:
        raise CatalogueError(f"{path}: name: {preset.name!r} belongs into {expected}.yaml")
    return preset


def _instance_types(path: Path) -> Iterator[tuple[str, InstanceType]]:
    content = _read(path)
    if not isinstance(content, dict) or not isinstance(content.get("instanceTypes"), list):
        raise CatalogueError(f"{path}: instanceTypes: a list is missing")
    for index, entry in enumerate(content["instanceTypes"]):
        where = f"instanceTypes.{index}"
        if isinstance(entry, dict) and "provider" in entry:
            raise CatalogueError(f"{path}: {where}.provider: it is the name of the file")
        try:
            one = InstanceType.model_validate({**entry, "provider": path.stem})
        except (ValidationError, TypeError) as error:
            raise CatalogueError(_complaint(path, error, where)) from error
        yield f"{path}: {where}", one


def _refuse_twins(entries: Iterable[tuple[str, str]]) -> None:
    places: dict[str, str] = {}
    for where, name in entries:
        first = places.setdefault(name.casefold(), where)
        if first != where:
            raise CatalogueError(f"{where}: {name!r} is a name in {first} already")


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as stream:
            return yaml.load(stream, Loader=_StrictLoader)  # noqa: S506 - a subclass of SafeLoader
    except (OSError, yaml.YAMLError, CatalogueError) as error:
        raise CatalogueError(f"{path}: {error}") from error


def _complaint(path: Path, error: Exception, prefix: str = "") -> str:
    if not isinstance(error, ValidationError):
        return f"{path}: {prefix}: {error}"
    lines = []
    for one in error.errors(include_url=False, include_input=False):
        key = ".".join(str(part) for part in (prefix, *one["loc"]) if part != "")
        lines.append(f"{key or 'the file'}: {one['msg']}")
    return f"{path}: {'; '.join(lines)}"
