"""The emulated cloud behind the API: clusters, pools, operations, quota.

A pool's operation runs as a task of its own and ends by the clock, whether anybody looks or not,
as Azure's does. It ends as the first fault that fits says, or for want of capacity, or well.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from tests.emulators.azure import admission, errors, quota
from tests.emulators.azure.errors import ArmError, Refused
from tests.emulators.azure.faults import Call, Cancel, FailLate, Faults, Hang, Slow
from tests.emulators.azure.ledger import Ledger, PoolRecord
from tests.emulators.azure.skus import Sku, default_skus

SUBSCRIPTION: Final = "00000000-0000-0000-0000-000000000001"
RESOURCE_GROUP: Final = "group"
CLUSTER: Final = "cluster"
IN_FLIGHT: Final = admission.IN_FLIGHT

log = logging.getLogger(__name__)

PoolHook = Callable[["Pool"], Awaitable[None]]


def _now() -> str:
    return datetime.now(tz=UTC).isoformat()


@dataclass
class Operation:
    """One long-running operation."""

    id: str
    verb: str
    pool: str
    status: str = "InProgress"
    error: ArmError | None = None
    started_at: str = field(default_factory=_now)
    ended_at: str | None = None
    task: asyncio.Task[None] | None = None

    def end(self, status: str, error: ArmError | None = None) -> None:
        self.status = status
        self.error = error
        self.ended_at = _now()


@dataclass
class Pool:
    """One agent pool."""

    cluster: Cluster
    name: str
    properties: dict[str, Any]
    """As the client sent them."""
    tags: dict[str, str]
    extra: dict[str, Any]
    """Top-level fields beside (Arc's extendedLocation)."""
    record: PoolRecord
    state: str = "Creating"
    error: ArmError | None = None
    etag: str = field(default_factory=lambda: str(uuid.uuid4()))
    operation: Operation | None = None
    holds_quota: bool = False

    @property
    def vm_size(self) -> str:
        return str(self.properties.get("vmSize", ""))

    @property
    def is_spot(self) -> bool:
        return self.properties.get("scaleSetPriority") == "Spot"

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.properties.get("nodeLabels") or {})

    @property
    def taints(self) -> list[str]:
        return list(self.properties.get("nodeTaints") or [])

    @property
    def count(self) -> int:
        return int(self.properties.get("count") or 1)

    def node_provider_ids(self) -> list[str]:
        """Return the provider ids of its machines, as the cloud provider writes them on Nodes."""
        cluster = self.cluster
        return [
            f"azure:///subscriptions/{cluster.subscription}/resourceGroups/"
            f"{cluster.node_resource_group}/providers/Microsoft.Compute/virtualMachineScaleSets/"
            f"aks-{self.name}-12345678-vmss/virtualMachines/{index}"
            for index in range(self.count)
        ]

    def become(self, state: str, error: ArmError | None = None) -> None:
        self.state = state
        self.error = error
        self.etag = str(uuid.uuid4())
        self.record.states.append((self.cluster.cloud.now(), state))


@dataclass
class Cluster:
    """One managed cluster, or one connected cluster of Arc."""

    cloud: Cloud
    kind: str
    """`aks` or `arc`."""
    name: str
    subscription: str = SUBSCRIPTION
    resource_group: str = RESOURCE_GROUP
    location: str = errors.REGION
    power_state: str = "Running"
    kubernetes_version: str = "1.33.2"
    pools: dict[str, Pool] = field(default_factory=dict)

    @property
    def node_resource_group(self) -> str:
        return f"MC_{self.resource_group}_{self.name}_{self.location}"


@dataclass
class Knobs:
    """How the emulated cloud behaves when nothing is wrong."""

    create_seconds: float = 0.05
    delete_seconds: float = 0.05
    request_seconds: float = 0.0
    """Latency of every request."""
    retry_after_seconds: int = 1
    """In the headers of accepted operations and of operations still in progress."""
    max_pools: int = 100
    """A cluster, with its system pool (learn.microsoft.com/azure/aks/quotas-skus-regions)."""
    concurrent_operations: int | None = None
    """None: pools of one cluster may be created side by side; 1: as AKS once was."""
    delete_while_creating: bool = False
    """False: a delete is refused until the create ends or is aborted."""
    page_size: int = 100
    quotas: dict[str, int] = field(default_factory=dict)
    """vCPUs by family, and `cores`, `lowPriorityCores`; what is not named has no limit."""
    capacity: dict[str, int] = field(default_factory=dict)
    """Machines that the region has left, by VM size in lower case; beyond: AllocationFailed."""
    accepts_reserved_labels: bool = False
    """AKS keeps label prefixes of Kubernetes' own for itself."""


