"""The API server, in plain dictionaries: get, list, watch, create, patch, delete.

Built on the official client for configuration, authentication and TLS. Objects stay dictionaries,
because most of what we read and write are custom resources, and a watch of thousands of objects
has no use for typed copies.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypedDict, Unpack
from urllib.parse import urlencode
from urllib.request import getproxies_environment

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.config.config_exception import ConfigException

from activities.clients.kinds import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    CRDS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODE_CLAIMS,
    NODES,
    PODS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    WORKSPACES,
    Kind,
)
from api import names
from api.errors import ClusterUnavailable

__all__ = [
    "CONFIG_MAPS",
    "CONTROLLER_REVISIONS",
    "CRDS",
    "EVENTS",
    "LEASES",
    "NAMESPACES",
    "NODES",
    "NODE_CLAIMS",
    "PODS",
    "SECRETS",
    "SERVICES",
    "STATEFUL_SETS",
    "WORKSPACES",
    "ApiError",
    "Kind",
    "KubernetesClient",
    "UnusableConfiguration",
]

REQUEST_TIMEOUT_SECONDS: Final = 10.0
"""10 s: an API server that needs longer for one request is overloaded; the activity retries."""

CONNECT_TIMEOUT_SECONDS: Final = 5.0
"""5 s to connect: long enough for a slow TLS handshake, short enough to notice a dead server."""

WATCH_SILENCE_SECONDS: Final = 10.0
"""10 s past the end that the server promised, a watch that said nothing is dead."""

MAX_CONNECTIONS: Final = 200
"""Sockets to the API server; beyond it requests queue in the client (a guess)."""

PAGE_SIZE: Final = 500
"""Objects per page of a list, as client-go's informers ask for."""

MAX_LOG_BYTES: Final = 65536
"""64 KiB: the last lines of a log are a few; a line without an end must not fill the memory."""

_JSON: Final = "application/json"
_ANY: Final = "*/*"
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_HTTP_OK: Final = 200
_HTTP_MULTIPLE_CHOICES: Final = 300
_HTTP_NOT_FOUND: Final = 404
HTTP_CONFLICT: Final = 409

Observer = Callable[[str, str], None]
"""Told (verb, plural) of each request, for metrics."""


class ApiError(Exception):
    """The API server refused a request; `status` is the HTTP code, `reason` Kubernetes' word."""

    def __init__(self, status: int, reason: str, message: str, *, details: str = "") -> None:
        """Keep the server's answer; `details` says which request it answers."""
        super().__init__(f"{details}: {status} {reason}: {message}" if details else message)
        self.status = status
        self.reason = reason
        self.message = message


class UnusableConfiguration(Exception):
    """No kubeconfig and no in-cluster account, or one that can't be read."""


class _Options(TypedDict, total=False):
    """Of one request; what is left out is as `_send` has it."""

    query: Mapping[str, str] | None
    body: Any
    content_type: str
    accept: str


