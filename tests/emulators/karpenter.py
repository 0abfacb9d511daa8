"""A small Karpenter: serves claims of a node class against a real API server, as Karpenter does.

    claim ──finalizer──► Launched ──► Registered (a Node) ──► Initialized (its GPUs show) ──► Ready
      │ no capacity, or its node class is not ready: an Event, and the claim is DELETED
      └ any other failure: Launched stays Unknown, and it is tried again

It imitates and judges nothing; its ledger tells every machine that ever was. What it does was read
in kubernetes-sigs/karpenter 1.x (controllers `nodeclaim.lifecycle`, `nodeclass.status`).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

from activities.clients.kubernetes import (
    EVENTS,
    NODE_CLAIMS,
    NODES,
    ApiError,
    Kind,
    KubernetesClient,
)
from tests.harness.cluster import Cluster

AKS_NODE_CLASSES: Final = Kind(
    "karpenter.azure.com", "v1beta1", "aksnodeclasses", "AKSNodeClass", is_namespaced=False
)
EC2_NODE_CLASSES: Final = Kind(
    "karpenter.k8s.aws", "v1", "ec2nodeclasses", "EC2NodeClass", is_namespaced=False
)

FINALIZER: Final = "karpenter.sh/termination"
NO_TYPE: Final = "all requested instance types were unavailable during launch"
GPU: Final = "nvidia.com/gpu"

BEAT_SECONDS: Final = 0.03

GPU_COUNTS: Final = {
    "Standard_NC24ads_A100_v4": 1,
    "Standard_NC48ads_A100_v4": 2,
    "g5.xlarge": 1,
    "g6.xlarge": 1,
}
"""Instance types that there are, with their GPUs."""

_ALLOWED_BY_KUBELETS: Final = (
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
)


@dataclass(frozen=True)
class Refusal:
    """What fails to launch, and how; an empty field fits everything."""

    message: str = NO_TYPE
    instance_type: str = ""
    capacity_type: str = ""
    zone: str = ""
    reason: str = ""
    """Of the condition of a launch that is tried again; empty: the claim is deleted."""

    def fits(self, wanted: Mapping[str, str]) -> bool:
        """Whether a claim asks for what this refuses."""
        return all(
            not mine or mine == wanted.get(key)
            for key, mine in (
                ("node.kubernetes.io/instance-type", self.instance_type),
                ("karpenter.sh/capacity-type", self.capacity_type),
                ("topology.kubernetes.io/zone", self.zone),
            )
        )


@dataclass
class Instance:
    """One machine, from its launch to its end."""

    claim: str
    provider_id: str
    wanted: dict[str, str]
    launched_at: float
    ending_at: float | None = None
    ended_at: float | None = None


@dataclass
class Karpenter:
    """Serves every claim that names a node class of `kind`'s group."""

    cluster: Cluster
    kind: Kind = AKS_NODE_CLASSES
    boot_seconds: float = 0.1
    """From the launch until the node joins."""
    gpu_seconds: float = 0.1
    """From joining until the device plugin shows the GPUs."""
    end_seconds: float = 0.1
    """From the order to end a machine until it is gone."""
    registration_seconds: float = 900.0
    """A machine whose node has not joined by then is given up; Karpenter's own 15 min."""
    node_class_problem: str = ""
    """Keeps every node class from becoming ready."""
    joins: bool = True
    """False: machines start and never join."""
    sends_events: bool = True
    refusals: list[Refusal] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    """The ledger: every machine that ever was, in order."""
    refused: list[str] = field(default_factory=list)
    """Claims that were deleted for lack of capacity, in order."""

    _client: KubernetesClient = field(init=False, repr=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False, repr=False)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def alive(self) -> list[str]:
        """Return the claims whose machines run, sorted."""
        return sorted(one.claim for one in self.instances if one.ended_at is None)

    def _instance(self, claim: str) -> Instance | None:
        return next(
            (one for one in self.instances if one.claim == claim and one.ended_at is None), None
        )

    # --- the loop ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        async with self.cluster.client() as self._client:
            while True:
                # Somebody else may have written or removed what was read: look again.
                with suppress(ApiError):
                    for node_class in await self._client.list(self.kind):
                        await self._look_after_node_class(node_class)
                for claim in await self._client.list(NODE_CLAIMS):
                    if claim["spec"]["nodeClassRef"]["group"] == self.kind.group:
                        with suppress(ApiError):
                            await self._serve(claim)
                await asyncio.sleep(BEAT_SECONDS)

    async def _look_after_node_class(self, obj: dict[str, Any]) -> None:
        problem = self.node_class_problem
        condition = _condition(
            "Ready",
            "False" if problem else "True",
            reason="NotReady" if problem else "Ready",
            message=problem,
        )
        current = (obj.get("status") or {}).get("conditions", [])
        if not current or (current[0]["status"], current[0]["message"]) != (
            condition["status"],
            condition["message"],
        ):
            await self._write_status(self.kind, obj, conditions=[condition])

    async def _serve(self, claim: dict[str, Any]) -> None:
        metadata = claim["metadata"]
        finalizers = metadata.get("finalizers") or []
        if metadata.get("deletionTimestamp"):
            if FINALIZER in finalizers:
                await self._finalize(claim)
            return
        if FINALIZER not in finalizers:
            await self._patch(claim, {"metadata": {"finalizers": [*finalizers, FINALIZER]}})
            return
        if not _is_true(claim, "Launched"):
            await self._launch(claim)
        elif not _is_true(claim, "Registered"):
            await self._register(claim)
        elif not _is_true(claim, "Initialized"):
            await self._initialize(claim)

    # --- launch -----------------------------------------------------------------------------------

    async def _launch(self, claim: dict[str, Any]) -> None:
        name, wanted = claim["metadata"]["name"], _wanted(claim)
        refusal = await self._refusal(claim, wanted)
        if refusal is not None and not refusal.reason:
            await self._refuse(claim, refusal.message)
            return
        if refusal is not None:
            await self._say(
                claim,
                _condition("Launched", "Unknown", reason=refusal.reason, message=refusal.message),
            )
            return
        instance = self._instance(name)
        if instance is None:
            provider_id = f"{self.kind.group}:///{name}-{uuid.uuid4().hex[:6]}"
            instance = Instance(name, provider_id, wanted, time.monotonic())
            self.instances.append(instance)
        labels = {**wanted, **(claim["metadata"].get("labels") or {})}
        await self._patch(claim, {"metadata": {"labels": labels}})
        await self._say(claim, _condition("Launched"), providerID=instance.provider_id)

    async def _refusal(self, claim: dict[str, Any], wanted: Mapping[str, str]) -> Refusal | None:
        name = claim["spec"]["nodeClassRef"]["name"]
        node_class = await self._client.find(self.kind, name)
        if node_class is None:
            return Refusal(f"resolving node class, {self.kind.plural} {name!r} not found")
        if not _is_true(node_class, "Ready"):
            # Deleted without a word, as Karpenter 1.x does.
            await self._delete(claim)
            raise ApiError(409, "NodeClassNotReady", "")
        if wanted.get("node.kubernetes.io/instance-type") not in GPU_COUNTS:
            return Refusal()
        if self._disk_gib(node_class) < _gib(claim):
            return Refusal()
        return next((one for one in self.refusals if one.fits(wanted)), None)

    def _disk_gib(self, node_class: Mapping[str, Any]) -> float:
        spec = node_class["spec"]
        if self.kind is AKS_NODE_CLASSES:
            return float(spec["osDiskSizeGB"]) * 0.9
        size: str = spec["blockDeviceMappings"][0]["ebs"]["volumeSize"]
        return float(size.removesuffix("Gi")) * 0.9

    async def _refuse(self, claim: dict[str, Any], message: str) -> None:
        metadata = claim["metadata"]
        self.refused.append(metadata["name"])
        if self.sends_events:
            await self._client.create(
                EVENTS,
                {
                    "metadata": {"name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}"},
                    "involvedObject": {
                        "apiVersion": NODE_CLAIMS.api_version,
                        "kind": NODE_CLAIMS.kind,
                        "name": metadata["name"],
                        "uid": metadata["uid"],
                    },
                    "type": "Warning",
                    "reason": "InsufficientCapacityError",
                    "message": f"NodeClaim {metadata['name']} event: {message}",
                    "lastTimestamp": _now(),
                    "source": {"component": "karpenter"},
                },
                "default",
            )
        await self._delete(claim)

    # --- the node ---------------------------------------------------------------------------------

    async def _register(self, claim: dict[str, Any]) -> None:
        metadata = claim["metadata"]
        instance = self._instance(metadata["name"])
        if instance is None:
            return
        age = time.monotonic() - instance.launched_at
        if age >= self.registration_seconds:
            await self._delete(claim)
            return
        if age < self.boot_seconds or not self.joins or not _kubelet_starts(metadata["labels"]):
            message = "Node not registered with cluster"
            await self._say(
                claim, _condition("Registered", "Unknown", reason="NodeNotFound", message=message)
            )
            return
        node_name = f"node-{instance.provider_id.rpartition('/')[2]}"
        await self._create_node(node_name, claim, instance)
        await self._say(claim, _condition("Registered"), nodeName=node_name)

    async def _create_node(self, node_name: str, claim: dict[str, Any], instance: Instance) -> None:
        node = {
            "metadata": {
                "name": node_name,
                "labels": {
                    **claim["metadata"]["labels"],
                    "kubernetes.io/hostname": node_name,
                    "karpenter.sh/registered": "true",
                },
                "annotations": claim["metadata"].get("annotations") or {},
            },
            "spec": {
                "providerID": instance.provider_id,
                "taints": claim["spec"].get("taints") or [],
            },
        }
        try:
            await self._client.create(NODES, node)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        await self._node_status(node_name, gpu_count=0)

    async def _initialize(self, claim: dict[str, Any]) -> None:
        instance = self._instance(claim["metadata"]["name"])
        if instance is None:
            return
        shown_at = instance.launched_at + self.boot_seconds + self.gpu_seconds
        if time.monotonic() < shown_at:
            return
        node_name = claim["status"]["nodeName"]
        count = GPU_COUNTS[instance.wanted["node.kubernetes.io/instance-type"]]
        await self._node_status(node_name, gpu_count=count)
        await self._say(claim, _condition("Initialized"), _condition("Ready"))

    async def _node_status(self, node_name: str, *, gpu_count: int) -> None:
        capacity = {"cpu": "24", "memory": "220Gi", "pods": "110", "ephemeral-storage": "900Gi"}
        if gpu_count:
            capacity[GPU] = str(gpu_count)
        ready = {**_condition("Ready"), "lastHeartbeatTime": _now()}
        body = {"status": {"capacity": capacity, "allocatable": capacity, "conditions": [ready]}}
        await self._client.merge_patch(NODES, node_name, body, subresource="status")
        # The API server taints every new node until its lifecycle controller takes that back.
        node = await self._client.get(NODES, node_name)
        taints = [
            one
            for one in node["spec"].get("taints") or []
            if one["key"] != "node.kubernetes.io/not-ready"
        ]
        await self._client.merge_patch(NODES, node_name, {"spec": {"taints": taints}})

    # --- the end ----------------------------------------------------------------------------------

    async def _finalize(self, claim: dict[str, Any]) -> None:
        metadata, status = claim["metadata"], claim.get("status") or {}
        node_name = status.get("nodeName", "")
        if node_name:
            await self._client.delete(NODES, node_name)
        instance = self._instance(metadata["name"])
        if instance is not None:
            now = time.monotonic()
            instance.ending_at = instance.ending_at or now + self.end_seconds
            if now < instance.ending_at:
                return
            instance.ended_at = now
        left = [one for one in metadata["finalizers"] if one != FINALIZER]
        await self._patch(claim, {"metadata": {"finalizers": left}})

    # --- writes -----------------------------------------------------------------------------------

    async def _delete(self, claim: dict[str, Any]) -> None:
        await self._client.delete(
            NODE_CLAIMS, claim["metadata"]["name"], uid=claim["metadata"]["uid"]
        )

    async def _patch(self, claim: dict[str, Any], body: dict[str, Any]) -> None:
        await self._client.merge_patch(NODE_CLAIMS, claim["metadata"]["name"], body)

    async def _say(self, claim: dict[str, Any], *conditions: dict[str, Any], **more: str) -> None:
        """Write conditions beside those that are there, unless they say so already."""
        status = claim.get("status") or {}
        current = {one["type"]: one for one in status.get("conditions", [])}
        for one in conditions:
            old = current.get(one["type"])
            if old is None or (old["status"], old["message"]) != (one["status"], one["message"]):
                current[one["type"]] = one
        wanted = {**status, **more, "conditions": list(current.values())}
        if wanted != status:
            await self._write_status(NODE_CLAIMS, claim, **wanted)

    async def _write_status(self, kind: Kind, obj: dict[str, Any], **status: Any) -> None:
        await self._client.merge_patch(
            kind, obj["metadata"]["name"], {"status": status}, subresource="status"
        )


