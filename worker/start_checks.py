"""What must be true before a worker takes work; each failure names the thing and the remedy."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, TypeVar

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.clients.kubernetes import (
    NAMESPACES,
    NODE_CLAIMS,
    WORKSPACES,
    ApiError,
    Kind,
    KubernetesClient,
)
from api import names
from api.errors import ClusterUnavailable

_logger = logging.getLogger(__name__)

SEARCH_ATTRIBUTES: Final[Mapping[str, IndexedValueType.ValueType]] = {
    **dict.fromkeys(names.KEYWORD_SEARCH_ATTRIBUTES, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD),
    **dict.fromkeys(names.INT_SEARCH_ATTRIBUTES, IndexedValueType.INDEXED_VALUE_TYPE_INT),
}

TYPE_NAMES: Final[Mapping[IndexedValueType.ValueType, str]] = {
    IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD: "Keyword",
    IndexedValueType.INDEXED_VALUE_TYPE_INT: "Int",
}

RPC_TIMEOUT: Final = timedelta(seconds=10)

REGISTRATION_SECONDS: Final = 15.0
"""15 s until a new search attribute is known everywhere; a server with a SQL store needs about 1 s,
and its caches are refreshed within 10 s."""

NO_SUCH_LABEL: Final = {"kaito.sh/start-check": "none"}
"""Matches nothing: the answer shows that the kind exists and that we may list it."""

PATIENCE_SECONDS: Final = 10.0
"""10 s for an API server that answers 429 or 503 because it has just started; it needs 1 or 2."""

_HTTP_NOT_FOUND: Final = 404
_HTTP_UNAUTHORIZED: Final = 401
_HTTP_FORBIDDEN: Final = 403
_HTTP_TOO_MANY: Final = 429
_HTTP_SERVER_ERROR: Final = 500


class StartRefused(Exception):
    """The process can't do its work here; the message says why and what to do."""


KINDS: Final = (WORKSPACES, NODE_CLAIMS)
"""What a worker that takes work lists and watches."""


async def check_cluster(cluster: KubernetesClient, kinds: Sequence[Kind] = KINDS) -> str:
    """Return the API server's version after seeing that our kinds are there.

    Args:
        cluster: The API server.
        kinds: Kinds that this process lists.

    Raises:
        StartRefused: it can't be reached, or lacks the CRDs, or refuses us.
    """
    try:
        version = await _patiently(cluster.version)
    except ClusterUnavailable as error:
        raise StartRefused(
            f"the Kubernetes API server at {cluster.host} does not answer: {error.__cause__!r}; "
            "check KUBECONFIG and that the cluster is up"
        ) from error
    except ApiError as error:
        raise StartRefused(
            f"the Kubernetes API server at {cluster.host} refuses us: {error.message}; check the "
            "credentials in KUBECONFIG"
        ) from error
    for kind in kinds:
        await _check_kind(cluster, kind)
    return version


async def _check_kind(cluster: KubernetesClient, kind: Kind) -> None:
    try:
        await _patiently(lambda: cluster.list(kind, labels=NO_SUCH_LABEL))
    except ApiError as error:
        if error.status == _HTTP_NOT_FOUND:
            raise StartRefused(
                f"the cluster at {cluster.host} has no {kind.plural}.{kind.group} "
                f"{kind.version}; install the CRDs: "
                "kubectl apply --server-side -f charts/kaito-temporal-crds/templates/"
            ) from error
        if error.status in {_HTTP_UNAUTHORIZED, _HTTP_FORBIDDEN}:
            raise StartRefused(
                f"this account may not list {kind.plural}.{kind.group}: {error.message}; give it "
                "the chart's ClusterRole"
            ) from error
        raise StartRefused(f"the cluster can't list {kind.plural}.{kind.group}: {error}") from error
    except ClusterUnavailable as error:
        raise StartRefused(
            f"the Kubernetes API server at {cluster.host} stopped answering: {error}"
        ) from error


_T = TypeVar("_T")


