"""A golden file: YAML that a person reads."""

from __future__ import annotations

from typing import Any

import yaml
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode


class YamlFile(SingleFileSnapshotExtension):
    """One YAML file per snapshot; a list is one document for each of its members."""

    _write_mode = WriteMode.TEXT
    file_extension = "yaml"

    def serialize(self, data: Any, **_: Any) -> str:
        documents = data if isinstance(data, list) else [data]
        return yaml.dump_all(
            documents, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True
        )


class _Dumper(yaml.SafeDumper):
    """Writes an object that is there twice out in full: an anchor would hide it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
