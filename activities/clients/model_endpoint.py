"""A model server's OpenAI routes, as far as verification asks them."""

from __future__ import annotations

import json
from typing import Any, Final

import aiohttp

REQUEST_TIMEOUT_SECONDS: Final = 60.0
"""60 s: the first generation on a cold CPU server takes a few seconds, a large model more."""

_HTTP_OK: Final = 200

_REMEDY: Final = (
    "check that the image (inference.preset.presetOptions.image, if it is your own) holds a server "
    "with OpenAI's routes"
)


class EndpointNotReady(Exception):
    """The server does not listen yet, or says itself that it is not healthy."""


class EndpointError(Exception):
    """The server answers, and wrongly."""


class ModelEndpointClient:
    """Asks model servers; one pool for all of them."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def check_health(self, base_url: str) -> None:
        """Return when `/health` says 200.

        Raises:
            EndpointNotReady: it says otherwise or does not listen.
        """
        status, body = await self._call("GET", f"{base_url}/health")
        if status != _HTTP_OK:
            raise EndpointNotReady(f"/health says {status} {body[:100]}")

    async def models(self, base_url: str) -> list[str]:
        """Return the ids that `/v1/models` lists."""
        status, body = await self._call("GET", f"{base_url}/v1/models")
        answer = _decode("/v1/models", status, body)
        try:
            return [str(model["id"]) for model in answer["data"]]
        except (KeyError, TypeError) as error:
            raise EndpointError(
                f"/v1/models answers {body[:200]!r}, not a list of models; {_REMEDY}"
            ) from error

    async def complete(self, base_url: str, *, model: str, prompt: str, max_tokens: int) -> str:
        """Return the continuation of `prompt`."""
        status, body = await self._call(
            "POST",
            f"{base_url}/v1/completions",
            body={"model": model, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0},
        )
        answer = _decode("/v1/completions", status, body)
        try:
            return str(answer["choices"][0]["text"])
        except (KeyError, IndexError, TypeError) as error:
            raise EndpointError(
                f"/v1/completions answers {body[:200]!r}, not a choice; {_REMEDY}"
            ) from error

    async def _call(self, method: str, url: str, *, body: Any = None) -> tuple[int, str]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)
            )
        try:
            async with self._session.request(method, url, json=body) as response:
                return response.status, (await response.read()).decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EndpointNotReady(f"{url} does not answer: {error!r}") from error


def _decode(route: str, status: int, body: str) -> Any:
    if status != _HTTP_OK:
        raise EndpointError(f"{route} says {status}: {body[:200]}")
    try:
        return json.loads(body)
    except ValueError as error:
        raise EndpointError(f"{route} answers {body[:200]!r}, not JSON; {_REMEDY}") from error
