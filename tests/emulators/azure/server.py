"""The HTTP face of the emulated cloud: paths, headers and status codes of Azure Resource Manager.

Paths are matched without regard to case, as ARM matches them. Every request needs a bearer token
and an `api-version`; neither is looked at closer.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from tests.emulators.azure import bodies, errors
from tests.emulators.azure.errors import Refused
from tests.emulators.azure.faults import (
    Call,
    Effect,
    LoseAnswer,
    LoseRequest,
    Refuse,
    Stall,
)
from tests.emulators.azure.ledger import CallRecord
from tests.emulators.azure.state import Cloud, Cluster, Knobs, Pool
from tests.emulators.azure.throttle import AksThrottle
from tests.harness.loopback import LoopbackServer

_ROOT: Final = r"/subscriptions/(?P<subscription>[^/]+)"
_GROUP: Final = _ROOT + r"/resourceGroups/(?P<group>[^/]+)"
_AKS: Final = _GROUP + r"/providers/Microsoft\.ContainerService/managedClusters/(?P<cluster>[^/]+)"
_ARC: Final = (
    _GROUP + r"/providers/Microsoft\.Kubernetes/connectedClusters/(?P<cluster>[^/]+)/providers/"
    r"Microsoft\.HybridContainerService/provisionedClusterInstances/default"
)
_LOCATION: Final = _ROOT + r"/providers/(?P<provider>[^/]+)/locations/(?P<location>[^/]+)"


def _route(method: str, pattern: str, call: Call, kind: str) -> _Route:
    return _Route(method, re.compile(f"{pattern}/?", re.IGNORECASE), call, kind)


@dataclass(frozen=True)
class _Route:
    method: str
    pattern: re.Pattern[str]
    call: Call
    kind: str


_ROUTES: Final = (
    _route("GET", _AKS, Call.GET_CLUSTER, "aks"),
    *(
        _route(method, pattern, call, kind)
        for kind, base in (("aks", _AKS), ("arc", _ARC))
        for method, pattern, call in (
            ("GET", base + r"/agentPools", Call.LIST_POOLS),
            ("GET", base + r"/agentPools/(?P<pool>[^/]+)", Call.GET_POOL),
            ("PUT", base + r"/agentPools/(?P<pool>[^/]+)", Call.PUT_POOL),
            ("DELETE", base + r"/agentPools/(?P<pool>[^/]+)", Call.DELETE_POOL),
        )
    ),
    _route("POST", _AKS + r"/agentPools/(?P<pool>[^/]+)/abort", Call.ABORT_POOL, "aks"),
    _route("GET", _LOCATION + r"/operations/(?P<operation>[^/]+)", Call.GET_OPERATION, "status"),
    _route(
        "GET",
        _LOCATION + r"/operationresults/(?P<operation>[^/]+)",
        Call.GET_OPERATION,
        "result",
    ),
    _route("GET", _LOCATION + r"/usages", Call.LIST_USAGES, "compute"),
    _route("GET", _ROOT + r"/providers/Microsoft\.Compute/skus", Call.LIST_SKUS, "compute"),
)


@dataclass(frozen=True)
class _Asked:
    request: web.Request
    record: CallRecord
    route: _Route | None
    names: Mapping[str, str]
    body: Mapping[str, Any]


class AzureEmulator(LoopbackServer):
    """Serves one emulated Azure on loopback.

    Example:
        async with AzureEmulator() as azure:
            azure.cloud.faults.add(Refuse(errors.family_quota()), vm_size="Standard_NC6s_v3")
            ...                      # the real SDK, with `azure.base_url`
            assert azure.ledger.alive() == []
    """

    def __init__(
        self,
        knobs: Knobs | None = None,
        *,
        throttle: AksThrottle | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        # A request whose client hung up must end here, too: the books say who gave up when.
        super().__init__(host=host, port=port, cancels_requests=True)
        self.cloud = Cloud(knobs)
        self.ledger = self.cloud.ledger
        self.faults = self.cloud.faults
        self.knobs = self.cloud.knobs
        self.throttle = throttle

    def application(self) -> web.Application:
        app = web.Application(client_max_size=2**22)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        return app

    async def before_stop(self) -> None:
        await self.cloud.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        route, names = _match(request.method, request.path)
        record = CallRecord(
            at_seconds=self.cloud.now(),
            method=request.method,
            path=request.path,
            call=Call.UNKNOWN if route is None else route.call,
            pool=names.get("pool", ""),
            client_request_id=request.headers.get("x-ms-client-request-id", ""),
            api_version=request.query.get("api-version", ""),
            is_authenticated=request.headers.get("Authorization", "").startswith("Bearer "),
        )
        self.ledger.calls.append(record)
        try:
            response = await self._answer(
                _Asked(request, record, route, names, await _json(request))
            )
        except asyncio.CancelledError:
            record.is_given_up = True
            raise
        finally:
            record.seconds = self.cloud.now() - record.at_seconds
        record.status = response.status
        return response

    async def _answer(self, asked: _Asked) -> web.StreamResponse:
        request = asked.request
        effect = self.faults.take(
            asked.record.call,
            pool=asked.record.pool,
            vm_size=self._vm_size(asked),
            is_about_request=True,
        )
        await asyncio.sleep(self.knobs.request_seconds)
        if isinstance(effect, Stall):
            await asyncio.sleep(effect.seconds)
        if isinstance(effect, LoseRequest):
            return _hang_up(request)
        try:
            response = self._respond(asked, effect)
        except Refused as refused:
            response = _refusal(refused.error)
        response.headers["x-ms-request-id"] = str(uuid.uuid4())
        response.headers["x-ms-correlation-request-id"] = str(uuid.uuid4())
        return _hang_up(request) if isinstance(effect, LoseAnswer) else response

    def _vm_size(self, asked: _Asked) -> str:
        sent = (asked.body.get("properties") or {}).get("vmSize")
        if sent or asked.route is None or "pool" not in asked.names:
            return str(sent or "")
        cluster = self.cloud.clusters.get((asked.route.kind, asked.names["cluster"].lower()))
        pool = cluster.pools.get(asked.names["pool"]) if cluster is not None else None
        return "" if pool is None else pool.vm_size

    def _respond(self, asked: _Asked, effect: Effect | None) -> web.Response:
        route, record, names = asked.route, asked.record, asked.names
        if not record.is_authenticated:
            raise Refused(errors.authentication_missing())
        if route is None:
            raise Refused(errors.no_route(record.method, record.path))
        if not record.api_version:
            raise Refused(errors.api_version_missing())
        if self.throttle is not None:
            wait_seconds = self.throttle.take(record.call, record.pool, self.cloud.now())
            if wait_seconds is not None:
                raise Refused(errors.aks_throttled(wait_seconds))
        if isinstance(effect, Refuse):
            raise Refused(effect.error)
        match route.call:
            case Call.GET_OPERATION:
                return self._operation(names, is_result=route.kind == "result")
            case Call.LIST_USAGES:
                return web.json_response({"value": bodies.usages_body(self.cloud)})
            case Call.LIST_SKUS:
                wanted = asked.request.query.get("$filter", "")
                return web.json_response({"value": self._skus(wanted)})
        cluster = self.cloud.cluster(
            route.kind, names["subscription"], names["group"], names["cluster"]
        )
        return self._respond_for_cluster(asked, route.call, cluster)

    def _respond_for_cluster(self, asked: _Asked, call: Call, cluster: Cluster) -> web.Response:
        cloud, headers = self.cloud, asked.request.headers
        client_request_id = asked.record.client_request_id
        name = asked.record.pool
        match call:
            case Call.GET_CLUSTER:
                return web.json_response(bodies.cluster_body(cluster))
            case Call.LIST_POOLS:
                return self._list(asked.request, cluster)
            case Call.GET_POOL:
                return web.json_response(bodies.pool_body(cloud.find_pool(cluster, name)))
            case Call.PUT_POOL:
                status, pool = cloud.put_pool(
                    cluster,
                    name,
                    asked.body,
                    client_request_id=client_request_id,
                    if_match=headers.get("If-Match", ""),
                    if_none_match=headers.get("If-None-Match", ""),
                )
                return self._accepted(status, pool, body=bodies.pool_body(pool))
            case Call.DELETE_POOL:
                gone = cloud.delete_pool(
                    cluster,
                    name,
                    client_request_id=client_request_id,
                    if_match=headers.get("If-Match", ""),
                )
                return web.Response(status=204) if gone is None else self._accepted(202, gone)
            case Call.ABORT_POOL:
                return self._accepted(202, cloud.abort_pool(cluster, name))
        raise AssertionError(call)

    def _accepted(
        self, status: int, pool: Pool, *, body: Mapping[str, Any] | None = None
    ) -> web.Response:
        cluster = pool.cluster
        provider = (
            "Microsoft.ContainerService"
            if cluster.kind == "aks"
            else "Microsoft.HybridContainerService"
        )
        response = (
            web.Response(status=status) if body is None else web.json_response(body, status=status)
        )
        if pool.operation is not None:
            base = (
                f"{self.base_url}/subscriptions/{cluster.subscription}/providers/{provider}"
                f"/locations/{cluster.location}"
            )
            query = f"{pool.operation.id}?api-version=2017-08-31"
            response.headers["Azure-AsyncOperation"] = f"{base}/operations/{query}"
            if body is None:
                response.headers["Location"] = f"{base}/operationresults/{query}"
            response.headers["Retry-After"] = str(self.knobs.retry_after_seconds)
        return response

    def _operation(self, names: Mapping[str, str], *, is_result: bool) -> web.Response:
        operation = self.cloud.operations.get(names["operation"])
        if operation is None:
            raise Refused(
                errors.ArmError(404, "NotFound", "The entity was not found.", is_flat=True)
            )
        is_running = operation.status == "InProgress"
        headers = {"Retry-After": str(self.knobs.retry_after_seconds)} if is_running else {}
        if is_result:
            return web.Response(status=202 if is_running else 204, headers=headers)
        return web.json_response(bodies.operation_body(operation), headers=headers)

    def _list(self, request: web.Request, cluster: Cluster) -> web.Response:
        names = sorted(cluster.pools)
        start = int(request.query.get("$skipToken", "0"))
        end = start + self.knobs.page_size
        answer: dict[str, Any] = {
            "value": [bodies.pool_body(cluster.pools[name]) for name in names[start:end]]
        }
        if end < len(names):
            version = request.query["api-version"]
            answer["nextLink"] = (
                f"{self.base_url}{request.path}?api-version={version}&%24skipToken={end}"
            )
        return web.json_response(answer)

    def _skus(self, odata_filter: str) -> list[dict[str, Any]]:
        wanted = re.search(r"location eq '([^']+)'", odata_filter)
        location = errors.REGION
        if wanted is not None and wanted.group(1).lower() != location:
            return []
        return [sku.body(location) for sku in self.cloud.skus.values()]


def _match(method: str, path: str) -> tuple[_Route | None, dict[str, str]]:
    for route in _ROUTES:
        found = route.pattern.fullmatch(path) if route.method == method else None
        if found is not None:
            return route, {name: value for name, value in found.groupdict().items() if value}
    return None, {}


async def _json(request: web.Request) -> dict[str, Any]:
    text = await request.text()
    if not text:
        return {}
    try:
        body = json.loads(text)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)


def _refusal(error: errors.ArmError) -> web.Response:
    if error.raw:
        return web.Response(
            status=error.status, text=error.raw, content_type="text/html", headers=error.headers
        )
    # A test may refuse at once with what usually ends an operation.
    status = error.status if error.status >= 400 else 409
    return web.json_response(error.body(), status=status, headers=error.headers)
