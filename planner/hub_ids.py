"""Names of models on Hugging Face: `org/name`, or `org/name@revision`."""

from __future__ import annotations

import re
from typing import Final

from api.errors import UnknownModel

DEFAULT_REVISION: Final = "main"
"""Branch that a model is taken from when its user names no revision."""

MAX_REVISION_CHARACTERS: Final = 200
"""Git allows 255 bytes in one part of a ref's path; no revision of a model is this long."""

_PART: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
# The hub's own limit is 96 characters a part.
_ID: Final = re.compile(rf"{_PART}/{_PART}")
_REVISION: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._/-]*[A-Za-z0-9_])?")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


def looks_like_id(name: str) -> bool:
    """Whether a preset's name can only be a model on Hugging Face: no catalogue name has a slash.

    Aliases of the catalogue have one, so ask the catalogue first.
    """
    return "/" in name


def split_id(text: str) -> tuple[str, str]:
    """Return the id and the revision that `org/name` or `org/name@revision` names.

    Both are safe in a URL or in a file's path: neither begins at a root or holds `..`.

    Raises:
        UnknownModel: the text can't be the name of a model.
    """
    model_id, at, revision = text.partition("@")
    # By the hub's own rules, which also keep ids apart once their slash is written as `--`.
    has_odd_parts = "--" in model_id or ".." in model_id or model_id.endswith(".git")
    if _ID.fullmatch(model_id) is None or has_odd_parts:
        raise UnknownModel(
            f"{text!r} can't be a model on Hugging Face; write it as org/name or org/name@revision"
        )
    if not at:
        return model_id, DEFAULT_REVISION
    has_odd_parts = "//" in revision or ".." in revision
    is_too_long = len(revision) > MAX_REVISION_CHARACTERS
    if _REVISION.fullmatch(revision) is None or has_odd_parts or is_too_long:
        raise UnknownModel(
            f"{revision!r} can't be a revision of {model_id}; name a branch, a tag or a commit"
        )
    return model_id, revision


def is_commit(revision: str) -> bool:
    """Whether the revision is a whole commit id, which means the same files for ever."""
    return _COMMIT.fullmatch(revision) is not None


def same_request(one: str, other: str) -> bool:
    """Whether two names ask for the same model at the same revision; an id has no case."""
    return _normal(one) == _normal(other)


def _normal(text: str) -> tuple[str, str]:
    model_id, _, revision = text.partition("@")
    return model_id.casefold(), revision or DEFAULT_REVISION
