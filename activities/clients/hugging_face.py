"""Hugging Face's hub, as far as a plan needs it: a few kilobytes that describe a model.

    GET <endpoint>/api/models/<id>/revision/<revision>?blobs=true   commit, files, sizes, gate
    GET <endpoint>/<id>/resolve/<commit>/config.json                architecture and shape
    GET <endpoint>/<id>/resolve/<commit>/model.safetensors.index.json  only where sizes are missing

No weights come this way, and nothing of a repository is run. A mirror that speaks these routes can
take the hub's place.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from weakref import WeakValueDictionary

from activities.clients.hub_answers import (
    CONFIG_FILE,
    BadAnswer,
    Repository,
    describe_repository,
    read_repository,
)
from activities.clients.hub_cache import MODEL_FILE, HubCache
from activities.clients.hub_transport import NO_ANSWER, HubError, HubTransport
from api.errors import UnknownModel
from api.hub import HubModel
from planner.hub_ids import is_commit, split_id

MODEL_TIMEOUT_SECONDS: Final = 15.0
"""15 s for all answers about one model: less than the limit of the activity that plans."""

MAX_ANSWER_BYTES: Final = 8 * 2**20
"""8 MiB: descriptions are below 1 MiB and config.json below 100 KiB, for all but odd models."""

MAX_INDEX_BYTES: Final = 64 * 2**20
"""64 MiB: the index of a model with a trillion parameters in small tensors is half as large."""

REMEMBERED_SECONDS: Final = 120.0
"""2 min during which an answer holds: a plan and the adoption that follows it ask once, and so do
a hundred Workspaces of one model."""

MAX_REMEMBERED: Final = 500
"""Models, at some 10 KiB each."""

__all__ = ["NO_ANSWER", "HubError", "HuggingFaceClient"]

_log = logging.getLogger(__name__)


class HuggingFaceClient:
    """Asks one hub about models; one pool, one memory and one folder for all of them."""

    def __init__(self, endpoint: str, *, cache_folder: str = "", is_offline: bool = False) -> None:
        """Take where to ask.

        Args:
            endpoint: Base URL of the hub or of a mirror.
            cache_folder: Folder of `hub_cache`; empty for none.
            is_offline: Ask the folder only.

        Raises:
            ValueError: the endpoint is no http or https URL.
        """
        self._hub = HubTransport(endpoint)
        self._cache = HubCache(cache_folder)
        self._is_offline = is_offline
        self._models: OrderedDict[str, tuple[float, HubModel]] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def close(self) -> None:
        """Close the connections."""
        await self._hub.close()

    @property
    def is_offline(self) -> bool:
        """Whether only the folder is asked."""
        return self._is_offline

    async def model(self, model_id: str, revision: str, token: str = "") -> HubModel:
        """Return a model as it is at a revision.

        Args:
            model_id: `org/name`, checked by `split_id`.
            revision: Branch, tag or commit, checked likewise.
            token: Opens gated and private models; empty for none.

        Raises:
            HubError: it does not exist, may not be read, or the hub can't be reached.
        """
        # What one account may read is not for another, so the token is part of the question.
        account = hashlib.sha256(token.encode()).hexdigest()
        key = f"{model_id.casefold()}@{revision}@{account}"
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            known = self._models.get(key)
            if known is not None and time.monotonic() - known[0] < REMEMBERED_SECONDS:
                return known[1]
            model = await self._find(model_id, revision, token)
            self._models[key] = (time.monotonic(), model)
            self._models.move_to_end(key)
            while len(self._models) > MAX_REMEMBERED:
                self._models.popitem(last=False)
            return model

    async def _find(self, model_id: str, revision: str, token: str) -> HubModel:
        name = f"{model_id}@{revision}"
        try:
            if self._is_offline:
                return await self._from_folder(model_id, revision)
            async with asyncio.timeout(MODEL_TIMEOUT_SECONDS):
                return await self._from_hub(model_id, revision, token)
        except BadAnswer as error:
            raise HubError(NO_ANSWER, "BadAnswer", f"{name}: {error}") from error
        except TimeoutError as error:
            raise HubError(
                NO_ANSWER,
                "Timeout",
                f"{name}: no answer from {self._hub.endpoint} within {MODEL_TIMEOUT_SECONDS:.0f} s",
            ) from error

    # --- the folder -------------------------------------------------------------------------

    async def _from_folder(self, model_id: str, revision: str) -> HubModel:
        commit = await self._cache.read_ref(model_id, revision) or revision
        if not is_commit(commit):
            raise self._missing(self._cache.ref_path(model_id, revision))
        described = await self._cache.read(model_id, commit, MODEL_FILE)
        if described is None:
            raise self._missing(self._cache.path(model_id, commit, MODEL_FILE))
        repository = read_repository(described)
        files = {}
        for name in (CONFIG_FILE, repository.index_file):
            if name not in repository.sizes:
                continue
            found = await self._cache.read(model_id, commit, name)
            if found is None:
                raise self._missing(self._cache.path(model_id, commit, name))
            files[name] = found
        return _model(repository, files)

    def _missing(self, path: Path | None) -> HubError:
        what = f"the file {path}" if path is not None else "a folder (KAITO_HUB_CACHE)"
        return HubError(
            NO_ANSWER, "Offline", f"the hub is not asked (KAITO_HUB_OFFLINE); missing is {what}"
        )

    async def _keep(
        self, model_id: str, revision: str, repository: Repository, files: Mapping[str, Any]
    ) -> None:
        try:
            described = {MODEL_FILE: describe_repository(repository), **files}
            await self._cache.write(model_id, repository.commit, described)
            await self._cache.write_ref(model_id, revision, repository.commit)
        except OSError as error:
            # The folder only saves time and serves other clusters; the answer is here.
            _log.warning("the model cache can't be written to: %s", error)

    # --- the hub ----------------------------------------------------------------------------

    async def _from_hub(self, model_id: str, revision: str, token: str) -> HubModel:
        path = f"/api/models/{model_id}/revision/{quote(revision, safe='')}?blobs=true"
        repository = read_repository(await self._hub.get(path, token, MAX_ANSWER_BYTES))
        _check_id(repository)
        files: dict[str, dict[str, Any]] = {}
        for name, limit in (
            (CONFIG_FILE, MAX_ANSWER_BYTES),
            (repository.index_file, MAX_INDEX_BYTES),
        ):
            if name not in repository.sizes:
                continue
            # Of a commit nothing changes, so what the folder has is what the hub would say.
            known = None
            if not repository.is_gated:
                known = await self._cache.read(model_id, repository.commit, name)
            if known is None:
                known = await self._get_file(repository, name, token, limit)
            files[name] = known
        if not repository.is_gated:
            await self._keep(model_id, revision, repository, files)
        return _model(repository, files)

    async def _get_file(
        self, repository: Repository, name: str, token: str, limit_bytes: int
    ) -> dict[str, Any]:
        path = f"/{repository.id}/resolve/{repository.commit}/{quote(name)}"
        value = await self._hub.get(path, token, limit_bytes)
        if not isinstance(value, dict):
            raise BadAnswer(f"its {name} is no JSON object")
        return value


def _check_id(repository: Repository) -> None:
    """See that the hub's own spelling of the id, another one for a renamed model, is an id."""
    try:
        split_id(repository.id)
    except UnknownModel as error:
        raise BadAnswer(f"the hub calls the model {repository.id!r}") from error


def _model(repository: Repository, files: Mapping[str, dict[str, Any]]) -> HubModel:
    config = files.get(CONFIG_FILE, {})
    index = files.get(repository.index_file, {})
    return HubModel(
        id=repository.id,
        commit=repository.commit,
        config=config,
        weights_bytes=repository.weights_bytes(index),
        has_safetensors=any(name.endswith(".safetensors") for name in repository.weight_files),
        gated=repository.is_gated,
        license=repository.license,
        files=tuple(sorted(repository.sizes)),
    )
