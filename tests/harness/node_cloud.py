"""Stands in for onebox's node agent: same HTTP contract, but each machine is a kwok node.

It keeps a ledger of everything that was ever asked for, so that a test can prove that no retry
bought a second machine and no delete left one behind.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tests.harness.cluster import Cluster
from tests.harness.loopback import LoopbackServer

GPU_COUNTS = {"onebox.small": 1, "onebox.large": 2}


@dataclass
class Machine:
    """One machine as the agent's contract describes it."""

    name: str
    instance_type: str
    tags: dict[str, str]
    labels: dict[str, str]
    taints: list[dict[str, str]]
    state: str = "creating"
    created_at: str = field(default_factory=lambda: datetime.now(tz=UTC).isoformat())

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "instanceType": self.instance_type,
            "state": self.state,
            "message": "",
            "tags": self.tags,
            "providerID": f"onebox:///{self.name}",
            "createdAt": self.created_at,
        }


class NodeCloud(LoopbackServer):
    """A cloud of kwok nodes with a limit, a delay and a ledger."""

    def __init__(
        self, cluster: Cluster, *, node_limit: int = 100, boot_seconds: float = 0.5
    ) -> None:
        super().__init__()
        self.cluster = cluster
        self.node_limit = node_limit
        self.boot_seconds = boot_seconds
        self.machines: dict[str, Machine] = {}
        self.ledger: list[str] = []
        """`create <name>` and `delete <name>`, in order; a repeated request adds nothing."""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def endpoint(self) -> str:
        """Return the base URL, by the name that the platform's settings have for it."""
        return self.base_url

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/v1/nodes", self._list)
        app.router.add_get("/v1/nodes/{name}", self._get)
        app.router.add_put("/v1/nodes/{name}", self._put)
        app.router.add_delete("/v1/nodes/{name}", self._delete)
        return app

    async def before_stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _list(self, request: web.Request) -> web.Response:
        wanted = [pair.split("=", 1) for pair in request.query.getall("tag", [])]
        found = [
            machine.to_json()
            for machine in self.machines.values()
            if all(machine.tags.get(key) == value for key, value in wanted)
        ]
        return web.json_response({"nodes": found})

    async def _get(self, request: web.Request) -> web.Response:
        machine = self.machines.get(request.match_info["name"])
        return web.json_response(machine.to_json()) if machine else _error(404, "NotFound")

    async def _put(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name in self.machines:
            return web.json_response(self.machines[name].to_json())
        body = await request.json()
        if body["instanceType"] not in GPU_COUNTS:
            return _error(400, "SkuNotAvailable")
        if len(self.machines) >= self.node_limit:
            return _error(409, "InsufficientCapacity", f"all {self.node_limit} machines are taken")
        machine = Machine(
            name=name,
            instance_type=body["instanceType"],
            tags=body.get("tags", {}),
            labels=body.get("labels", {}),
            taints=body.get("taints", []),
        )
        self.machines[name] = machine
        self.ledger.append(f"create {name}")
        self._spawn(self._boot(machine))
        return web.json_response(machine.to_json(), status=201)

    async def _delete(self, request: web.Request) -> web.Response:
        machine = self.machines.get(request.match_info["name"])
        if machine is None:
            return _error(404, "NotFound")
        if machine.state != "deleting":
            machine.state = "deleting"
            self.ledger.append(f"delete {machine.name}")
            self._spawn(self._remove(machine))
        return web.json_response(machine.to_json(), status=202)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _boot(self, machine: Machine) -> None:
        await asyncio.sleep(self.boot_seconds)
        if machine.state == "creating":
            await self.cluster.until_it_answers(
                lambda: self.cluster.create_kwok_node(
                    machine.name,
                    gpu_count=GPU_COUNTS[machine.instance_type],
                    labels=machine.labels,
                    taints=machine.taints,
                    provider_id=f"onebox:///{machine.name}",
                )
            )
            machine.state = "running"

    async def _remove(self, machine: Machine) -> None:
        await asyncio.sleep(self.boot_seconds / 2)
        await self.cluster.until_it_answers(lambda: self.cluster.delete_node(machine.name))
        del self.machines[machine.name]


def _error(status: int, code: str, message: str = "") -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)
