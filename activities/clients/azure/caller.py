"""The door through which every call to Azure goes.

A call has a deadline over all of it, a client request id derived from its idempotency key, and no
retries but ours. Azure counts requests that come before the pause it asked for is over, so the
door keeps them back and answers at once, as Azure would.
"""

from __future__ import annotations

import asyncio
import json
import math
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final, Self, TypeVar

from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestTimeoutError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline.policies import (
    ContentDecodePolicy,
    HeadersPolicy,
    RequestIdPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.mgmt.core.policies import ARMHttpLoggingPolicy, AsyncARMChallengeAuthenticationPolicy

from activities.clients.azure.errors import AzureFailed
from activities.clients.azure.limits import (
    CLOSE_DEADLINE_SECONDS,
    CONNECT_TIMEOUT_SECONDS,
    Deadlines,
)
from activities.clients.azure.models import AzureEndpoint
from planner.azure_errors import (
    NO_CREDENTIAL,
    TIMED_OUT,
    UNREACHABLE,
    AzureFailure,
    Cause,
    read_failure,
)

USER_AGENT: Final = "kaito-temporal"

REQUEST_ID_NAMESPACE: Final = uuid.UUID("6f2d8a52-2f0c-5c55-9d0e-7f0d5a1c9b7e")
"""Of our client request ids. Any fixed one would do."""

MAX_RETRY_AFTER_SECONDS: Final = 600.0
"""10 min: longest pause that we believe. A guess: Azure's buckets refill within minutes."""

_TOO_MANY_REQUESTS: Final = 429

_Out = TypeVar("_Out")


class CallClass(StrEnum):
    """What Resource Manager counts separately."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"


def client_request_id(key: str, verb: str) -> str:
    """Return the id that every request of this verb for this key carries."""
    return str(uuid.uuid5(REQUEST_ID_NAMESPACE, f"{key}/{verb}"))


class OneTryTransport(AioHttpTransport):  # type: ignore[misc] # exported untyped
    """aiohttp sends a PUT again by itself when its connection broke; this one does not.

    The second PUT would find the first one's pool, and the operation's token would be lost.
    """

    async def open(self) -> None:
        """Open the session, if it is not open."""
        await super().open()
        if self.session is not None:
            # aiohttp's own test client sets it the same way; there is no public name.
            self.session._retry_connection = False  # noqa: SLF001


class Caller:
    """Carries out calls for the clients of one endpoint, over one set of connections."""

    def __init__(
        self,
        endpoint: AzureEndpoint,
        credential: AsyncTokenCredential,
        *,
        deadlines: Deadlines | None = None,
    ) -> None:
        """Take whom to ask, and as whom; the credential stays its owner's to close."""
        self.endpoint = endpoint
        self.deadlines = deadlines or Deadlines()
        self._credential = credential
        self._transport = OneTryTransport()
        self._closed_until: dict[str, float] = {}

    def client_options(self) -> dict[str, Any]:
        """Return what every SDK client is built with."""
        return {
            "base_url": self.endpoint.base_url,
            "credential_scopes": [self.endpoint.scope],
            "transport": self._transport,
            "policies": [
                RequestIdPolicy(),
                HeadersPolicy(),
                UserAgentPolicy(USER_AGENT),
                ContentDecodePolicy(),
                AsyncARMChallengeAuthenticationPolicy(self._credential, self.endpoint.scope),
                ARMHttpLoggingPolicy(),
            ],
        }

    async def close(self) -> None:
        """Close the connections."""
        async with asyncio.timeout(CLOSE_DEADLINE_SECONDS):
            await self._transport.close()

    async def call(
        self,
        what: str,
        send: Callable[[dict[str, Any]], Awaitable[_Out]],
        *,
        key: str,
        verb: str,
        bucket: str,
        call_class: CallClass = CallClass.READ,
        deadline_seconds: float | None = None,
    ) -> _Out:
        """Call Azure once.

        Args:
            what: The call in words, for messages.
            send: Does it, with the options that the SDK's method must be given.
            key: Idempotency key of the intention.
            verb: What is done with it; key and verb make the client request id.
            bucket: What the provider counts the request under.
            call_class: What Resource Manager counts it under.
            deadline_seconds: For all of it; by default that of the call's class.

        Raises:
            AzureFailed: whatever went wrong, except a bug.
        """
        self._check_open(what, bucket, call_class)
        options = {
            "request_id": client_request_id(key, verb),
            "enforce_https": self.endpoint.is_encrypted,
            "connection_timeout": CONNECT_TIMEOUT_SECONDS,
        }
        seconds = deadline_seconds or self._deadline(call_class)
        options["read_timeout"] = seconds
        try:
            async with asyncio.timeout(seconds):
                return await send(options)
        except (TimeoutError, ServiceRequestTimeoutError, ServiceResponseTimeoutError) as error:
            raise AzureFailed(
                what,
                AzureFailure(0, (Cause(TIMED_OUT, f"no answer within {seconds:g} s"),)),
            ) from error
        except AzureError as error:
            failed = self._failed(what, error)
            self._close(failed.failure, bucket, call_class)
            raise failed from error

    def _deadline(self, call_class: CallClass) -> float:
        is_read = call_class is CallClass.READ
        return self.deadlines.read_seconds if is_read else self.deadlines.write_seconds

    # --- Errors -----------------------------------------------------------------------------------

    def _failed(self, what: str, error: AzureError) -> AzureFailed:
        response = getattr(error, "response", None)
        if isinstance(error, ClientAuthenticationError) and not self._is_ours(response):
            # Entra ID's refusal, or no credential at all: Resource Manager was never asked.
            return AzureFailed(
                what, AzureFailure(0, (Cause(NO_CREDENTIAL, _one_line(error.message)),))
            )
        if isinstance(error, HttpResponseError) and response is not None:
            return AzureFailed(
                what,
                answer_failure(response),
                request_id=response.headers.get("x-ms-correlation-request-id", ""),
            )
        return AzureFailed(what, AzureFailure(0, (Cause(UNREACHABLE, _one_line(error.message)),)))

    def _is_ours(self, response: Any) -> bool:
        url = getattr(getattr(response, "request", None), "url", "")
        return str(url).startswith(self.endpoint.base_url)

    # --- Pauses that Azure asked for --------------------------------------------------------------

    def _check_open(self, what: str, bucket: str, call_class: CallClass) -> None:
        now = asyncio.get_running_loop().time()
        remaining = max(
            self._closed_until.get(bucket, 0.0) - now, self._closed_until.get(call_class, 0.0) - now
        )
        if remaining > 0:
            words = "asked too often; the pause that Azure asked for is not over"
            raise AzureFailed(
                what,
                AzureFailure(
                    _TOO_MANY_REQUESTS, (Cause("Throttled", words),), math.ceil(remaining)
                ),
            )

    def _close(self, failure: AzureFailure, bucket: str, call_class: CallClass) -> None:
        if failure.status != _TOO_MANY_REQUESTS or not failure.retry_after_seconds:
            return
        now = asyncio.get_running_loop().time()
        self._closed_until = {
            name: until for name, until in self._closed_until.items() if until > now
        }
        # AKS counts by what is asked for, Resource Manager by the kind of request.
        name = bucket if failure.code == "Throttled" else str(call_class)
        self._closed_until[name] = now + failure.retry_after_seconds


class UnusedCredential:
    """Stands where an SDK client wants a credential: the door's policies have the real one."""

    async def get_token(self, *scopes: str, **options: Any) -> Any:
        """Never called."""
        raise AssertionError(scopes, options)

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> Self:
        """Open nothing."""
        return self

    async def __aexit__(self, *exc_details: object) -> None:
        """Close nothing."""


def answer_failure(response: Any) -> AzureFailure:
    """Take a response apart that says no."""
    # Responses of Arc's SDK, of an older make, have no `json`.
    text = _text(response)
    try:
        body: object = json.loads(text)
    except ValueError:
        body = text
    return read_failure(
        response.status_code, body, retry_after_seconds=retry_after_seconds(response.headers)
    )


def retry_after_seconds(headers: Any) -> float | None:
    """Return the pause that the answer asks for, within reason."""
    value = headers.get("Retry-After")
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(tz=UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def sdk_text(value: object) -> str:
    """Return an SDK's enum, or a text that its enum does not know, as text."""
    return str(getattr(value, "value", value) or "")


def _text(response: Any) -> str:
    try:
        return str(response.text())
    except Exception:  # noqa: BLE001 - the SDK promises no type for bytes that are no text
        return ""


def _one_line(message: object) -> str:
    return " ".join(str(message).split())
