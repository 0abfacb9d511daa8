"""The steps of a Workspace in the order in which the workflows take them."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.clients.kubernetes import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    NODE_CLAIMS,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    KubernetesClient,
)
from activities.context import ActivityContext
from activities.node_claim.claim import Claims
from activities.node_claim.machine import Machines
from activities.workspace.adoption import Adoption
from activities.workspace.endpoint import Endpoint
from activities.workspace.images import Images
from activities.workspace.nodes import Nodes
from activities.workspace.planning import Planning
from activities.workspace.reading import owned_by
from activities.workspace.traffic import Traffic
from activities.workspace.workload import Workload
from api import payloads as p
from tests.integration.activities.conftest import Runner


class Story:
    """Drives the steps in order, as the workflows do."""

    def __init__(self, ctx: ActivityContext, run: Runner, ref: p.WorkspaceRef) -> None:
        self.ctx, self.run, self.ref = ctx, run, ref

    async def plan(self) -> p.WorkspacePlan:
        plan: p.WorkspacePlan = await self.run(
            Planning(self.ctx).plan_workspace, p.PlanInput(workspace=self.ref)
        )
        return plan

    async def adopt(self) -> p.WorkspacePlan:
        plan = await self.plan()
        result = await self.run(
            Adoption(self.ctx).adopt_workspace,
            p.AdoptInput(workspace=self.ref, revision=plan.revision, generation=plan.generation),
        )
        assert not result.superseded
        return plan

    def of(self, plan: p.WorkspacePlan) -> dict[str, Any]:
        return {"workspace": self.ref, "revision": plan.revision}

    async def serve_claim(self, name: str) -> None:
        """What the NodeClaim's own workflow does."""
        claim = p.NodeClaimRef(name=name)
        launched = await self.run(Machines(self.ctx).launch_node, p.LaunchInput(claim=claim))
        joined = await self.run(
            Machines(self.ctx).await_node_initialized,
            p.AwaitInitializedInput(claim=claim, deadline_seconds=60),
        )
        await self.run(
            Claims(self.ctx).report_node_claim,
            p.ReportNodeClaimInput(
                claim=claim,
                launched=True,
                registered=True,
                initialized=True,
                provider_id=launched.provider_id,
                node_name=joined.node_name,
            ),
        )

    async def nodes(self, plan: p.WorkspacePlan) -> list[str]:
        await self.run(
            Nodes(self.ctx).ensure_node_claims,
            p.EnsureNodeClaimsInput(**self.of(plan), claims=plan.claims),
        )
        for claim in plan.claims:
            await self.serve_claim(claim.name)
        result = await self.run(
            Nodes(self.ctx).await_nodes,
            p.AwaitNodesInput(
                **self.of(plan),
                claim_names=[claim.name for claim in plan.claims],
                existing_nodes=plan.existing_nodes,
                deadline_seconds=60,
            ),
        )
        names_: list[str] = result.node_names
        return names_

    async def all_steps(self) -> p.WorkspacePlan:
        plan = await self.adopt()
        node_names = await self.nodes(plan)
        await self.run(
            Images(self.ctx).pull_images,
            p.PullImagesInput(**self.of(plan), node_names=node_names, deadline_seconds=60),
        )
        workload = await self.run(
            Workload(self.ctx).ensure_workload,
            p.EnsureWorkloadInput(**self.of(plan), node_names=node_names),
        )
        ready = await self.run(
            Workload(self.ctx).await_workload,
            p.AwaitWorkloadInput(**self.of(plan), replicas=workload.replicas, deadline_seconds=60),
        )
        if p.Step.ENDPOINT in plan.steps:
            await self.run(
                Endpoint(self.ctx).verify_endpoint,
                p.VerifyEndpointInput(
                    **self.of(plan),
                    served_model_name=plan.served_model_name,
                    pod_names=ready.pod_names,
                    deadline_seconds=30,
                ),
            )
        await self.run(Traffic(self.ctx).ensure_traffic, p.RevisionInput(**self.of(plan)))
        return plan


async def refusal(call: Awaitable[Any]) -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        await call
    return caught.value


async def world(client: KubernetesClient, ref: p.WorkspaceRef) -> dict[str, str]:
    """Every object that carries the Workspace's uid, with its resource version."""
    found = {}
    for kind in (SERVICES, STATEFUL_SETS, PODS, CONFIG_MAPS, CONTROLLER_REVISIONS):
        for obj in await client.list(kind, ref.namespace, owned_by(ref)):
            found[f"{kind.kind}/{obj['metadata']['name']}"] = obj["metadata"]["resourceVersion"]
    for obj in await client.list(NODE_CLAIMS, "", owned_by(ref)):
        found[f"NodeClaim/{obj['metadata']['name']}"] = obj["metadata"]["resourceVersion"]
    return found
