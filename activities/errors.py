"""The one door through which foreign errors become ours, and ours become Temporal's.

    SDK error ──FOREIGN──► PlatformError ──► ApplicationError(type=reason, non_retryable=…)

Retryability is decided here: what passes by itself is retried by the activity's own policy, and
everything else goes back to the workflow at once, which knows what to do next.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.clients.azure import AzureFailed
from activities.clients.hugging_face import HubError
from activities.clients.kubernetes import ApiError
from activities.clients.model_endpoint import EndpointError
from activities.clients.onebox_agent import AgentError
from api.errors import (
    AccessDenied,
    ClusterUnavailable,
    Conflict,
    HubUnavailable,
    InstanceTypeTooSmall,
    InsufficientCapacity,
    InvalidWorkspace,
    MissingReference,
    ModelAccessDenied,
    PlatformError,
    ProviderFailed,
    QuotaExceeded,
    Remedy,
    RuntimeFailed,
    Throttled,
    UnknownModel,
    trim,
)
from planner.azure_errors import judge

HAND_OVER: Final = "HandOver"
"""Type of the error by which a stopping worker gives a long activity to another one."""

HAND_OVER_DELAY: Final = timedelta(milliseconds=100)
"""0.1 s: the next worker is polling already; only the server's bookkeeping must pass."""

CLUSTER_STATUSES: Final[dict[int, type[PlatformError]]] = {
    400: InvalidWorkspace,
    401: AccessDenied,
    403: AccessDenied,
    404: MissingReference,
    409: Conflict,
    410: ClusterUnavailable,
    413: InvalidWorkspace,
    422: InvalidWorkspace,
    429: Throttled,
}
"""HTTP statuses of the API server; what is not listed is the server's own trouble."""

AGENT_CODES: Final[dict[str, type[PlatformError]]] = {
    "InsufficientCapacity": InsufficientCapacity,
    "QuotaExceeded": QuotaExceeded,
    "SkuNotAvailable": InstanceTypeTooSmall,
    "Unavailable": ClusterUnavailable,
}
"""Error codes of onebox's node agent."""

_ACCEPT_TERMS: Final = (
    "accept the model's terms on its page, or ask for access, and name a Secret whose key HF_TOKEN "
    "holds the account's token in presetOptions.modelAccessSecret"
)

HUB_STATUSES: Final[dict[int, tuple[type[PlatformError], str]]] = {
    401: (ModelAccessDenied, _ACCEPT_TERMS),
    403: (ModelAccessDenied, _ACCEPT_TERMS),
    404: (UnknownModel, "check how the model and its revision are spelt"),
}
"""HTTP statuses of the model hub, with what helps; what is not listed is the hub's own trouble."""

HUB_TROUBLE: Final = (
    "the platform asks again in a while; its operator can name a mirror (KAITO_HUB_ENDPOINT) or a "
    "folder of descriptions (KAITO_HUB_CACHE)"
)

HTTP_UNAUTHORIZED: Final = 401
HUB_REPOSITORY_NOT_FOUND: Final = "RepoNotFound"
MAX_HUB_CHARACTERS: Final = 600
"""Longest part of a message that is the hub's; the remedy must find room after it."""


class WorkspaceGone(Exception):
    """The Workspace that an activity works for is gone, or another object has its name."""


class HandOver(Exception):
    """This worker stops: the activity goes on elsewhere from its heartbeat."""


def translate(error: Exception) -> PlatformError | None:
    """Return the error as one of ours; None for what nobody foresaw (a bug)."""
    translated: PlatformError | None = None
    match error:
        case PlatformError():
            translated = error
        case ApiError():
            translated = CLUSTER_STATUSES.get(error.status, ClusterUnavailable)(str(error))
        case AzureFailed():
            translated = judge(error.failure).to_error()
        case AgentError():
            translated = AGENT_CODES.get(error.code, ProviderFailed)(error.message)
        case EndpointError():
            translated = RuntimeFailed(str(error))
        case HubError():
            translated = translate_hub_error(error)
        case WorkspaceGone():
            translated = Conflict(str(error))
    return translated


def translate_hub_error(error: HubError) -> PlatformError:
    """Return what the hub's refusal, or its silence, means for people."""
    cause, remedy = HUB_STATUSES.get(error.status, (HubUnavailable, HUB_TROUBLE))
    if (error.status, error.code) == (HTTP_UNAUTHORIZED, HUB_REPOSITORY_NOT_FOUND):
        # To strangers the hub says this of private repositories and of those that do not exist.
        cause = ModelAccessDenied if error.had_token else UnknownModel
        remedy = f"check how the model is spelt; if it is private, {_ACCEPT_TERMS}"
    return cause(f"{trim(str(error), MAX_HUB_CHARACTERS)}; {remedy}")


def to_application_error(error: Exception) -> ApplicationError | None:
    """Return what Temporal shall record, or None for an error that is a bug."""
    if isinstance(error, HandOver):
        return ApplicationError(
            "the worker stops; the step goes on in another one",
            type=HAND_OVER,
            next_retry_delay=HAND_OVER_DELAY,
            category=ApplicationErrorCategory.BENIGN,
        )
    platform_error = translate(error)
    if platform_error is None:
        return None
    passes_by_itself = platform_error.remedy is Remedy.FAST_RETRY
    pause_seconds = error.retry_after_seconds if isinstance(error, AzureFailed) else None
    return ApplicationError(
        trim(str(platform_error)),
        type=platform_error.reason(),
        non_retryable=not passes_by_itself or isinstance(error, WorkspaceGone),
        next_retry_delay=None if pause_seconds is None else timedelta(seconds=pause_seconds),
        category=(
            ApplicationErrorCategory.BENIGN
            if passes_by_itself
            else ApplicationErrorCategory.UNSPECIFIED
        ),
    )


_Self = TypeVar("_Self")
_In = TypeVar("_In")
_Out = TypeVar("_Out")


def implements(
    contract: Callable[[_In], Awaitable[_Out]],
) -> Callable[[Callable[[_Self, _In], Awaitable[_Out]]], Callable[[_Self, _In], Awaitable[_Out]]]:
    """Register a method as the implementation of a contract, with every error through the door."""

    def decorate(
        method: Callable[[_Self, _In], Awaitable[_Out]],
    ) -> Callable[[_Self, _In], Awaitable[_Out]]:
        @activity.defn(name=contract.__name__)
        @functools.wraps(method)
        async def guarded(self: _Self, payload: _In) -> _Out:
            try:
                return await method(self, payload)
            except (ApplicationError, asyncio.CancelledError):
                raise
            except Exception as error:
                translated = to_application_error(error)
                if translated is None:
                    raise
                raise translated from error

        return guarded

    return decorate
