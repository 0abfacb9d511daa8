"""The steps of a Workspace: each is done twice, and the second time changes nothing."""

from __future__ import annotations

import pytest

from activities.clients.kubernetes import (
    EVENTS,
    NODE_CLAIMS,
    SERVICES,
    WORKSPACES,
    KubernetesClient,
)
from activities.context import ActivityContext
from activities.node_claim.claim import Claims
from activities.node_claim.machine import Machines
from activities.workspace.adoption import Adoption
from activities.workspace.endpoint import Endpoint
from activities.workspace.nodes import Nodes
from activities.workspace.planning import Planning
from activities.workspace.reporting import Reporting
from activities.workspace.teardown import Teardown
from activities.workspace.traffic import Traffic
from api import names
from api import payloads as p
from tests import gen
from tests.harness.model_stub import ModelStub
from tests.harness.node_cloud import NodeCloud
from tests.integration.activities.conftest import Runner
from tests.integration.activities.story import Story, refusal, world


@pytest.fixture
def story(ctx: ActivityContext, run: Runner, ref: p.WorkspaceRef) -> Story:
    return Story(ctx, run, ref)


async def test_a_workspace_is_served_and_a_second_pass_writes_nothing(
    story: Story, client: KubernetesClient, ref: p.WorkspaceRef, cloud: NodeCloud
) -> None:
    first = await story.all_steps()
    before = await world(client, ref)
    assert (await story.plan()).steps == []
    second = await story.all_steps()
    assert second.revision == first.revision
    assert await world(client, ref) == before
    assert len([line for line in cloud.ledger if line.startswith("create")]) == 1
    service = await client.get(SERVICES, ref.name, ref.namespace)
    assert service["spec"]["selector"][names.LABEL_REVISION] == first.revision
    assert {port["port"] for port in service["spec"]["ports"]} == {80, 29500}


async def test_the_finalizer_and_the_revision_come_before_the_first_resource(
    story: Story, client: KubernetesClient, ref: p.WorkspaceRef
) -> None:
    plan = await story.adopt()
    obj = await client.get(WORKSPACES, ref.name, ref.namespace)
    assert names.FINALIZER_WORKSPACE in obj["metadata"]["finalizers"]
    assert set(await world(client, ref)) == {
        f"ControllerRevision/{names.workload_name(ref.name, plan.revision)}"
    }


async def test_a_spec_that_was_edited_after_planning_is_not_adopted(
    story: Story, ctx: ActivityContext, run: Runner, client: KubernetesClient, ref: p.WorkspaceRef
) -> None:
    plan = await story.plan()
    await client.merge_patch(WORKSPACES, ref.name, {"resource": {"count": 2}}, ref.namespace)
    result = await run(
        Adoption(ctx).adopt_workspace,
        p.AdoptInput(workspace=ref, revision=plan.revision, generation=plan.generation),
    )
    assert result.superseded
    assert await world(client, ref) == {}


async def test_only_surplus_claims_of_this_very_workspace_are_given_up(
    story: Story, ctx: ActivityContext, run: Runner, client: KubernetesClient, ref: p.WorkspaceRef
) -> None:
    plan = await story.adopt()
    await run(
        Nodes(ctx).ensure_node_claims,
        p.EnsureNodeClaimsInput(**story.of(plan), claims=plan.claims),
    )
    name = plan.claims[0].name
    somebody = ref.model_copy(update={"uid": "00000000-somebody-else"})
    theirs = p.ReleaseClaimsInput(workspace=somebody, claim_names=[name])
    assert (await run(Nodes(ctx).release_surplus_claims, theirs)).released == []
    ours = p.ReleaseClaimsInput(workspace=ref, claim_names=[name])
    assert (await run(Nodes(ctx).release_surplus_claims, ours)).released == [name]
    assert (await run(Nodes(ctx).release_surplus_claims, ours)).released == []
    assert (await client.get(NODE_CLAIMS, name))["metadata"]["deletionTimestamp"]


async def test_capacity_that_runs_out_comes_back_by_its_class(
    story: Story, ctx: ActivityContext, run: Runner, cloud: NodeCloud
) -> None:
    cloud.node_limit = 0
    plan = await story.adopt()
    await run(
        Nodes(ctx).ensure_node_claims,
        p.EnsureNodeClaimsInput(**story.of(plan), claims=plan.claims),
    )
    claim = p.NodeClaimRef(name=plan.claims[0].name)
    error = await refusal(run(Machines(ctx).launch_node, p.LaunchInput(claim=claim)))
    assert (error.type, error.non_retryable) == ("InsufficientCapacity", True)
    await run(
        Claims(ctx).report_node_claim,
        p.ReportNodeClaimInput(
            claim=claim, problem=p.Problem(reason=error.type, message=error.message)
        ),
    )
    error = await refusal(
        run(
            Nodes(ctx).await_nodes,
            p.AwaitNodesInput(**story.of(plan), claim_names=[claim.name], deadline_seconds=30),
        )
    )
    assert error.type == "InsufficientCapacity"
    assert claim.name in error.message


async def test_a_wait_that_runs_out_says_what_it_saw_and_what_to_do(
    story: Story, ctx: ActivityContext, run: Runner
) -> None:
    plan = await story.adopt()
    await run(
        Nodes(ctx).ensure_node_claims,
        p.EnsureNodeClaimsInput(**story.of(plan), claims=plan.claims),
    )
    error = await refusal(
        run(
            Nodes(ctx).await_nodes,
            p.AwaitNodesInput(
                **story.of(plan),
                claim_names=[claim.name for claim in plan.claims],
                deadline_seconds=1,
            ),
        )
    )
    assert error.type == "DeadlineExceeded"
    assert "0 of 1 nodes ready" in error.message
    assert "kubectl describe nodeclaim" in error.message
    assert run.sentences


