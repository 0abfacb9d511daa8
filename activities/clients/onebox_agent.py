"""onebox's node agent: machines of this one host, over HTTP.

The contract is the agent's (see `onebox/agent`): PUT and DELETE are idempotent by name, and a
machine that is truly gone answers 404.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aiohttp

REQUEST_TIMEOUT_SECONDS: Final = 10.0
"""10 s: the agent answers at once and works in the background."""

_HTTP_NOT_FOUND: Final = 404
_HTTP_BAD_REQUEST: Final = 400


class AgentError(Exception):
    """The agent refused, or can't be reached (`code` is then "Unavailable")."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the agent's code and words."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class OneboxAgentClient:
    """Asks the agent for machines."""

    def __init__(self, endpoint: str) -> None:
        """Take the agent's base URL."""
        self._endpoint = endpoint.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def put_machine(
        self,
        name: str,
        *,
        instance_type: str,
        tags: Mapping[str, str],
        labels: Mapping[str, str],
        taints: Sequence[Mapping[str, str]],
    ) -> tuple[dict[str, Any], bool]:
        """Ask for a machine; returns it and whether this call made it."""
        status, machine = await self._call(
            "PUT",
            f"/v1/nodes/{name}",
            body={
                "instanceType": instance_type,
                "tags": dict(tags),
                "labels": dict(labels),
                "taints": [dict(taint) for taint in taints],
            },
        )
        return machine, status == _HTTP_CREATED

    async def find_machine(self, name: str) -> dict[str, Any] | None:
        """Return the machine, or None when the agent says that there is none."""
        try:
            return (await self._call("GET", f"/v1/nodes/{name}"))[1]
        except AgentError as error:
            if error.code == "NotFound":
                return None
            raise

    async def delete_machine(self, name: str) -> None:
        """Ask for the machine's end; one that is gone already is no error."""
        try:
            await self._call("DELETE", f"/v1/nodes/{name}")
        except AgentError as error:
            if error.code != "NotFound":
                raise

    async def list_machines(self, tags: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the machines that carry all of `tags`."""
        query = [("tag", f"{key}={value}") for key, value in sorted(tags.items())]
        found: list[dict[str, Any]] = (await self._call("GET", "/v1/nodes", query=query))[1][
            "nodes"
        ]
        return found

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Any = None,
    ) -> tuple[int, dict[str, Any]]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)
            )
        try:
            async with self._session.request(
                method, self._endpoint + path, params=query, json=body
            ) as response:
                payload = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AgentError(
                "Unavailable", f"the node agent {self._endpoint} does not answer: {error!r}"
            ) from error
        return response.status, _decode(response.status, payload)


_HTTP_CREATED: Final = 201


def _decode(status: int, payload: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(payload)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise AgentError("BadAnswer", payload.decode(errors="replace")[:200])
    if status >= _HTTP_BAD_REQUEST:
        error = answer.get("error") or {}
        code = "NotFound" if status == _HTTP_NOT_FOUND else error.get("code", "BadAnswer")
        raise AgentError(code, error.get("message", ""))
    return answer
