"""A folder of descriptions of models, for clusters that can't reach the hub, or seldom.

    <folder>/<org>--<name>/refs/<revision>              the commit that the revision means
    <folder>/<org>--<name>/<commit>/model.json          what the hub says of the repository
                                   /config.json
                                   /model.safetensors.index.json (only where sizes are not listed)

Names of models are in lower case; a slash in a revision is written as %2F. The files are the hub's
own, so that anybody can fill a folder by hand; it holds no weights and no secrets. Only what
everybody may read is put there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

MODEL_FILE: Final = "model.json"
MAX_FILE_BYTES: Final = 64 * 2**20
"""64 MiB: as the largest answer of the hub that is read."""


class HubCache:
    """Reads and writes one folder; an empty path is a cache that holds nothing."""

    def __init__(self, folder: str) -> None:
        """Take the folder, which is made when something is first written."""
        self._folder = Path(folder) if folder else None

    def path(self, model_id: str, *parts: str) -> Path | None:
        """Return where something of a model is kept; `model_id` was checked by `split_id`."""
        if self._folder is None:
            return None
        return self._folder.joinpath(model_id.casefold().replace("/", "--"), *parts)

    def ref_path(self, model_id: str, revision: str) -> Path | None:
        """Return the file that says which commit a revision means."""
        return self.path(model_id, "refs", quote(revision, safe=""))

    async def read_ref(self, model_id: str, revision: str) -> str | None:
        """Return the commit that the revision meant when somebody last asked."""
        text = await _read(self.ref_path(model_id, revision))
        return text.strip() if text else None

    async def read(self, model_id: str, commit: str, name: str) -> dict[str, Any] | None:
        """Return a JSON object of a model; None when it is not there or is none."""
        text = await _read(self.path(model_id, commit, name))
        if text is None:
            return None
        try:
            value = await asyncio.to_thread(json.loads, text)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    async def write(
        self, model_id: str, commit: str, files: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Keep JSON objects of a model.

        Raises:
            OSError: the folder can't be written to.
        """
        for name, value in files.items():
            path = self.path(model_id, commit, name)
            if path is not None:
                text = await asyncio.to_thread(json.dumps, value)
                await asyncio.to_thread(_write_whole, path, text)

    async def write_ref(self, model_id: str, revision: str, commit: str) -> None:
        """Keep what a revision means now; after the files, so that a reader finds both.

        Raises:
            OSError: the folder can't be written to.
        """
        path = self.ref_path(model_id, revision)
        if path is not None:
            await asyncio.to_thread(_write_whole, path, f"{commit}\n")


async def _read(path: Path | None) -> str | None:
    return None if path is None else await asyncio.to_thread(_read_whole, path)


def _read_whole(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_FILE_BYTES)
    except (OSError, UnicodeDecodeError):
        return None


def _write_whole(path: Path, text: str) -> None:
    """Write a file that is never seen half written, whoever else writes it at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        # mkstemp lets nobody else read; the folder may belong to several accounts.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
