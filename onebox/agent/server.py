"""The agent's HTTP server."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from onebox import places
from onebox.agent.fleet import Fleet
from onebox.agent.machine import Refused
from onebox.agent.store import Store
from onebox.kube import KubeClient

HOST: Final = "127.0.0.1"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(fleet: Fleet) -> web.Application:
    """Build the routes over a fleet."""
    app = web.Application(middlewares=[_refusals])

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def list_machines(request: web.Request) -> web.Response:
        tags = dict(pair.split("=", 1) for pair in request.query.getall("tag", []) if "=" in pair)
        found = [machine.to_answer() for machine in fleet.matching(tags)]
        return web.json_response({"nodes": found})

    async def get_machine(request: web.Request) -> web.Response:
        machine = fleet.find(request.match_info["name"])
        if machine is None:
            raise Refused(404, "NotFound", f"there is no machine {request.match_info['name']!r}")
        return web.json_response(machine.to_answer())

    async def put_machine(request: web.Request) -> web.Response:
        try:
            body = await request.json()
        except json.JSONDecodeError as error:
            raise Refused(400, "BadRequest", f"the body is no JSON: {error}") from error
        if not isinstance(body, dict):
            raise Refused(400, "BadRequest", "the body must be a JSON object")
        machine, is_new = fleet.create(request.match_info["name"], body)
        return web.json_response(machine.to_answer(), status=201 if is_new else 200)

    async def delete_machine(request: web.Request) -> web.Response:
        machine = fleet.delete(request.match_info["name"])
        return web.json_response(machine.to_answer(), status=202)

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/v1/nodes", list_machines)
    app.router.add_get("/v1/nodes/{name}", get_machine)
    app.router.add_put("/v1/nodes/{name}", put_machine)
    app.router.add_delete("/v1/nodes/{name}", delete_machine)
    return app


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        body = {"error": {"code": refused.code, "message": str(refused)}}
        return web.json_response(body, status=refused.status)


def serve(node_limit: int, port: int = places.PORT_AGENT) -> None:
    """Serve until SIGTERM; machines run on after that."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    fleet = Fleet(Store(), KubeClient(places.kubeconfig()), node_limit)
    app = application(fleet)

    async def start(_app: web.Application) -> None:
        fleet.start()

    async def stop(_app: web.Application) -> None:
        await fleet.stop()

    app.on_startup.append(start)
    app.on_cleanup.append(stop)
    web.run_app(app, host=HOST, port=port, access_log=None, print=None)
