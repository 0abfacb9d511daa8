"""The installation's own image registry: to which bytes a tag points today.

Only that registry is asked. The hosts of users' own images are theirs to choose, and the platform
makes no request from its place in the network to a host that a user chose.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Final
from urllib.parse import urlencode

import aiohttp

RESOLVE_SECONDS: Final = 2.0
"""2 s for an answer: a digest is worth a moment of an operation's first step, and no more."""

REMEMBER_SECONDS: Final = 60.0
"""60 s: a tag that was moved is seen soon, and a registry that is down costs one wait a minute."""

MAX_REMEMBERED: Final = 500
"""Answers; a catalogue has about a hundred images."""

_MANIFESTS: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
"""An index before one of its images: that is what kubelets pull by."""

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_DEFAULT_TAG: Final = "latest"
_HTTP_OK: Final = 200
_HTTP_UNAUTHORIZED: Final = 401
_CHALLENGE: Final = re.compile(r'(\w+)="([^"]*)"')


class ImageRegistryClient:
    """Asks one registry, without credentials: what it hides stays unknown."""

    def __init__(self, registry: str, *, is_plain_http: bool = False) -> None:
        """Take its host and port, and whether it speaks HTTP without TLS."""
        self._registry = registry
        self._scheme = "http" if is_plain_http else "https"
        self._session: aiohttp.ClientSession | None = None
        self._remembered: dict[str, tuple[float, str]] = {}

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def pin(self, reference: str) -> str:
        """Return the reference with the digest behind its tag: `name:tag@sha256:...`.

        As it is, when it has one already, is of another registry, or the registry does not tell.
        """
        if "@" in reference or not reference.startswith(f"{self._registry}/"):
            return reference
        known = self._remembered.get(reference)
        if known is None or time.monotonic() - known[0] > REMEMBER_SECONDS:
            known = (time.monotonic(), await self._ask(reference))
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[reference] = known
        return f"{reference}@{known[1]}" if known[1] else reference

    async def _ask(self, reference: str) -> str:
        """Return the digest, or an empty string."""
        path = reference.removeprefix(f"{self._registry}/")
        name, colon, tag = path.rpartition(":")
        if not colon:
            name, tag = path, _DEFAULT_TAG
        # A registry may have a path of its own: "registry.example/mirror".
        host, _, prefix = self._registry.partition("/")
        repository = f"{prefix}/{name}" if prefix else name
        url = f"{self._scheme}://{host}/v2/{repository}/manifests/{tag}"
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=RESOLVE_SECONDS)
            )
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                return await self._digest(self._session, url, repository)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return ""

    async def _digest(self, session: aiohttp.ClientSession, url: str, repository: str) -> str:
        headers = {"Accept": ", ".join(_MANIFESTS)}
        async with session.head(url, headers=headers) as response:
            status, answered = response.status, response.headers
        if status == _HTTP_UNAUTHORIZED:
            # Public registries give everybody a token for what everybody may read.
            token = await self._guest_token(
                session, answered.get("WWW-Authenticate", ""), repository
            )
            headers["Authorization"] = f"Bearer {token}"
            async with session.head(url, headers=headers) as response:
                status, answered = response.status, response.headers
        digest = answered.get("Docker-Content-Digest", "")
        return digest if status == _HTTP_OK and _DIGEST.fullmatch(digest) else ""

    async def _guest_token(
        self, session: aiohttp.ClientSession, challenge: str, repository: str
    ) -> str:
        """Return a token of the registry's own token service.

        Raises:
            ValueError: it asks for something else, or its service speaks no TLS.
        """
        asked = dict(_CHALLENGE.findall(challenge))
        realm = asked.get("realm", "")
        if not realm.startswith(f"{self._scheme}://"):
            raise ValueError("no token service")
        query = {"scope": f"repository:{repository}:pull"}
        if "service" in asked:
            query["service"] = asked["service"]
        async with session.get(f"{realm}?{urlencode(query)}") as response:
            answer = await response.json()
        if not isinstance(answer, dict):
            raise ValueError("no token")  # noqa: TRY004 - what a stranger answered, not a bug
        return str(answer.get("token") or answer.get("access_token") or "")
