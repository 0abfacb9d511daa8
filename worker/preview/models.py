"""The model that a Workspace names: from the catalogue, from a folder, or from the model hub."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from activities.clients.hub_answers import (
    BIN_INDEX,
    CONFIG_FILE,
    SAFETENSORS_INDEX,
    BadAnswer,
    Repository,
)
from activities.clients.hugging_face import HubError, HuggingFaceClient
from activities.context import ActivitySettings
from activities.errors import translate_hub_error
from api.errors import PlatformError, trim
from api.hub import HubModel
from api.payloads import Problem
from api.preset import Preset
from planner.hub_ids import is_commit, split_id
from planner.hub_model import preset_of_hub
from worker.preview.documents import UnusableInput

UNKNOWN_LICENSE: Final = "unknown"

MAX_POINTER_BYTES: Final = 1024
"""Larger files are what they are; a pointer of Git LFS has some 130 bytes."""

ASK_OFFLINE: Final = (
    "or give the plan the model's config.json and the index of its weights in a folder "
    "(--model-config)"
)

_POINTER: Final = b"version https://git-lfs"


def preset_of_folder(name: str, folder: Path) -> Preset:
    """Return the preset of a model whose repository, or the small files of it, lie in a folder.

    Args:
        name: `org/name` or `org/name@revision`, as the Workspace has it.
        folder: Holds config.json, and the weights or at least their index.

    Raises:
        UnusableInput: a file is missing or can't be read.
        InvalidWorkspace: no model can have this name, or it can't be served.
    """
    model_id, revision = split_id(name)
    try:
        sizes: dict[str, int | None] = {
            path.name: _size(path) for path in sorted(folder.iterdir()) if path.is_file()
        }
    except OSError as error:
        raise UnusableInput(f"{folder}: {error.strerror or error}") from error
    if CONFIG_FILE not in sizes:
        raise UnusableInput(f"{folder}: it holds no {CONFIG_FILE}")
    repository = Repository(
        id=model_id,
        commit=revision if is_commit(revision) else "",
        is_gated=False,
        license=UNKNOWN_LICENSE,
        sizes=sizes,
    )
    return preset_of_hub(
        HubModel(
            id=model_id,
            commit=repository.commit,
            config=_read(folder / CONFIG_FILE),
            weights_bytes=_weights_bytes(repository, folder),
            has_safetensors=any(file.endswith(".safetensors") for file in sizes),
            gated=False,
            license=UNKNOWN_LICENSE,
            files=tuple(sizes),
        )
    )


def _weights_bytes(repository: Repository, folder: Path) -> int:
    index_files = (SAFETENSORS_INDEX, BIN_INDEX)
    index = next((_read(folder / one) for one in index_files if one in repository.sizes), {})
    try:
        found = repository.weights_bytes(index)
    except BadAnswer as error:
        raise UnusableInput(f"{folder}: {error}") from error
    if not found:
        raise UnusableInput(
            f"{folder}: it holds neither weights nor {SAFETENSORS_INDEX}, so nobody knows how "
            "large the model is"
        )
    return found


def _size(path: Path) -> int:
    """Return the size of a file, or of the file that it stands for."""
    size = path.stat().st_size
    if size > MAX_POINTER_BYTES:
        return size
    content = path.read_bytes()
    if not content.startswith(_POINTER):
        return size
    fields = dict(line.split(b" ", 1) for line in content.splitlines() if b" " in line)
    told = fields.get(b"size", b"")
    return int(told) if told.isdigit() else size


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableInput(f"{path}: {error}") from error
    if not isinstance(value, Mapping):
        raise UnusableInput(f"{path}: it is no JSON object")
    return dict(value)


async def presets_of_hub(
    workspace_names: Iterable[str], settings: ActivitySettings
) -> dict[str, Preset | Problem]:
    """Return what the model hub, or the folder that stands for it, says of these models."""
    hub = HuggingFaceClient(
        settings.platform.hub_endpoint,
        cache_folder=settings.hub_cache,
        is_offline=settings.hub_offline,
    )
    try:
        found = {}
        for name in workspace_names:
            found[name] = await _ask(hub, name)
        return found
    finally:
        await hub.close()


async def _ask(hub: HuggingFaceClient, name: str) -> Preset | Problem:
    try:
        return preset_of_hub(await hub.model(*split_id(name)))
    except HubError as error:
        return problem_of(translate_hub_error(error), ASK_OFFLINE)
    except PlatformError as error:
        return problem_of(error)


def problem_of(error: PlatformError, remedy: str = "") -> Problem:
    """Return an error as the problem of a plan."""
    return Problem(
        reason=error.reason(), message=trim(f"{error}; {remedy}" if remedy else f"{error}")
    )
