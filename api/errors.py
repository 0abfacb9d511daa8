"""The one tree of errors; each class is one condition reason and one way to go on.

    PlatformError
    ├── InvalidWorkspace             the user fixes the spec; never retried
    │   ├── UnknownPreset
    │   ├── InstanceTypeTooSmall
    │   ├── FeatureNotAvailable
    │   ├── MissingReference
    │   ├── UnknownModel
    │   ├── UnsupportedModel
    │   └── ModelAccessDenied
    ├── CapacityUnavailable          time or an operator fixes it; slow retry, shown
    │   ├── QuotaExceeded
    │   └── InsufficientCapacity
    ├── NotReadyYet                  nothing is wrong; retried, never shown as a failure
    ├── DeadlineExceeded             a named wait ran out; slow retry, shown
    ├── ClusterUnavailable           transient; fast retry, not shown
    │   ├── Conflict
    │   └── Throttled
    ├── AccessDenied                 an operator fixes rights; slow retry, shown
    ├── HubUnavailable               the model hub did not answer; slow retry, shown
    ├── ProviderFailed               the cloud failed; slow retry, shown in its own words
    └── RuntimeFailed                the model server failed; slow retry, shown in its own words

Foreign errors become these in `activities/errors.py` and nowhere else.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final

MAX_MESSAGE_CHARACTERS: Final = 1024
"""Longest message that reaches a condition or an Event (Events are cut at 1024 by Kubernetes)."""


class Remedy(StrEnum):
    """What a workflow does about an error once the activity's own retries are over."""

    EDIT = "edit"
    """Wait for the user to change the spec, or for `retry`."""
    SLOW_RETRY = "slow_retry"
    """Show the cause and try again after a growing delay, or at once on `retry`."""
    FAST_RETRY = "fast_retry"
    """Try again soon without showing a failure."""


class PlatformError(Exception):
    """Anything that this platform knows how to name."""

    remedy: ClassVar[Remedy] = Remedy.SLOW_RETRY

    def __init__(self, message: str, *, field: str = "") -> None:
        """Keep what happened, to what; `field` names the spec field at fault, if one is."""
        super().__init__(trim(f"{field}: {message}" if field else message))
        self.field = field

    @classmethod
    def reason(cls) -> str:
        """Return the condition reason, which is also the type of the ApplicationError."""
        return cls.__name__


class InvalidWorkspace(PlatformError):
    """The spec can't be carried out as written."""

    remedy = Remedy.EDIT


class UnknownPreset(InvalidWorkspace):
    """The preset's name is in no catalogue file."""


class InstanceTypeTooSmall(InvalidWorkspace):
    """The model does not fit on the instance type that was asked for."""


class FeatureNotAvailable(InvalidWorkspace):
    """The spec uses a field whose feature this version does not carry out."""


class MissingReference(InvalidWorkspace):
    """A ConfigMap, Secret or other object that the spec names does not exist."""


class UnknownModel(InvalidWorkspace):
    """The model hub has no repository, or no revision of it, by this name."""


class UnsupportedModel(InvalidWorkspace):
    """No runtime of the platform can serve a model of this architecture or with these files."""


class ModelAccessDenied(InvalidWorkspace):
    """The model hub gives this model only to those who accepted its terms."""


class CapacityUnavailable(PlatformError):
    """No place for the nodes right now."""


class QuotaExceeded(CapacityUnavailable):
    """The subscription's quota does not allow the nodes."""


class InsufficientCapacity(CapacityUnavailable):
    """The provider has no machines of this type free."""


class NotReadyYet(PlatformError):
    """Nothing is wrong; the thing waited for is still on its way."""

    remedy = Remedy.FAST_RETRY


class DeadlineExceeded(PlatformError):
    """A named wait ran out."""


class ClusterUnavailable(PlatformError):
    """The API server or a service beside it did not answer properly."""

    remedy = Remedy.FAST_RETRY


class Conflict(ClusterUnavailable):
    """Somebody else wrote the object first."""


class Throttled(ClusterUnavailable):
    """The server asked for fewer requests."""


class AccessDenied(PlatformError):
    """The platform lacks a right that it needs."""


class HubUnavailable(PlatformError):
    """The model hub did not answer, or not with what it should."""


class ProviderFailed(PlatformError):
    """The cloud reported a failure of its own."""


class RuntimeFailed(PlatformError):
    """The workload's containers can't start, crash, or answer wrongly."""


def trim(text: str, limit: int = MAX_MESSAGE_CHARACTERS) -> str:
    """Cut `text` to `limit` characters, with an ellipsis where something was lost."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _tree(root: type[PlatformError]) -> list[type[PlatformError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


BY_REASON: Final[dict[str, type[PlatformError]]] = {
    cls.reason(): cls for cls in _tree(PlatformError)
}
"""Every class by its reason, for rooms that only have the reason as a string."""
