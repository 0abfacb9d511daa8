"""Long-running operations: a token that outlives the process, and one look at a time.

The SDK's poller waits and loops in one process. Here the waiting is the activity's, so a poller is
built from its token for each look, asks once, and is dropped. Whoever has the token can go on: the
request that began the operation is never sent again.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any, Final

from azure.core.exceptions import HttpResponseError
from azure.core.polling.base_polling import BadResponse, BadStatus
from azure.mgmt.core.polling.async_arm_polling import AsyncARMPolling

from activities.clients.azure.caller import answer_failure, retry_after_seconds
from activities.clients.azure.models import OperationState, OperationStatus
from planner.azure_errors import CANCELED, AzureFailure, Cause

TOKEN_VERSION: Final = 1

_NO_CONTENT: Final = 204

_STATES: Final = {
    "succeeded": OperationState.SUCCEEDED,
    "failed": OperationState.FAILED,
    "canceled": OperationState.CANCELED,
}


@dataclass(frozen=True)
class Token:
    """What resumes an operation."""

    verb: str
    """`create` or `delete`."""
    pool: str
    sdk_token: str

    def encode(self) -> str:
        """Return it as text; it holds addresses and the pool's own settings, no secret."""
        text = json.dumps(
            {"v": TOKEN_VERSION, "verb": self.verb, "pool": self.pool, "sdk": self.sdk_token}
        )
        return base64.urlsafe_b64encode(zlib.compress(text.encode(), level=9)).decode()

    @classmethod
    def decode(cls, text: str) -> Token:
        """Read it back.

        Raises:
            ValueError: it is none of ours, or of a version that this one can't read.
        """
        try:
            parts = json.loads(zlib.decompress(base64.urlsafe_b64decode(text)))
            version, token = parts["v"], cls(parts["verb"], parts["pool"], parts["sdk"])
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            raise ValueError(f"this is no token of an operation: {error}") from error
        if version != TOKEN_VERSION:
            raise ValueError(f"this token of an operation has version {version}")
        return token


class OneLook(AsyncARMPolling):
    """Asks for an operation's status once instead of waiting for its end."""

    async def run(self) -> None:
        """Look once, unless it is known to be over."""
        if self.finished():
            return
        try:
            await self.update_status()
        except (BadStatus, BadResponse) as error:
            raise HttpResponseError(
                response=self._pipeline_response.http_response, error=error
            ) from error

    def outcome(self) -> OperationStatus:
        """Return what was seen."""
        state = _STATES.get(str(self.status()).lower(), OperationState.RUNNING)
        response: Any = self._pipeline_response.http_response
        failure = None
        if state in {OperationState.FAILED, OperationState.CANCELED}:
            failure = answer_failure(response)
            if not failure.causes:
                failure = AzureFailure(
                    failure.status, (Cause(CANCELED, f"the operation {state}, without a cause"),)
                )
        return OperationStatus(state, failure, retry_after_seconds(response.headers))

    def is_nothing_to_do(self) -> bool:
        """Say whether the request that was just sent began no operation."""
        return bool(self._initial_response.http_response.status_code == _NO_CONTENT)