async def test_a_server_that_serves_another_model_fails_verification(
    story: Story, ctx: ActivityContext, run: Runner, model: ModelStub
) -> None:
    model.model = "something-else"
    plan = await story.adopt()
    error = await refusal(
        run(
            Endpoint(ctx).verify_endpoint,
            p.VerifyEndpointInput(
                **story.of(plan), served_model_name="smollm2-135m-instruct", deadline_seconds=10
            ),
        )
    )
    assert error.type == "RuntimeFailed"
    assert "something-else" in error.message


async def test_a_service_of_somebody_else_is_never_taken_over(
    story: Story, ctx: ActivityContext, run: Runner, client: KubernetesClient, ref: p.WorkspaceRef
) -> None:
    await client.create(
        SERVICES,
        {"metadata": {"name": ref.name}, "spec": {"ports": [{"port": 80}]}},
        ref.namespace,
    )
    plan = await story.adopt()
    error = await refusal(run(Traffic(ctx).ensure_traffic, p.RevisionInput(**story.of(plan))))
    assert error.type == "InvalidWorkspace"
    assert "metadata.name" in error.message


async def test_a_missing_config_map_is_named_with_its_remedy(
    ctx: ActivityContext, run: Runner, client: KubernetesClient, full_namespace: str
) -> None:
    created = await client.create(
        WORKSPACES,
        gen.workspace_object(
            namespace=full_namespace, name="configured", inference={"config": "absent"}
        ),
        full_namespace,
    )
    ref = p.WorkspaceRef(
        namespace=full_namespace, name="configured", uid=created["metadata"]["uid"]
    )
    plan = await run(Planning(ctx).plan_workspace, p.PlanInput(workspace=ref))
    assert plan.problem is not None
    assert plan.problem.reason == "MissingReference"
    assert f"{full_namespace}/absent" in plan.problem.message


async def test_a_status_is_written_once_and_an_event_once(
    story: Story, ctx: ActivityContext, run: Runner, client: KubernetesClient, ref: p.WorkspaceRef
) -> None:
    plan = await story.adopt()
    report = p.ReportInput(
        workspace=ref,
        generation=plan.generation,
        phase=p.LifecyclePhase.PROVISIONING,
        revision=plan.revision,
        preset=plan.preset,
        instance_type=plan.instance_type,
        timeline=[p.StepRecord(step=p.Step.NODES, state=p.StepState.RUNNING, seconds=1.0)],
        events=[p.EventNote(reason="Started", message="bringing up nodes", key="start")],
    )
    assert (await run(Reporting(ctx).report_status, report)).written
    written = await client.get(WORKSPACES, ref.name, ref.namespace)
    assert written["status"]["phase"] == "Provisioning"
    assert not (await run(Reporting(ctx).report_status, report)).written
    again = await client.get(WORKSPACES, ref.name, ref.namespace)
    assert again["metadata"]["resourceVersion"] == written["metadata"]["resourceVersion"]
    events = [
        event
        for event in await client.list(EVENTS, ref.namespace)
        if event["involvedObject"].get("uid") == ref.uid
    ]
    assert [event["reason"] for event in events] == ["Started"]


async def test_teardown_removes_all_proves_it_and_only_then_lets_go(
    story: Story, ctx: ActivityContext, run: Runner, client: KubernetesClient, ref: p.WorkspaceRef
) -> None:
    plan = await story.all_steps()
    await client.delete(WORKSPACES, ref.name, ref.namespace)
    target = p.TeardownInput(workspace=ref, deadline_seconds=60)
    leftovers = (await run(Teardown(ctx).prove_deleted, target)).leftovers
    assert {one.split("/")[0] for one in leftovers} >= {
        "Service",
        "StatefulSet",
        "Pod",
        "NodeClaim",
        "Node",
        "onebox machine",
    }
    await run(Teardown(ctx).delete_workloads, target)
    assert {name.split("/")[0] for name in await world(client, ref)} == {"NodeClaim"}

    # The claim's own workflow gives the machine back when the claim is deleted.
    claim = p.NodeClaimRef(name=plan.claims[0].name)
    await client.delete(NODE_CLAIMS, claim.name)
    await run(Machines(ctx).terminate_node, p.TerminateInput(claim=claim, deadline_seconds=60))
    await run(Claims(ctx).release_node_claim, claim)
    await run(Teardown(ctx).delete_node_claims, target)

    assert (await run(Teardown(ctx).prove_deleted, target)).leftovers == []
    assert await client.find(WORKSPACES, ref.name, ref.namespace) is not None
    await run(Teardown(ctx).release_workspace, target)
    assert await client.find(WORKSPACES, ref.name, ref.namespace) is None
    assert (await run(Teardown(ctx).release_workspace, target)).removed == []


async def test_a_cold_start_writes_each_object_once(story: Story, client: KubernetesClient) -> None:
    seen: list[str] = []
    client.observe_requests(lambda verb, plural: seen.append(f"{verb} {plural}"))
    await story.all_steps()
    writes = [one for one in seen if one.split()[0] not in {"get", "list", "watch"}]
    assert sorted(writes) == [
        "create controllerrevisions",
        "create nodeclaims",
        "create pods",
        "create services",
        "create statefulsets",
        "delete pods",
        "patch nodeclaims",
        "patch workspaces",
    ]
