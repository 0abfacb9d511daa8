"""Offers on a real API server: a refusal is read at once, given back, and asked otherwise."""

from __future__ import annotations

import asyncio
import time

import pytest
import pytest_asyncio

from activities.clients.kubernetes import NODE_CLAIMS, WORKSPACES, KubernetesClient
from activities.context import ActivityContext
from activities.node_claim.claim import Claims
from activities.workspace.nodes import OLD_FAILURE_SECONDS, Nodes
from activities.workspace.planning import Planning
from api import names
from api import payloads as p
from tests import gen
from tests.harness.waiting import eventually
from tests.integration.activities.conftest import Runner
from tests.integration.activities.story import Story, refusal

MAX_SECONDS_TO_READ = 1.0
"""A guess: an informer hears of a change within 0.1 s."""

LONG_AGO = "2026-01-01T00:00:00Z"


@pytest_asyncio.fixture
async def ref(client: KubernetesClient, full_namespace: str) -> p.WorkspaceRef:
    """A Workspace with a second type to run on."""
    resource = {"fallbackInstanceTypes": ["onebox.large"]}
    body = gen.workspace_object(namespace=full_namespace, name="chat", resource=resource)
    created = await client.create(WORKSPACES, body, full_namespace)
    return p.WorkspaceRef(namespace=full_namespace, name="chat", uid=created["metadata"]["uid"])


@pytest.fixture
def story(ctx: ActivityContext, run: Runner, ref: p.WorkspaceRef) -> Story:
    return Story(ctx, run, ref)


async def asked(story: Story, plan: p.WorkspacePlan) -> None:
    await story.run(
        Nodes(story.ctx).ensure_node_claims,
        p.EnsureNodeClaimsInput(**story.of(plan), claims=plan.claims),
    )


async def refuse(story: Story, name: str) -> None:
    problem = p.Problem(reason="QuotaExceeded", message="0 of 24 vCPUs left")
    report = p.ReportNodeClaimInput(claim=p.NodeClaimRef(name=name), problem=problem)
    await story.run(Claims(story.ctx).report_node_claim, report)


async def age(story: Story, client: KubernetesClient, name: str) -> None:
    """Let the claim's failure be of long ago."""
    obj = await client.get(NODE_CLAIMS, name)
    conditions = [{**one, "lastTransitionTime": LONG_AGO} for one in obj["status"]["conditions"]]
    await client.merge_patch(
        NODE_CLAIMS, name, {"status": {"conditions": conditions}}, subresource="status"
    )

    async def is_seen() -> bool:
        seen = story.ctx.informers.node_claims.get(name) or {}
        return bool(seen.get("status", {}).get("conditions") == conditions)

    await eventually(is_seen, what="the old failure in the informer")


def wait_for(story: Story, plan: p.WorkspacePlan) -> asyncio.Future[object]:
    claim_names = [claim.name for claim in plan.claims]
    payload = p.AwaitNodesInput(**story.of(plan), claim_names=claim_names, deadline_seconds=60)
    return asyncio.ensure_future(story.run(Nodes(story.ctx).await_nodes, payload))


async def test_a_refusal_is_read_at_once_and_the_next_offer_asks_for_another_claim(
    story: Story, client: KubernetesClient
) -> None:
    first = await story.adopt()
    assert first.offer is not None
    assert first.may_fall_back
    await asked(story, first)
    waiting = wait_for(story, first)
    await asyncio.sleep(0)
    begun = time.monotonic()
    await refuse(story, first.claims[0].name)
    error = await refusal(waiting)
    assert error.type == "QuotaExceeded"
    assert time.monotonic() - begun < MAX_SECONDS_TO_READ
    release = p.ReleaseClaimsInput(workspace=story.ref, claim_names=[first.claims[0].name])
    await story.run(Nodes(story.ctx).release_surplus_claims, release)
    failed = p.FailedOffer(offer=first.offer, reason=error.type, message=error.message)
    second: p.WorkspacePlan = await story.run(
        Planning(story.ctx).plan_workspace,
        p.PlanInput(workspace=story.ref, failed_offers=[failed]),
    )
    assert second.revision == first.revision
    assert second.instance_type == "onebox.large"
    await asked(story, second)
    obj = await client.get(NODE_CLAIMS, second.claims[0].name)
    wanted = {one["key"]: one["values"] for one in obj["spec"]["requirements"]}
    assert wanted[names.LABEL_INSTANCE_TYPE] == ["onebox.large"]


async def test_a_failure_of_an_earlier_attempt_is_not_the_answer_to_this_one(
    story: Story, ctx: ActivityContext, client: KubernetesClient
) -> None:
    plan = await story.adopt()
    await asked(story, plan)
    name = plan.claims[0].name
    await refuse(story, name)
    await age(story, client, name)
    waiting = wait_for(story, plan)
    await story.run(
        Claims(ctx).report_node_claim, p.ReportNodeClaimInput(claim=p.NodeClaimRef(name=name))
    )
    await story.serve_claim(name)
    result = await waiting
    assert isinstance(result, p.AwaitNodesResult)
    assert result.node_names


async def test_a_failure_that_nobody_takes_back_is_the_answer_after_a_while(
    story: Story, client: KubernetesClient
) -> None:
    plan = await story.adopt()
    await asked(story, plan)
    name = plan.claims[0].name
    await refuse(story, name)
    await age(story, client, name)
    begun = time.monotonic()
    error = await refusal(wait_for(story, plan))
    assert error.type == "QuotaExceeded"
    assert time.monotonic() - begun >= OLD_FAILURE_SECONDS - 1
    assert any("failed before this attempt" in said for said in story.run.sentences)