async def _patiently(call: Callable[[], Awaitable[_T]]) -> _T:
    """Repeat a call that the API server, just started itself, answers with "not yet"."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await call()
        except ApiError as error:
            is_passing = error.status == _HTTP_TOO_MANY or error.status >= _HTTP_SERVER_ERROR
            if not is_passing or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


async def ensure_namespace(
    cluster: KubernetesClient, namespace: str, purpose: str, variable: str
) -> None:
    """See to it that a namespace of the platform exists.

    Args:
        cluster: The API server.
        namespace: Its name.
        purpose: What goes there, for messages: "the watchers' lease".
        variable: Names the setting that chose it.

    Raises:
        StartRefused: it is missing and we may not create it.
    """
    try:
        if await _patiently(lambda: cluster.find(NAMESPACES, namespace)) is None:
            await cluster.create(NAMESPACES, {"metadata": {"name": namespace}})
            _logger.info("created namespace %s for %s", namespace, purpose)
    except ApiError as error:
        if error.reason == "AlreadyExists":
            return
        if error.status == _HTTP_FORBIDDEN:
            # An account of a chart may use objects in its namespace and see nothing else of it.
            _logger.info("can't see namespace %s: %s", namespace, error.message)
            return
        raise StartRefused(
            f"namespace {namespace} for {purpose} can't be made: {error.message}; run "
            f"kubectl create namespace {namespace}, or set {variable}"
        ) from error
    except ClusterUnavailable as error:
        raise StartRefused(
            f"the Kubernetes API server at {cluster.host} stopped answering: {error}"
        ) from error


async def ensure_search_attributes(client: Client) -> None:
    """Register the search attributes that workflows write, where they are missing.

    Raises:
        StartRefused: they are missing and can't be registered, or have another type. A workflow
            that wrote an unknown attribute would be stuck, so no worker starts without them.
    """
    try:
        present = await _list_search_attributes(client)
    except RPCError as error:
        if error.status in {RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.PERMISSION_DENIED}:
            # Temporal Cloud shows them in its own console only.
            _logger.warning(
                "can't see which search attributes exist (%s); make sure that this was run: %s",
                error.message,
                registration_command(client.namespace, SEARCH_ATTRIBUTES),
            )
            return
        raise StartRefused(f"Temporal can't list search attributes: {error.message}") from error
    for name, wanted in SEARCH_ATTRIBUTES.items():
        if name in present and present[name] != wanted:
            raise StartRefused(
                f"Temporal's namespace {client.namespace} has a search attribute {name} of another "
                f"type than {TYPE_NAMES[wanted]}; remove it: temporal operator search-attribute "
                f"remove --namespace {client.namespace} --name {name}"
            )
    missing = {name: kind for name, kind in SEARCH_ATTRIBUTES.items() if name not in present}
    if missing:
        await _register(client, missing)


async def _register(client: Client, missing: Mapping[str, IndexedValueType.ValueType]) -> None:
    command = registration_command(client.namespace, missing)
    try:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing),
            timeout=RPC_TIMEOUT,
        )
    except RPCError as error:
        # Two workers that start together both see them missing; the slower one is told so.
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise StartRefused(
                f"Temporal's namespace {client.namespace} lacks the search attributes "
                f"{', '.join(missing)}, and they can't be registered ({error.message}); run: "
                f"{command}"
            ) from error
    try:
        async with asyncio.timeout(REGISTRATION_SECONDS):
            while True:
                if missing.keys() <= (await _list_search_attributes(client)).keys():
                    break
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        raise StartRefused(
            f"Temporal accepted the search attributes {', '.join(missing)} and does not show them "
            f"after {REGISTRATION_SECONDS:.0f} s; start again, or run: {command}"
        ) from error
    _logger.info("registered search attributes %s", ", ".join(missing))


async def _list_search_attributes(client: Client) -> dict[str, IndexedValueType.ValueType]:
    answer = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace), timeout=RPC_TIMEOUT
    )
    return dict(answer.custom_attributes)


def registration_command(
    namespace: str, attributes: Mapping[str, IndexedValueType.ValueType]
) -> str:
    """Return the shell command that registers the attributes by hand."""
    pairs = " ".join(
        f"--name {name} --type {TYPE_NAMES[kind]}" for name, kind in attributes.items()
    )
    return f"temporal operator search-attribute create --namespace {namespace} {pairs}"