class Cloud:
    """All state; one instance is one Azure."""

    def __init__(self, knobs: Knobs | None = None) -> None:
        self.knobs = knobs or Knobs()
        self.ledger = Ledger()
        self.faults = Faults()
        self.skus: dict[str, Sku] = default_skus()
        self.clusters: dict[tuple[str, str], Cluster] = {}
        self.operations: dict[str, Operation] = {}
        self.on_pool_created: PoolHook | None = None
        self.on_pool_deleted: PoolHook | None = None
        self._started_at = time.monotonic()
        self.add_cluster("aks", CLUSTER)
        self.add_cluster("arc", CLUSTER)

    def now(self) -> float:
        """Return seconds since this cloud began."""
        return time.monotonic() - self._started_at

    def add_cluster(self, kind: str, name: str) -> Cluster:
        """Add a cluster, with the system pool that every AKS cluster has."""
        cluster = self.clusters[kind, name.lower()] = Cluster(self, kind, name)
        if kind == "aks":
            properties = {"count": 1, "vmSize": "Standard_D4s_v5", "mode": "System"}
            record = PoolRecord(name, "system", "Standard_D4s_v5", "Regular", (), 1, {}, self.now())
            cluster.pools["system"] = Pool(
                cluster, "system", properties, {}, {}, record, state="Succeeded"
            )
        return cluster

    def cluster(self, kind: str, subscription: str, group: str, name: str) -> Cluster:
        """Return the cluster, or refuse as ARM does."""
        found = self.clusters.get((kind, name.lower()))
        subscriptions = {one.subscription for one in self.clusters.values()}
        groups = {one.resource_group.lower() for one in self.clusters.values()}
        if subscription not in subscriptions:
            raise Refused(errors.subscription_not_found(subscription))
        if group.lower() not in groups:
            raise Refused(errors.group_not_found(group))
        if found is None or found.resource_group.lower() != group.lower():
            resource = (
                "Microsoft.ContainerService/managedClusters"
                if kind == "aks"
                else "Microsoft.Kubernetes/connectedClusters"
            )
            raise Refused(errors.cluster_not_found(name, kind=resource, group=group))
        return found

    async def close(self) -> None:
        """Stop every operation that is under way."""
        tasks = [one.task for one in self.operations.values() if one.task and not one.task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- Pools ------------------------------------------------------------------------------------

    def find_pool(self, cluster: Cluster, name: str) -> Pool:
        """Return the pool, or refuse as its provider does."""
        pool = cluster.pools.get(name)
        if pool is None:
            raise Refused(
                errors.pool_not_found(name)
                if cluster.kind == "aks"
                else errors.arc_pool_not_found(name)
            )
        return pool

    def put_pool(
        self,
        cluster: Cluster,
        name: str,
        body: Mapping[str, Any],
        *,
        client_request_id: str,
        if_match: str = "",
        if_none_match: str = "",
    ) -> tuple[int, Pool]:
        """Accept, or refuse, a pool; return the status and the pool."""
        properties = copy.deepcopy(dict(body.get("properties") or {}))
        tags = dict(
            (properties.pop("tags", None) if cluster.kind == "aks" else body.get("tags")) or {}
        )
        existing = cluster.pools.get(name)
        admission.check_conditions(existing, if_match, if_none_match)
        admission.check_pool(self, cluster, name, properties, tags)
        admission.check_power(cluster)
        if existing is not None:
            return self._update_pool(existing, properties, tags, client_request_id)
        admission.check_in_flight(cluster, self.knobs.concurrent_operations)
        if len(cluster.pools) >= self.knobs.max_pools:
            raise Refused(errors.too_many_pools(self.knobs.max_pools))
        pool = Pool(
            cluster,
            name,
            properties,
            tags,
            {key: body[key] for key in ("extendedLocation",) if key in body},
            PoolRecord(
                cluster.name,
                name,
                str(properties.get("vmSize", "")),
                str(properties.get("scaleSetPriority") or "Regular"),
                tuple(properties.get("availabilityZones") or ()),
                int(properties.get("count") or 1),
                tags,
                self.now(),
                [client_request_id],
                [(self.now(), "Creating")],
            ),
        )
        quota.take(self, pool)
        cluster.pools[name] = pool
        self.ledger.pools.append(pool.record)
        self._begin(pool, "create", self.knobs.create_seconds)
        return 201, pool

    def delete_pool(
        self, cluster: Cluster, name: str, *, client_request_id: str, if_match: str = ""
    ) -> Pool | None:
        """Begin a pool's end; None when there is none."""
        pool = cluster.pools.get(name)
        if pool is None:
            return None
        admission.check_conditions(pool, if_match, "")
        admission.check_power(cluster)
        if pool.state == "Deleting":
            return pool
        if pool.state in IN_FLIGHT:
            if not self.knobs.delete_while_creating:
                raise Refused(errors.own_operation_in_progress("create"))
            self._stop(pool, "Canceled", errors.preempted())
        else:
            admission.check_in_flight(cluster, self.knobs.concurrent_operations)
        pool.record.delete_client_request_ids.append(client_request_id)
        pool.become("Deleting")
        self._begin(pool, "delete", self.knobs.delete_seconds)
        return pool

    def abort_pool(self, cluster: Cluster, name: str) -> Pool:
        """Stop the operation that runs on a pool, if one does."""
        pool = self.find_pool(cluster, name)
        if pool.state in IN_FLIGHT and pool.state != "Deleting":
            self._stop(pool, "Canceled", errors.canceled())
            pool.become("Canceled", errors.canceled())
        return pool

    def _update_pool(
        self,
        pool: Pool,
        properties: dict[str, Any],
        tags: dict[str, str],
        client_request_id: str,
    ) -> tuple[int, Pool]:
        if pool.state in IN_FLIGHT:
            verb = "delete" if pool.state == "Deleting" else "create"
            raise Refused(errors.own_operation_in_progress(verb))
        for name in ("vmSize", "scaleSetPriority", "availabilityZones"):
            if name in properties and properties[name] != pool.properties.get(name):
                raise Refused(errors.property_change(name))
        pool.properties |= properties
        pool.tags = tags
        pool.record.tags = tags
        pool.record.client_request_ids.append(client_request_id)
        quota.take(self, pool)
        pool.become("Updating")
        self._begin(pool, "create", self.knobs.create_seconds)
        return 200, pool

    # --- Operations -------------------------------------------------------------------------------

    def _begin(self, pool: Pool, verb: str, seconds: float) -> None:
        operation = Operation(str(uuid.uuid4()), verb, pool.name)
        self.operations[operation.id] = pool.operation = operation
        call = Call.DELETE_POOL if verb == "delete" else Call.PUT_POOL
        effect = self.faults.take(
            call, pool=pool.name, vm_size=pool.vm_size, is_about_request=False
        )
        run = self._run_delete if verb == "delete" else self._run_create
        operation.task = asyncio.create_task(run(pool, operation, effect, seconds))

    def _stop(self, pool: Pool, status: str, error: ArmError) -> None:
        operation = pool.operation
        if operation is not None and operation.status == "InProgress":
            operation.end(status, error)
            if operation.task is not None:
                operation.task.cancel()
        pool.holds_quota = False

    async def _run_create(
        self, pool: Pool, operation: Operation, effect: object, seconds: float
    ) -> None:
        error = await self._wait(effect, seconds) or self._allocate(pool)
        if isinstance(effect, Cancel):
            self._fail(pool, operation, "Canceled", errors.canceled())
            return
        if error is not None:
            self._fail(pool, operation, "Failed", error)
            return
        error = await self._call(self.on_pool_created, pool)
        if error is not None:
            self._fail(pool, operation, "Failed", error)
            return
        pool.become("Succeeded")
        operation.end("Succeeded")

    async def _run_delete(
        self, pool: Pool, operation: Operation, effect: object, seconds: float
    ) -> None:
        error = await self._wait(effect, seconds)
        if isinstance(effect, Cancel):
            error = errors.canceled()
        if error is None:
            error = await self._call(self.on_pool_deleted, pool)
        if error is not None:
            pool.become("Failed", error)
            operation.end("Canceled" if isinstance(effect, Cancel) else "Failed", error)
            return
        del pool.cluster.pools[pool.name]
        pool.holds_quota = False
        pool.record.deleted_at_seconds = self.now()
        operation.end("Succeeded")

    async def _wait(self, effect: object, seconds: float) -> ArmError | None:
        match effect:
            case Hang():
                await asyncio.Event().wait()
            case Slow():
                await asyncio.sleep(effect.seconds)
            case FailLate() | Cancel():
                await asyncio.sleep(
                    seconds if effect.after_seconds is None else effect.after_seconds
                )
            case _:
                await asyncio.sleep(seconds)
        return effect.error if isinstance(effect, FailLate) else None

    def _allocate(self, pool: Pool) -> ArmError | None:
        size = pool.vm_size.lower()
        left = self.knobs.capacity.get(size)
        if left is None:
            return None
        if left < pool.count:
            zones = pool.properties.get("availabilityZones")
            return errors.zonal_allocation_failed() if zones else errors.allocation_failed()
        self.knobs.capacity[size] = left - pool.count
        return None

    def _fail(self, pool: Pool, operation: Operation, status: str, error: ArmError) -> None:
        pool.holds_quota = False
        pool.become(status, error)
        operation.end(status, error)

    async def _call(self, hook: PoolHook | None, pool: Pool) -> ArmError | None:
        if hook is None:
            return None
        try:
            await hook(pool)
        except Refused as refused:
            # What stands behind the pool says in Azure's words why there is nothing.
            return refused.error
        except Exception:
            log.exception("the hook of pool %s failed", pool.name)
            return errors.late_internal_error()
        return None
