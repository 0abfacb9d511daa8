"""What the hub's description of a repository says: its commit, its files, its weights.

The answers come from a network, or from a folder that somebody filled by hand, so each part is
checked before it is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

CONFIG_FILE: Final = "config.json"
SAFETENSORS_INDEX: Final = "model.safetensors.index.json"
BIN_INDEX: Final = "pytorch_model.bin.index.json"

MAX_FILES: Final = 2000
"""Files at the top of a repository that we look at; the largest models have some hundred."""

_SHARD: Final = re.compile(r"(?:model|pytorch_model)-([0-9]{5})-of-([0-9]{5})\.(?:safetensors|bin)")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_NO_LICENSE: Final = "unknown"


class BadAnswer(Exception):
    """The hub's answer lacks what the platform needs, or is no such answer at all."""


@dataclass(frozen=True)
class Repository:
    """One model's repository at one commit."""

    id: str
    commit: str
    is_gated: bool
    """Its files are not for everybody: gated or private."""
    license: str
    sizes: Mapping[str, int | None]
    """Bytes of each file at its top; None where the hub does not say."""

    @property
    def weight_files(self) -> list[str]:
        """Return the files that a server loads, safetensors before anything else."""
        for suffix, whole in ((".safetensors", "model.safetensors"), (".bin", "pytorch_model.bin")):
            if whole in self.sizes:
                return [whole]
            shards = self._shards(suffix)
            if shards:
                return shards
            # Mistral's own format repeats the same weights beside it.
            others = [name for name in self.sizes if name.endswith(suffix)]
            own = [name for name in others if not name.startswith(("consolidated", "adapter_"))]
            found = own or [name for name in others if name.startswith("consolidated")]
            if suffix == ".safetensors" and found:
                return found
        return []

    def _shards(self, suffix: str) -> list[str]:
        names = sorted(name for name in self.sizes if name.endswith(suffix) and _SHARD.match(name))
        totals = {match[2] for match in map(_SHARD.match, names) if match is not None}
        # A number of shards that is not what each says is two sets or half a one.
        return names if len(totals) == 1 and len(names) == int(totals.pop()) else []

    @property
    def index_file(self) -> str:
        """Return the file that lists the weights; empty where it is not needed or not there."""
        if self.told_bytes() is not None:
            return ""
        return next((name for name in (SAFETENSORS_INDEX, BIN_INDEX) if name in self.sizes), "")

    def told_bytes(self) -> int | None:
        """Return the bytes of all weights as the list of files says, or None if it does not."""
        files = self.weight_files
        if not files and any(name in self.sizes for name in (SAFETENSORS_INDEX, BIN_INDEX)):
            return None
        sizes = [self.sizes[name] for name in files]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None

    def weights_bytes(self, index: Mapping[str, Any]) -> int:
        """Return the bytes of all weights, by the list of files, else by the index.

        Raises:
            BadAnswer: neither says.
        """
        told = self.told_bytes()
        if told is not None:
            return told
        metadata = index.get("metadata")
        total = metadata.get("total_size") if isinstance(metadata, Mapping) else None
        if isinstance(total, float) and total.is_integer():
            total = int(total)
        if not isinstance(total, int) or isinstance(total, bool) or total <= 0:
            raise BadAnswer(f"nothing says how large the weights of {self.id} are")
        return total


def read_repository(answer: object) -> Repository:
    """Read the answer of `/api/models/<id>/revision/<revision>`.

    Raises:
        BadAnswer: it is none.
    """
    if not isinstance(answer, Mapping):
        raise BadAnswer("the description of the model is no JSON object")
    model_id, commit = answer.get("id", answer.get("modelId")), answer.get("sha")
    if not isinstance(model_id, str) or not isinstance(commit, str):
        raise BadAnswer("the description of the model has no `id` or no `sha`")
    if _COMMIT.fullmatch(commit) is None:
        raise BadAnswer(f"the description of {model_id} names a commit that is none")
    siblings = answer.get("siblings")
    return Repository(
        id=model_id,
        commit=commit,
        is_gated=bool(answer.get("gated")) or answer.get("private") is True,
        license=_license(answer),
        sizes=_sizes(siblings if isinstance(siblings, Sequence) else ()),
    )


def _sizes(siblings: Sequence[Any]) -> dict[str, int | None]:
    sizes: dict[str, int | None] = {}
    for sibling in siblings:
        name = sibling.get("rfilename") if isinstance(sibling, Mapping) else None
        # Only the top counts: folders hold copies in other formats.
        if isinstance(name, str) and name and "/" not in name and len(sizes) < MAX_FILES:
            size = sibling.get("size")
            is_size = isinstance(size, int) and not isinstance(size, bool) and size >= 0
            sizes[name] = size if is_size else None
    return sizes


def _license(answer: Mapping[str, Any]) -> str:
    card = answer.get("cardData")
    told = card.get("license") if isinstance(card, Mapping) else None
    if isinstance(told, str) and told:
        return told
    tags = answer.get("tags")
    for tag in tags if isinstance(tags, Sequence) else ():
        if isinstance(tag, str) and tag.startswith("license:"):
            return tag.removeprefix("license:") or _NO_LICENSE
    return _NO_LICENSE


def describe_repository(repository: Repository) -> dict[str, Any]:
    """Return the parts of an answer that `read_repository` reads, to be kept in a file."""
    return {
        "id": repository.id,
        "sha": repository.commit,
        "gated": repository.is_gated,
        "cardData": {"license": repository.license},
        "siblings": [
            {"rfilename": name, **({} if size is None else {"size": size})}
            for name, size in repository.sizes.items()
        ],
    }
