"""The credential for an emulator of Azure, which looks at no token."""

from __future__ import annotations

from typing import Any, Final, Self

from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential

FAR_FUTURE: Final = 4102444800
"""2100-01-01, in seconds since 1970: the token is never renewed."""

Credential = AsyncTokenCredential
"""Whatever can get tokens, for those who import no SDK."""


class EmulatorCredential:
    """Gives out a token that Azure never issued, and so is worth nothing to anybody."""

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:  # noqa: ARG002 - Azure's
        """Return it."""
        return AccessToken("emulator", FAR_FUTURE)

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> Self:
        """Open nothing."""
        return self

    async def __aexit__(self, *exc_details: object) -> None:
        """Close nothing."""
