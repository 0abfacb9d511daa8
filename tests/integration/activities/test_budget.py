"""What counts against the budget of replacements comes from the payload, not from the process."""

from __future__ import annotations

import pytest_asyncio

from activities.clients.kubernetes import NODE_CLAIMS, WORKSPACES, KubernetesClient
from activities.context import ActivityContext
from activities.workspace.nodes import Nodes
from activities.workspace.planning import Planning
from api import payloads as p
from tests import gen
from tests.harness.waiting import eventually
from tests.integration.activities.conftest import Runner
from tests.integration.activities.story import Story


@pytest_asyncio.fixture
async def story(
    client: KubernetesClient, full_namespace: str, ctx: ActivityContext, run: Runner
) -> Story:
    """A Workspace for which nothing was done yet."""
    body = gen.workspace_object(namespace=full_namespace, name="chat")
    created = await client.create(WORKSPACES, body, full_namespace)
    uid = created["metadata"]["uid"]
    return Story(ctx, run, p.WorkspaceRef(namespace=full_namespace, name="chat", uid=uid))


async def planned_elsewhere(story: Story, before: p.WorkspacePlan) -> p.WorkspacePlan:
    """Plan as a worker does that has never seen this Workspace."""
    assert before.recent_claims is not None
    payload = p.PlanInput(workspace=story.ref, recent_claims=before.recent_claims)
    plan: p.WorkspacePlan = await story.run(Planning(story.ctx).plan_workspace, payload)
    return plan


async def test_a_claim_that_came_up_and_is_gone_is_told_from_plan_to_plan(
    story: Story, client: KubernetesClient
) -> None:
    first = await story.adopt()
    assert first.recent_claims == {}
    await story.nodes(first)
    name = first.claims[0].name
    uid = (await client.get(NODE_CLAIMS, name))["metadata"]["uid"]
    up = await planned_elsewhere(story, first)
    assert list(up.recent_claims or {}) == [uid]
    release = p.ReleaseClaimsInput(workspace=story.ref, claim_names=[name])
    await story.run(Nodes(story.ctx).release_surplus_claims, release)
    # As the claim's own workflow does at the end.
    await client.merge_patch(NODE_CLAIMS, name, {"metadata": {"finalizers": None}})

    async def is_gone() -> bool:
        return story.ctx.informers.node_claims.get(name) is None

    await eventually(is_gone, what="the claim gone")
    gone = await planned_elsewhere(story, up)
    assert gone.recent_claims == up.recent_claims
