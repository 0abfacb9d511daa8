"""Each test is run once for each provisioner, on a real API server with kwok's nodes."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from temporalio.testing import ActivityEnvironment

from activities.clients.kubernetes import NODE_CLAIMS, KubernetesClient
from activities.context import ActivityContext, make_provisioner, open_context
from activities.node_claim import machine
from activities.node_claim.claim import Claims
from activities.node_claim.machine import Machines
from activities.provisioners import Provisioner
from activities.provisioners.azure_pools import AgentPoolProvisioner
from api import names
from api import payloads as p
from planner.claim_makers import ANNOTATION_PROVISIONER, NODE_CLASS_KIND_AGENT_POOL
from presets.loader import load_catalogue
from tests.conformance.subjects import SUBJECTS, Subject, open_subject
from tests.harness.cluster import Cluster

LIST_AGE_SECONDS = 0.2


@pytest.fixture(params=SUBJECTS)
def subject_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest_asyncio.fixture
async def subject(subject_name: str, full_cluster: Cluster) -> AsyncIterator[Subject]:
    async with open_subject(subject_name, full_cluster) as opened:
        yield opened


@pytest_asyncio.fixture
async def client(full_cluster: Cluster) -> AsyncIterator[KubernetesClient]:
    async with full_cluster.client() as connected:
        yield connected


@pytest_asyncio.fixture
async def ctx(subject: Subject, client: KubernetesClient) -> AsyncIterator[ActivityContext]:
    async with open_context(subject.settings(), client, load_catalogue()) as opened:
        hasten(opened.provisioner)
        yield opened


@pytest_asyncio.fixture
async def provisioner(subject: Subject, client: KubernetesClient) -> AsyncIterator[Provisioner]:
    opened = hasten(make_provisioner(subject.settings(), client))
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def another_process(subject: Subject, client: KubernetesClient) -> AsyncIterator[Provisioner]:
    """Another worker's provisioner: it knows nothing of what the first one did."""
    opened = hasten(make_provisioner(subject.settings(), client))
    yield opened
    await opened.close()


def hasten(provisioner: Provisioner) -> Provisioner:
    """Let it look more often than a real cloud would bear: the emulator has no machines to boot."""
    if isinstance(provisioner, AgentPoolProvisioner):
        provisioner._view._max_age_seconds = LIST_AGE_SECONDS
    return provisioner


@pytest.fixture(autouse=True)
def _quick_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "TERMINATE_AGAIN_SECONDS", LIST_AGE_SECONDS)


class Claim:
    """One NodeClaim, and its activities as the workflow calls them."""

    def __init__(self, ctx: ActivityContext, name: str, instance_type: str) -> None:
        """Take what is asked for; `make` asks."""
        self._ctx = ctx
        self._maker = ctx.provisioner.name
        self._environment = ActivityEnvironment()
        self.instance_type = instance_type
        self.ref = p.NodeClaimRef(name=name)
        self.owner_uid = str(uuid.uuid4())

    async def make(self, **spec: Any) -> None:
        """Create the object."""
        created = await self._ctx.cluster.create(
            NODE_CLAIMS,
            claim_object(
                self.ref.name,
                self.instance_type,
                self.owner_uid,
                provisioner=self._maker,
                **spec,
            ),
        )
        self.ref = p.NodeClaimRef(name=self.ref.name, uid=created["metadata"]["uid"])

    @contextmanager
    def served_by(self, provisioner: Provisioner) -> Iterator[None]:
        """Have another provisioner configured meanwhile."""
        own, self._ctx = self._ctx, replace(self._ctx, provisioner=provisioner)
        yield
        self._ctx = own

    async def delete(self) -> None:
        """Delete the object; its finalizer keeps it."""
        await self._ctx.cluster.delete(NODE_CLAIMS, self.ref.name)

    async def read(self) -> dict[str, Any] | None:
        """Return the object."""
        return await self._ctx.cluster.find(NODE_CLAIMS, self.ref.name)

    async def launch(self) -> p.LaunchResult:
        """Ask for the machine."""
        launched: p.LaunchResult = await self._run(
            Machines(self._ctx).launch_node, p.LaunchInput(claim=self.ref)
        )
        return launched

    async def wait(self, launched: p.LaunchResult, seconds: int = 60) -> p.AwaitInitializedResult:
        """Wait for the node."""
        joined: p.AwaitInitializedResult = await self._run(
            Machines(self._ctx).await_node_initialized,
            p.AwaitInitializedInput(
                claim=self.ref, deadline_seconds=seconds, operation_token=launched.operation_token
            ),
        )
        return joined

    async def report(self, **fields: Any) -> None:
        """Write conditions."""
        await self._run(
            Claims(self._ctx).report_node_claim, p.ReportNodeClaimInput(claim=self.ref, **fields)
        )

    async def terminate(self, seconds: int = 60) -> p.TeardownResult:
        """Give the machine back."""
        result: p.TeardownResult = await self._run(
            Machines(self._ctx).terminate_node,
            p.TerminateInput(claim=self.ref, deadline_seconds=seconds),
        )
        return result

    async def release(self) -> None:
        """Let the object go."""
        await self._run(Claims(self._ctx).release_node_claim, self.ref)

    async def _run(self, activity: Any, payload: Any) -> Any:
        environment = self._environment
        environment.info = replace(environment.info, scheduled_time=datetime.now(tz=UTC))
        return await environment.run(activity, payload)


def claim_object(
    name: str, instance_type: str, owner_uid: str, *, provisioner: str, **spec: Any
) -> dict[str, Any]:
    """Return a claim as the planner renders it, as far as provisioners look at it."""
    is_of_a_pool = provisioner in {"aks", "aks-arc"}
    return {
        "apiVersion": f"{names.KARPENTER_GROUP}/{names.KARPENTER_VERSION}",
        "kind": "NodeClaim",
        "metadata": {
            "name": name,
            "labels": {
                names.LABEL_WORKSPACE: "chat",
                names.LABEL_WORKSPACE_NAMESPACE: "default",
                names.LABEL_WORKSPACE_UID: owner_uid,
                names.LABEL_MANAGED_BY: names.MANAGED_BY,
                names.LABEL_NODE_POOL: names.NODE_POOL,
            },
            "annotations": {ANNOTATION_PROVISIONER: provisioner},
            "finalizers": [names.FINALIZER_NODE_CLAIM],
        },
        "spec": {
            "nodeClassRef": {
                "group": names.NODE_CLASS_GROUP,
                "kind": NODE_CLASS_KIND_AGENT_POOL if is_of_a_pool else "OneboxNodeClass",
                "name": "default",
            },
            "requirements": [
                {
                    "key": names.LABEL_INSTANCE_TYPE,
                    "operator": "In",
                    "values": [instance_type],
                },
                *spec.pop("requirements", []),
            ],
            "resources": {"requests": {"ephemeral-storage": "200Gi"}},
            "taints": [
                {
                    "key": names.TAINT_GPU_KEY,
                    "value": names.TAINT_GPU_VALUE,
                    "effect": "NoSchedule",
                }
            ],
            **spec,
        },
    }


@pytest_asyncio.fixture
async def claim(ctx: ActivityContext, subject: Subject) -> AsyncIterator[Claim]:
    made = Claim(ctx, f"ws{uuid.uuid4().hex[:10]}", subject.instance_type)
    await made.make()
    yield made
    await made.delete()
    await made.release()
