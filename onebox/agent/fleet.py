"""Creates, watches and removes machines; every verb is idempotent and survives a restart."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from onebox import places
from onebox.agent import cluster
from onebox.agent.machine import (
    CREATING,
    DELETING,
    FAILED,
    RUNNING,
    Machine,
    Refused,
    requested_machine,
)
from onebox.agent.store import Store
from onebox.errors import OneboxError
from onebox.kube import KubeClient, KubeError
from onebox.node import lifecycle
from onebox.node.spec import NodeSpec, system_node
from onebox.pki import utc_now
from onebox.processes import indented, log_tail

BOOT_DEADLINE_SECONDS: Final = 180.0
"""A node registers 3 to 10 s after its start (2026-11); a busy two-core machine takes longer."""

WATCH_SECONDS: Final = 3.0
RETRY_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.25

_logger = logging.getLogger("onebox.agent")


class Fleet:
    """All machines of this agent."""

    def __init__(self, store: Store, kube: KubeClient, node_limit: int) -> None:
        """Take over what the store holds; `start` resumes it."""
        self._store = store
        self._kube = kube
        self._node_limit = node_limit
        self._work: dict[str, asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None

    # --- The contract ---------------------------------------------------------------------------

    def matching(self, tags: Mapping[str, str]) -> list[Machine]:
        """Return the machines that carry all these tags."""
        return [
            machine
            for machine in self._store.all()
            if all(machine.tags.get(key) == value for key, value in tags.items())
        ]

    def find(self, name: str) -> Machine | None:
        """Return one machine."""
        return self._store.find(name)

    def create(self, name: str, body: Mapping[str, Any]) -> tuple[Machine, bool]:
        """Return the machine of this name and whether it was asked for now.

        Raises:
            Refused: Bad request, unknown instance type, or no room left.
        """
        existing = self._store.find(name)
        if existing:
            return existing, False
        machine = requested_machine(
            name, body, index=self._store.free_index(), created_at=utc_now().isoformat()
        )
        if len(self._store.all()) >= self._node_limit:
            raise Refused(
                409,
                "InsufficientCapacity",
                f"this machine's limit of {self._node_limit} nodes is reached; "
                "`python -m onebox up --node-limit N` raises it",
            )
        self._store.keep(machine)
        _logger.info("create %s (%s)", name, machine.instance_type)
        self._spawn(name, self._boot(machine))
        return machine, True

    def delete(self, name: str) -> Machine:
        """Begin to remove a machine.

        Raises:
            Refused: It is not there (any more).
        """
        machine = self._store.find(name)
        if machine is None:
            raise Refused(404, "NotFound", f"there is no machine {name!r}")
        if machine.state != DELETING:
            machine = self._store.keep(machine.moved_to(DELETING))
            _logger.info("delete %s", name)
            self._spawn(name, self._remove(machine, self._work.get(name)))
        return machine

    # --- Life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Resume what an earlier agent began, and watch what runs.

        A machine that ran and does not any more is booted again, as a cloud does after a power
        cut. One that dies while the agent watches is reported as failed, and stays so.
        """
        for machine in self._store.all():
            if machine.state == DELETING:
                self._spawn(machine.name, self._remove(machine, None))
            elif machine.state == CREATING or (machine.state == RUNNING and not is_alive(machine)):
                self._spawn(machine.name, self._boot(self._store.keep(machine.moved_to(CREATING))))
        self._watch = asyncio.create_task(self._watch_all())

    async def stop(self) -> None:
        """End the agent's own work; machines run on."""
        tasks = [*self._work.values(), *([self._watch] if self._watch else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work[name] = task

        def forget(done: asyncio.Task[None]) -> None:
            if self._work.get(name) is done:
                del self._work[name]

        task.add_done_callback(forget)

    async def _boot(self, machine: Machine) -> None:
        started = time.monotonic()
        try:
            others = self._other_nodes(machine.name)
            await to_the_end(lifecycle.start, machine.node, others)
            await self._await_registered(machine, started + BOOT_DEADLINE_SECONDS)
        except OneboxError as error:
            await asyncio.to_thread(lifecycle.delete, machine.node, self._other_nodes(machine.name))
            self._store.keep(machine.moved_to(FAILED, error.message))
            _logger.warning("%s failed: %s", machine.name, error)
            return
        self._store.keep(machine.moved_to(RUNNING))
        _logger.info("%s runs after %.1f s", machine.name, time.monotonic() - started)

    async def _await_registered(self, machine: Machine, give_up_at: float) -> None:
        said = "it has not registered with the API server"
        while time.monotonic() < give_up_at:
            try:
                if await asyncio.to_thread(cluster.ensure_announced, self._kube, machine):
                    return
            except KubeError as error:
                said = str(error)
            if not is_alive(machine):
                said = "its first process ended"
                break
            await asyncio.sleep(POLL_SECONDS)
        tail = indented(log_tail(places.log() / f"{machine.name}-kubelet.log", 4))
        raise OneboxError(f"the node {machine.name} did not come up: {said}\n{tail}")

    async def _remove(self, machine: Machine, earlier: asyncio.Task[None] | None) -> None:
        if earlier:
            earlier.cancel()
            await asyncio.gather(earlier, return_exceptions=True)
        started = time.monotonic()
        while True:
            try:
                others = self._other_nodes(machine.name)
                await asyncio.to_thread(lifecycle.delete, machine.node, others)
                await asyncio.to_thread(cluster.delete_node, self._kube, machine.name)
            except (OneboxError, KubeError, OSError) as error:
                if str(error) != machine.message:
                    machine = self._store.keep(machine.moved_to(DELETING, str(error)))
                    _logger.warning("%s is not gone yet: %s", machine.name, error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                break
        self._store.forget(machine.name)
        _logger.info("%s is gone after %.1f s", machine.name, time.monotonic() - started)

    async def _watch_all(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for machine in self._store.all():
                if machine.state == RUNNING and machine.name not in self._work:
                    await self._look_after(machine)

    async def _look_after(self, machine: Machine) -> None:
        if not is_alive(machine):
            lost = "the node is lost: its first process ended"
            self._store.keep(machine.moved_to(FAILED, lost))
            _logger.warning("%s: %s", machine.name, lost)
            return
        try:
            await asyncio.to_thread(cluster.ensure_announced, self._kube, machine)
        except KubeError as error:
            _logger.info("%s can't be looked after: %s", machine.name, error)

    def _other_nodes(self, name: str) -> list[NodeSpec]:
        return [
            system_node(),
            *(machine.node for machine in self._store.all() if machine.name != name),
        ]


async def to_the_end(function: Callable[..., object], *arguments: object) -> None:
    """Run a function in a thread; a cancellation takes effect when the thread has ended.

    A thread can't be cancelled. Were it left behind, a removal would overtake the start of its own
    node, and the node would live on with nobody who knows of it.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


def is_alive(machine: Machine) -> bool:
    """Say whether the machine's first process runs."""
    return lifecycle.first_process(machine.node) is not None
