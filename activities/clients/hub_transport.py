"""Requests to a model hub: bounded in time and size, and without a token to anybody else."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

import aiohttp

from activities.clients.hub_answers import BadAnswer

CONNECT_TIMEOUT_SECONDS: Final = 5.0
"""5 s to connect: a slow TLS handshake over a proxy takes one or two."""

REQUEST_TIMEOUT_SECONDS: Final = 10.0
"""10 s for one answer; the hub takes tenths of a second, a mirror that fetches anew some more."""

MAX_REDIRECTS: Final = 5
"""A renamed repository is one redirect, a file at a storage service another."""

NO_ANSWER: Final = 0
"""Status of an error that is no answer of the hub's."""

_HTTP_OK: Final = 200
_USER_AGENT: Final = "kaito-temporal"


class HubError(Exception):
    """The hub refused, or gave no answer that can be used (`status` is then `NO_ANSWER`)."""

    def __init__(self, status: int, code: str, message: str, *, had_token: bool = False) -> None:
        """Keep the HTTP status, the hub's own word for the error and what was asked for."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.had_token = had_token


class HubTransport:
    """One pool of connections to one hub."""

    def __init__(self, endpoint: str) -> None:
        """Take the base URL of the hub or of a mirror.

        Raises:
            ValueError: it is no http or https URL.
        """
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
            raise ValueError(
                f"{endpoint!r} is no address of a model hub; set KAITO_HUB_ENDPOINT to a URL such "
                "as https://huggingface.co"
            )
        self.endpoint = endpoint.rstrip("/")
        self._is_plain_http = parts.scheme == "http"
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, token: str, limit_bytes: int) -> Any:
        """Return the JSON at a path of the hub.

        Raises:
            HubError: the hub refused or did not answer.
            BadAnswer: it answered with something else.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(
                    total=REQUEST_TIMEOUT_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS
                ),
                headers={"User-Agent": _USER_AGENT, "Accept": "application/json"},
                trust_env=bool(getproxies_environment()),
            )
        # aiohttp drops this header when a redirect leads to another host.
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{self.endpoint}{path}"
        try:
            async with self._session.get(
                url, headers=headers, max_redirects=MAX_REDIRECTS
            ) as response:
                if response.url.scheme == "http" and not self._is_plain_http:
                    raise BadAnswer(f"{url} leads to an address without TLS")
                body = await _read_limited(response, limit_bytes, url)
                if response.status != _HTTP_OK:
                    raise _refusal(response, body, url, had_token=bool(token))
        except (aiohttp.ClientError, OSError) as error:
            # OSError holds TimeoutError: the request's own limit.
            words = f"{type(error).__name__}: {error}".removesuffix(": ")
            raise HubError(NO_ANSWER, "Unreachable", f"{url} does not answer: {words}") from error
        try:
            return await asyncio.to_thread(json.loads, body)
        except (ValueError, RecursionError) as error:
            raise BadAnswer(f"{url} answers something that is no JSON") from error


async def _read_limited(response: aiohttp.ClientResponse, limit_bytes: int, url: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(2**16):
        body += chunk
        if len(body) > limit_bytes:
            raise BadAnswer(f"{url} answers with more than {limit_bytes // 2**20} MiB")
    return bytes(body)


def _refusal(
    response: aiohttp.ClientResponse, body: bytes, url: str, *, had_token: bool
) -> HubError:
    code = response.headers.get("X-Error-Code", "")
    words = response.headers.get("X-Error-Message", "") or _error_in(body)
    message = f"{url} answers {response.status} {code}".rstrip() + (f": {words}" if words else "")
    return HubError(response.status, code, message, had_token=had_token)


def _error_in(body: bytes) -> str:
    """Return the hub's own words; pages of proxies are left out, as they differ at each request."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    words = answer.get("error") if isinstance(answer, dict) else None
    return words if isinstance(words, str) else ""