def _wanted(claim: Mapping[str, Any]) -> dict[str, str]:
    """Return requirements with one value as labels, as Karpenter does."""
    return {
        one["key"]: one["values"][0]
        for one in claim["spec"]["requirements"]
        if one["operator"] == "In" and len(one["values"]) == 1
    }


def _gib(claim: Mapping[str, Any]) -> float:
    requests = claim["spec"].get("resources", {}).get("requests", {})
    return float(str(requests.get("ephemeral-storage", "0")).removesuffix("Gi"))


def _kubelet_starts(labels: Mapping[str, str]) -> bool:
    """Whether a kubelet takes these by --node-labels; AWS' provider hands it all of a claim's."""
    for key in labels:
        domain = key.partition("/")[0] if "/" in key else ""
        is_kubernetes = domain.endswith(("kubernetes.io", "k8s.io"))
        is_allowed = domain.endswith(("kubelet.kubernetes.io", "node.kubernetes.io"))
        if is_kubernetes and not is_allowed and key not in _ALLOWED_BY_KUBELETS:
            return False
    return True


def _is_true(obj: Mapping[str, Any], condition_type: str) -> bool:
    conditions = (obj.get("status") or {}).get("conditions", [])
    return any(one["type"] == condition_type and one["status"] == "True" for one in conditions)


def _condition(
    condition_type: str, status: str = "True", *, reason: str = "", message: str = ""
) -> dict[str, Any]:
    return {
        "type": condition_type,
        "status": status,
        "reason": reason or condition_type,
        "message": message,
        "lastTransitionTime": _now(),
    }


def _now() -> str:
    return datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
