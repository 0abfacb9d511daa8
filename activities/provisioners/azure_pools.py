"""One agent pool per machine: what AKS and AKS Arc have in common.

    launch     ask ──► there already ──► ours: nothing to do; failed: end it, then again
    observe    the shared list of pools; the operation by its token where the list can't tell
    terminate  delete; where a create still runs, abort that first

A pool whose tag names another claim, or none, is a stranger's: it is never changed and never
counts as ours. Which pool a machine is follows from the claim's name alone, so whoever crashed
between asking and telling finds it again.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Protocol

from activities.clients.azure import (
    AgentPools,
    AzureFailed,
    Begun,
    OperationState,
    OperationStatus,
    Pool,
    PoolSpec,
)
from activities.clients.azure.pool_view import PoolView
from activities.provisioners.base import Machine, MachineRequest
from activities.provisioners.pool_book import PoolBook
from api.errors import (
    CapacityUnavailable,
    Conflict,
    NotReadyYet,
    PlatformError,
    ProviderFailed,
    Remedy,
)
from planner.azure_errors import AzureFailure, judge
from planner.pool_names import TAG_NODE_CLAIM, check_owner, pool_name

OPERATION_LOOK_SPACING_SECONDS: Final = 1.0
"""1 s between looks at operations, all of them together: AKS refills two such calls a second
(learn.microsoft.com/azure/aks/quotas-skus-regions, read 2026-11-25). Where many machines are on
their way, the list of pools tells their end and operations are looked at in turn."""

RESERVED_LABEL_DOMAINS: Final = ("kubernetes.io", "k8s.io", "kubernetes.azure.com")
"""Azure sets labels of these domains itself and refuses them from others
(learn.microsoft.com/azure/aks/use-labels)."""

_ENDED_BADLY: Final = frozenset({"Failed", "Canceled"})

_AT_REST: Final = frozenset({"Succeeded", *_ENDED_BADLY})

_STATES: Final = {"Succeeded": "running", "Deleting": "deleting"}
"""Provisioning states in the words of `Machine`; the rest is on its way, unless it ended badly."""


class Closeable(Protocol):
    """What is closed at the end."""

    async def close(self) -> None:
        """Close it."""


class AgentPoolProvisioner:
    """See `Provisioner`; one subclass a service."""

    name = "agent pool"

    def __init__(
        self,
        pools: AgentPools,
        *,
        view: PoolView | None = None,
        credential: Closeable | None = None,
    ) -> None:
        """Take who asks and who we are, both closed with this object, and what waits look at."""
        self._pools = pools
        self._credential = credential
        self._view = view or PoolBook(pools)
        self._next_look_at = 0.0

    @abstractmethod
    async def _check_offer(self, request: MachineRequest) -> None:
        """Refuse what is known not to be had, before it is asked for."""

    @abstractmethod
    def _spec(self, request: MachineRequest) -> PoolSpec:
        """Return the pool to ask for."""

    async def launch(self, request: MachineRequest) -> Machine:
        """See `Provisioner`."""
        name, key = pool_name(request.name), request.claim_uid or request.name
        try:
            await self._check_offer(request)
        except CapacityUnavailable:
            # Our own pool may be what fills the quota.
            pool = await self._pools.find(name, key=key)
            if pool is None:
                raise
        else:
            # Asked for without a look: the request itself leaves alone what is there.
            begun = await self._begin(self._spec(request), key=key)
            if begun.created:
                provider_id = self._provider_id(name)
                return Machine(
                    request.name, provider_id, "creating", created=True, operation=begun.token
                )
            pool = await self._pools.find(name, key=key)
            if pool is None:
                raise NotReadyYet(f"the agent pool {name} went while it was asked for")
        return await self._take(pool, request.name, key=key)

    async def _begin(self, spec: PoolSpec, *, key: str) -> Begun:
        try:
            return await self._pools.begin_create(spec, key=key)
        except AzureFailed as failed:
            # The pool may be on its way already, by another worker's request (Arc says it so).
            if not _is_conflict(failed) or await self._pools.find(spec.name, key=key) is None:
                raise
            return Begun()

    async def _take(self, pool: Pool, name: str, *, key: str) -> Machine:
        """Return the machine of a pool that was there already, if it can be used."""
        check_owner(pool.name, name, pool.tag(TAG_NODE_CLAIM))
        if pool.provisioning_state in _ENDED_BADLY:
            await self._end(pool, key=key)
        machine = self._machine(name, pool)
        if machine.state in {"failed", "deleting"}:
            raise NotReadyYet(
                f"the agent pool {pool.name} of an earlier attempt is {pool.provisioning_state} "
                "and must be gone first"
            )
        return machine

    async def observe(self, name: str, operation: str = "") -> Machine | None:
        """See `Provisioner`."""
        pool = await self._view.find(pool_name(name), key=name)
        if pool is not None and not _is_of(pool, name):
            return None
        if pool is None:
            status = await self._look(operation, name) if operation else None
            if status is not None and status.state is OperationState.RUNNING:
                return Machine(name, self._provider_id(pool_name(name)), "creating")
            return None
        if pool.provisioning_state in _ENDED_BADLY:
            # The list may be older than the pool: a new one of this name is no failure.
            fresh = await self._pools.find(pool_name(name), key=name)
            return None if fresh is None or not _is_of(fresh, name) else self._machine(name, fresh)
        machine = self._machine(name, pool)
        if machine.state == "creating" and operation and self._may_look():
            status = await self._look(operation, name)
            return _judged(machine, status)
        return machine

    async def terminate(self, name: str) -> None:
        """See `Provisioner`."""
        pool = await self._view.find(pool_name(name), key=name)
        if pool is not None and _is_of(pool, name):
            await self._end(pool, key=name)

    async def list_owned(self, tags: Mapping[str, str]) -> list[str]:
        """See `Provisioner`; a pool without a claim's tag is told by its own name."""
        pools = await self._pools.list(tags, key="list-owned")
        return sorted(pool.tag(TAG_NODE_CLAIM) or pool.name for pool in pools)

    async def close(self) -> None:
        """Close the connections."""
        await self._pools.close()
        if self._credential is not None:
            await self._credential.close()

    def _machine(self, name: str, pool: Pool) -> Machine:
        machine = Machine(
            name=name,
            provider_id=self._provider_id(pool.name),
            state=_STATES.get(pool.provisioning_state, "creating"),
            message=f"(agent pool {pool.name}: {pool.provisioning_state})",
        )
        if pool.provisioning_state not in _ENDED_BADLY:
            return machine
        otherwise = f"the agent pool {pool.name} is {pool.provisioning_state}, without a cause"
        return _failed(machine, pool.failure, otherwise)

    def _provider_id(self, pool: str) -> str:
        """Return the pool's id: its Node's own is known only once that has joined."""
        return f"{self.name}:///{pool}"

    async def _end(self, pool: Pool, *, key: str) -> None:
        if pool.provisioning_state == "Deleting":
            return
        try:
            await self._pools.begin_delete(pool.name, key=key)
        except AzureFailed as failed:
            if not _is_conflict(failed) or pool.provisioning_state in _AT_REST:
                raise
        else:
            return
        # The operation that makes it runs. Where that can be stopped, it is; where it can't be,
        # a later call deletes once it is over.
        await self._pools.abort(pool.name, key=key)
        try:
            await self._pools.begin_delete(pool.name, key=key)
        except AzureFailed as failed:
            if not _is_conflict(failed):
                raise

    # --- Operations -------------------------------------------------------------------------------

    def _may_look(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now < self._next_look_at:
            return False
        self._next_look_at = now + OPERATION_LOOK_SPACING_SECONDS
        return True

    async def _look(self, operation: str, name: str) -> OperationStatus | None:
        try:
            return await self._pools.poll(operation, key=name)
        except ValueError:
            # A token of another version of this platform: the pool itself tells, only later.
            return None


def labels_of_pool(request: MachineRequest) -> dict[str, str]:
    """Return the labels that the pool's Nodes shall get, without those that Azure keeps."""
    return {key: value for key, value in request.labels.items() if not _is_reserved(key)}


def taints_of_pool(request: MachineRequest) -> list[str]:
    """Return the taints as Azure writes them: `key=value:Effect`."""
    return [
        f"{taint['key']}={taint.get('value', '')}:{taint['effect']}" for taint in request.taints
    ]


def tags_of_pool(request: MachineRequest) -> dict[str, str]:
    """Return the marks of ownership, the claim's among them."""
    return {**request.tags, TAG_NODE_CLAIM: request.name}


def _is_of(pool: Pool, name: str) -> bool:
    return pool.tag(TAG_NODE_CLAIM) == name


def _is_reserved(label: str) -> bool:
    domain, slash, _ = label.rpartition("/")
    return bool(slash) and any(
        domain == reserved or domain.endswith(f".{reserved}") for reserved in RESERVED_LABEL_DOMAINS
    )


def _is_conflict(failed: AzureFailed) -> bool:
    return judge(failed.failure).error is Conflict


def _judged(machine: Machine, status: OperationStatus | None) -> Machine:
    """Return the machine as its operation tells it, which knows of an end before the list does."""
    if status is None or status.state in {OperationState.SUCCEEDED, OperationState.FORGOTTEN}:
        return machine
    if status.state is OperationState.RUNNING:
        return replace(machine, message="(Azure's operation runs)")
    return _failed(machine, status.failure, f"Azure's operation ended as {status.state}")


def _failed(machine: Machine, failure: AzureFailure | None, otherwise: str) -> Machine:
    error: PlatformError = ProviderFailed(otherwise)
    if failure is not None:
        verdict = judge(failure)
        error = verdict.to_error()
        if error.remedy is Remedy.FAST_RETRY:
            # It would pass by itself if it were asked again; looking again changes nothing.
            error = ProviderFailed(verdict.message)
    return replace(machine, state="failed", message=str(error), error=error)