class KubernetesClient:
    """One connection pool to one API server."""

    def __init__(self, configuration: client.Configuration) -> None:
        """Take a loaded configuration; use `connect` unless a test needs another."""
        configuration.connection_pool_maxsize = MAX_CONNECTIONS
        # With trust_env, aiohttp looks for proxies and for a ~/.netrc at each request, in two
        # threads: 9 % of a busy worker's samples in a profile. Only a proxy is worth that.
        # (The proxy variables are the HTTP library's convention, not settings of ours.)
        configuration.client_session_kwargs = {"trust_env": bool(getproxies_environment())}
        self._configuration = configuration
        self._api = client.ApiClient(configuration)
        self._observers: list[Observer] = []

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, kubeconfig: str | None = None, context: str | None = None
    ) -> AsyncIterator[KubernetesClient]:
        """Connect by `kubeconfig` (or the default file), else by the pod's own account.

        Raises:
            UnusableConfiguration: neither exists or the file can't be read.
        """
        configuration = client.Configuration()
        try:
            if kubeconfig is not None or not _in_cluster():
                await config.load_kube_config(
                    config_file=kubeconfig, context=context, client_configuration=configuration
                )
            else:
                config.load_incluster_config(client_configuration=configuration)
        except (ConfigException, OSError, ValueError) as error:
            raise UnusableConfiguration(
                f"no usable Kubernetes configuration: {error}; set KUBECONFIG to a kubeconfig file"
            ) from error
        instance = cls(configuration)
        try:
            yield instance
        finally:
            await instance.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._api.close()

    @property
    def host(self) -> str:
        """Return the address of the API server."""
        return str(self._configuration.host)

    def observe_requests(self, observer: Observer) -> None:
        """Call `observer(verb, plural)` for each request from now on."""
        self._observers.append(observer)

    # --- reads ------------------------------------------------------------------------------

    async def version(self) -> str:
        """Return the API server's version, such as "v1.34.4"."""
        return str((await self._request("GET", "/version", "get", "version"))["gitVersion"])

    async def get(self, kind: Kind, name: str, namespace: str = "") -> dict[str, Any]:
        """Return one object, read past every cache."""
        return await self._request("GET", kind.path(namespace, name), "get", kind.plural)

    async def find(self, kind: Kind, name: str, namespace: str = "") -> dict[str, Any] | None:
        """Return one object, or None when there is none."""
        return await _unless_missing(self.get(kind, name, namespace))

    async def find_metadata(
        self, kind: Kind, name: str, namespace: str = ""
    ) -> dict[str, Any] | None:
        """Return only the metadata of an object, or None when there is none.

        The server sends nothing else, so this may ask for a Secret without learning what it holds.
        """
        return await _unless_missing(
            self._request(
                "GET", kind.path(namespace, name), "get", kind.plural, accept=_METADATA_ONLY
            )
        )

    async def list_page(
        self,
        kind: Kind,
        namespace: str = "",
        labels: Mapping[str, str] | None = None,
        *,
        metadata_only: bool = False,
    ) -> tuple[list[dict[str, Any]], str]:
        """Return all objects and the resource version from which a watch goes on.

        Raises:
            ApiError: also when the kind is unknown to the server (404).
        """
        items: list[dict[str, Any]] = []
        token = ""
        while True:
            query = {"limit": str(PAGE_SIZE), **_selector(labels)}
            if token:
                query["continue"] = token
            page = await self._request(
                "GET",
                kind.path(namespace),
                "list",
                kind.plural,
                query=query,
                accept=_METADATA_LIST if metadata_only else _JSON,
            )
            for item in page.get("items") or []:
                # Items of a list lack the two fields that objects of a watch carry, and those of
                # metadata carry another kind's.
                item.update(apiVersion=kind.api_version, kind=kind.kind)
                items.append(item)
            token = page["metadata"].get("continue", "")
            if not token:
                return items, page["metadata"]["resourceVersion"]

    async def list(
        self, kind: Kind, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Return all objects of a namespace (of all when empty) that carry `labels`."""
        return (await self.list_page(kind, namespace, labels))[0]

    async def watch(
        self,
        kind: Kind,
        resource_version: str,
        namespace: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        metadata_only: bool = False,
        timeout_seconds: int,
    ) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        """Yield (type, object) from `resource_version` on, bookmarks included.

        Ends when the server ends the watch after `timeout_seconds`. Raises ApiError for an ERROR
        event (status 410: list again) and ClusterUnavailable for a lost or silent connection.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout_seconds),
            **_selector(labels),
        }
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=CONNECT_TIMEOUT_SECONDS,
            sock_read=timeout_seconds + WATCH_SILENCE_SECONDS,
        )
        response = await self._send(
            "GET",
            kind.path(namespace),
            "watch",
            kind.plural,
            query=query,
            timeout=timeout,
            accept=_METADATA_ONLY if metadata_only else _JSON,
        )
        try:
            if response.status >= _HTTP_MULTIPLE_CHOICES:
                raise _api_error(response.status, await response.read(), f"watch {kind.plural}")
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise ApiError(
                        status.get("code", 0), status.get("reason", ""), status.get("message", "")
                    )
                yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # ValueError: something on the way gave up in the middle of a line.
            raise ClusterUnavailable(f"the watch of {kind.plural} broke: {error!r}") from error
        finally:
            response.close()

    async def read_log(
        self, pod: str, namespace: str, *, container: str, previous: bool, tail_lines: int
    ) -> str:
        """Return the last lines that a container wrote.

        Args:
            pod: Its pod.
            namespace: Of the pod.
            container: Its name.
            previous: Read the instance before the one that runs now.
            tail_lines: How many lines; more than MAX_LOG_BYTES are cut.

        Raises:
            ApiError: also when there is no such instance (400), or its node does not answer (5xx).
        """
        query = {
            "container": container,
            "previous": "true" if previous else "false",
            "tailLines": str(tail_lines),
            "limitBytes": str(MAX_LOG_BYTES),
        }
        path = PODS.path(namespace, pod, "log")
        payload = await self._read("GET", path, "get", "pods/log", query=query, accept=_ANY)
        return payload.decode(errors="replace")

    # --- writes -----------------------------------------------------------------------------

    async def create(
        self, kind: Kind, body: Mapping[str, Any], namespace: str = ""
    ) -> dict[str, Any]:
        """Create an object; a 409 means that one of this name exists."""
        return await self._request(
            "POST",
            kind.path(namespace),
            "create",
            kind.plural,
            query={"fieldManager": names.FIELD_MANAGER},
            body=body,
        )

    async def replace(
        self, kind: Kind, body: Mapping[str, Any], namespace: str = "", subresource: str = ""
    ) -> dict[str, Any]:
        """Replace an object whole; a 409 means that its resourceVersion is old."""
        return await self._request(
            "PUT",
            kind.path(namespace, body["metadata"]["name"], subresource),
            "update",
            kind.plural,
            query={"fieldManager": names.FIELD_MANAGER},
            body=body,
        )

    async def merge_patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        namespace: str = "",
        subresource: str = "",
    ) -> dict[str, Any]:
        """Merge `body` into an object; a `metadata.resourceVersion` in it guards the write."""
        return await self._request(
            "PATCH",
            kind.path(namespace, name, subresource),
            "patch",
            kind.plural,
            query={"fieldManager": names.FIELD_MANAGER},
            body=body,
            content_type="application/merge-patch+json",
        )

    async def apply(
        self, kind: Kind, body: Mapping[str, Any], namespace: str = "", subresource: str = ""
    ) -> dict[str, Any]:
        """Server-side apply as the platform's field manager, taking fields over from others."""
        return await self._request(
            "PATCH",
            kind.path(namespace, body["metadata"]["name"], subresource),
            "apply",
            kind.plural,
            query={"fieldManager": names.FIELD_MANAGER, "force": "true"},
            body=body,
            content_type="application/apply-patch+yaml",
        )

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        propagation: str = "Background",
        uid: str = "",
        grace_seconds: int | None = None,
    ) -> bool:
        """Ask for an object's deletion; False when it is gone, or (with `uid`) another one."""
        options: dict[str, Any] = {"propagationPolicy": propagation}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            await self._request(
                "DELETE", kind.path(namespace, name), "delete", kind.plural, body=options
            )
        except ApiError as error:
            is_another = error.status == HTTP_CONFLICT and bool(uid)
            if error.status == _HTTP_NOT_FOUND or is_another:
                return False
            raise
        return True

    # --- transport --------------------------------------------------------------------------

    async def _request(
        self,
        method: str,
        path: str,
        verb: str,
        plural: str,
        **options: Unpack[_Options],
    ) -> dict[str, Any]:
        payload = await self._read(method, path, verb, plural, **options)
        try:
            decoded: dict[str, Any] = json.loads(payload)
        except ValueError as error:
            raise ClusterUnavailable(f"{verb} {path}: the answer is no JSON: {error}") from error
        return decoded

    async def _read(
        self,
        method: str,
        path: str,
        verb: str,
        plural: str,
        **options: Unpack[_Options],
    ) -> bytes:
        timeout = aiohttp.ClientTimeout(
            total=REQUEST_TIMEOUT_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS
        )
        response = await self._send(method, path, verb, plural, timeout=timeout, **options)
        try:
            payload = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ClusterUnavailable(f"{verb} {path}: {error!r}") from error
        finally:
            response.release()
        if not _HTTP_OK <= response.status < _HTTP_MULTIPLE_CHOICES:
            raise _api_error(response.status, payload, f"{verb} {path}")
        return payload

    async def _send(
        self,
        method: str,
        path: str,
        verb: str,
        plural: str,
        *,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own type, passed through
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> aiohttp.ClientResponse:
        for observer in self._observers:
            observer(verb, plural)
        headers = {"Accept": accept, "Content-Type": content_type}
        for setting in (await self._configuration.auth_settings()).values():
            headers[setting["key"]] = setting["value"]
        url = f"{self._configuration.host}{path}"
        if query:
            url = f"{url}?{urlencode(query)}"
        try:
            answer = await self._api.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=timeout
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ClusterUnavailable(
                f"the API server {self._configuration.host} does not answer ({verb} {plural}): "
                f"{error!r}"
            ) from error
        response: aiohttp.ClientResponse = answer.response
        return response


async def _unless_missing(request: Awaitable[dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return await request
    except ApiError as error:
        if error.status == _HTTP_NOT_FOUND:
            return None
        raise


def _in_cluster() -> bool:
    try:
        config.load_incluster_config(client_configuration=client.Configuration())
    except ConfigException:
        return False
    return True


def _selector(labels: Mapping[str, str] | None) -> dict[str, str]:
    if not labels:
        return {}
    return {"labelSelector": ",".join(f"{key}={value}" for key, value in sorted(labels.items()))}


def _api_error(status: int, payload: bytes, details: str) -> ApiError:
    try:
        answer = json.loads(payload)
    except ValueError:
        answer = {}
    if not isinstance(answer, dict):
        answer = {}
    text = answer.get("message") or payload.decode(errors="replace")[:500]
    return ApiError(status, answer.get("reason") or "", text, details=details)
