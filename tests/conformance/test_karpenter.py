"""The suite's claims for Karpenter, whose machines are had by claims and not by calls.

A cluster of its own: Karpenter's CRDs stand where our chart's NodeClaim would. Declared exceptions:

- "operations", "another worker": there is no operation of ours to find again; the claim is all.
- "late": what fails late is a claim that Karpenter takes away, told here beside early refusals.
- "strangers": names of claims are the API server's; a second one of the name can't be made.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
import yaml

from activities.clients.kubernetes import (
    CRDS,
    EVENTS,
    NODE_CLAIMS,
    NODES,
    WORKSPACES,
    Kind,
    KubernetesClient,
)
from activities.context import ActivityContext, ActivitySettings, open_context
from activities.provisioners import karpenter as karpenter_module
from activities.provisioners.karpenter import KarpenterProvisioner
from activities.workspace import karpenter_claims
from activities.workspace.nodes import Nodes
from activities.workspace.planning import Planning
from activities.workspace.teardown import Teardown
from api import names
from api import payloads as p
from api.errors import AccessDenied, NotReadyYet, ProviderFailed
from planner.render import render_node_claim
from planner.render.node_class import NodeClass, render_node_class
from planner.world import PlatformSettings
from presets.loader import load_catalogue
from tests import gen
from tests.emulators.karpenter import (
    AKS_NODE_CLASSES,
    EC2_NODE_CLASSES,
    NO_TYPE,
    Karpenter,
    Refusal,
)
from tests.emulators.karpenter_crds import (
    aks_node_class_crd,
    ec2_node_class_crd,
    node_claim_crd,
)
from tests.harness.cluster import CRD_FOLDER, ROOT, Cluster
from tests.harness.waiting import eventually
from tests.integration.activities.conftest import Runner
from tests.integration.activities.story import Story, refusal

FIRST: Final = "Standard_NC24ads_A100_v4"
SECOND: Final = "Standard_NC48ads_A100_v4"

MAX_SECONDS_TO_SECOND_REQUEST: Final = 2.0
"""The platform's own promise (issue 5)."""

GOLDEN: Final = ROOT / "tests/golden/__snapshots__/test_manifests"

AZURE: Final = NodeClass(create=True)
AWS: Final = NodeClass(
    group="karpenter.k8s.aws", kind="EC2NodeClass", create=True, cluster_name="models"
)


# --- the cluster and who works in it --------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def karpenters_cluster() -> AsyncIterator[Cluster]:
    """A real API server as Karpenter's installation leaves it."""
    async with Cluster(with_crds=False).running() as running:
        crds = [node_claim_crd(), aks_node_class_crd(), ec2_node_class_crd(), workspace_crd()]
        async with running.client() as client:
            for crd in crds:
                await client.apply(CRDS, crd)
            for crd in crds:
                await running._wait_served(client, crd)
        yield running


def workspace_crd() -> dict[str, Any]:
    crd: dict[str, Any] = yaml.safe_load(Path(CRD_FOLDER / "kaito.sh_workspaces.yaml").read_text())
    return crd


@pytest_asyncio.fixture
async def client(karpenters_cluster: Cluster) -> AsyncIterator[KubernetesClient]:
    async with karpenters_cluster.client() as connected:
        yield connected
        for kind in (AKS_NODE_CLASSES, EC2_NODE_CLASSES):
            for one in await connected.list(kind):
                await connected.delete(kind, one["metadata"]["name"])


@pytest.fixture(params=[AZURE, AWS], ids=["azure", "aws"])
def node_class(request: pytest.FixtureRequest) -> NodeClass:
    asked: NodeClass = request.param
    return asked


@pytest_asyncio.fixture
async def karpenter(
    karpenters_cluster: Cluster, client: KubernetesClient, node_class: NodeClass
) -> AsyncIterator[Karpenter]:
    kind = AKS_NODE_CLASSES if node_class.kind == "AKSNodeClass" else EC2_NODE_CLASSES
    async with Karpenter(karpenters_cluster, kind) as running:
        yield running
        for claim in await client.list(NODE_CLAIMS):
            metadata = claim["metadata"]
            await client.merge_patch(
                NODE_CLAIMS, metadata["name"], {"metadata": {"finalizers": []}}
            )
            await client.delete(NODE_CLAIMS, metadata["name"])


@pytest_asyncio.fixture
async def ctx(client: KubernetesClient, node_class: NodeClass) -> AsyncIterator[ActivityContext]:
    platform = PlatformSettings(
        provisioner="karpenter",
        image_registry="registry.test",
        node_class_group=node_class.group,
        node_class_kind=node_class.kind,
        node_class_name=node_class.name,
    )
    settings = ActivitySettings(platform=platform, node_class=node_class)
    async with open_context(settings, client, load_catalogue()) as opened:
        yield opened


@pytest.fixture
def provisioner(ctx: ActivityContext) -> KarpenterProvisioner:
    found = ctx.provisioner
    assert isinstance(found, KarpenterProvisioner)
    return found


@pytest.fixture
def run() -> Runner:
    return Runner()


@pytest.fixture
def resource() -> dict[str, Any]:
    """What the Workspace asks for beyond its first type."""
    return {}


@pytest_asyncio.fixture
async def story(
    ctx: ActivityContext,
    run: Runner,
    client: KubernetesClient,
    karpenters_cluster: Cluster,
    resource: dict[str, Any],
) -> Story:
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    await karpenters_cluster.create_namespace(namespace)
    body = gen.workspace_object(
        namespace=namespace, preset="phi-4", instance_type=FIRST, resource=resource
    )
    created = await client.create(WORKSPACES, body, namespace)
    ref = p.WorkspaceRef(namespace=namespace, name="chat", uid=created["metadata"]["uid"])
    return Story(ctx, run, ref)


# --- steps, as the workflows take them ------------------------------------------------------------


async def ask(story: Story, plan: p.WorkspacePlan) -> list[str]:
    """Make the claims; a node class that was made a moment ago gets its retries."""

    async def once() -> p.EnsureNodeClaimsResult | None:
        payload = p.EnsureNodeClaimsInput(**story.of(plan), claims=plan.claims)
        try:
            made: p.EnsureNodeClaimsResult = await story.run(
                Nodes(story.ctx).ensure_node_claims, payload
            )
        except Exception as error:
            if getattr(error, "type", "") != "NotReadyYet":
                raise
            return None
        return made

    result = await eventually(once, what="the claims")
    assert result is not None
    return result.created


async def wait(story: Story, plan: p.WorkspacePlan) -> list[str]:
    claim_names = [claim.name for claim in plan.claims]
    payload = p.AwaitNodesInput(**story.of(plan), claim_names=claim_names, deadline_seconds=60)
    result: p.AwaitNodesResult = await story.run(Nodes(story.ctx).await_nodes, payload)
    return result.node_names


async def tear_down(story: Story) -> list[str]:
    """Delete the claims, and return what the proof finds."""
    payload = p.TeardownInput(workspace=story.ref, deadline_seconds=30)
    await story.run(Teardown(story.ctx).delete_node_claims, payload)
    proof: p.ProofResult = await story.run(Teardown(story.ctx).prove_deleted, payload)
    return [left for left in proof.leftovers if not left.startswith("ControllerRevision/")]


async def fall_back(story: Story, plan: p.WorkspacePlan, error: Any) -> p.WorkspacePlan:
    assert plan.offer is not None
    failed = p.FailedOffer(offer=plan.offer, reason=error.type, message=error.message)
    release = p.ReleaseClaimsInput(
        workspace=story.ref, claim_names=[claim.name for claim in plan.claims]
    )
    await story.run(Nodes(story.ctx).release_surplus_claims, release)
    after: p.WorkspacePlan = await story.run(
        Planning(story.ctx).plan_workspace,
        p.PlanInput(workspace=story.ref, failed_offers=[failed]),
    )
    return after


def requirement(claim: Mapping[str, Any], key: str) -> list[str]:
    return next(one["values"] for one in claim["spec"]["requirements"] if one["key"] == key)


# --- machines come and go -------------------------------------------------------------------------


async def test_a_claim_becomes_a_node_that_shows_its_gpus_and_goes_without_a_trace(
    story: Story, karpenter: Karpenter, client: KubernetesClient
) -> None:
    plan = await story.adopt()
    await ask(story, plan)

    (node_name,) = await wait(story, plan)

    node = await client.get(NODES, node_name)
    assert node["status"]["allocatable"][names.GPU_RESOURCE] == "1"
    assert node["metadata"]["labels"][names.LABEL_WORKSPACE_UID] == story.ref.uid
    assert [one["key"] for one in node["spec"]["taints"]] == ["sku"]
    assert karpenter.alive() == [plan.claims[0].name]
    assert await tear_down(story) == []
    assert karpenter.alive() == []
    assert await client.find(NODES, node_name) is None


async def test_asking_twice_buys_one(story: Story, karpenter: Karpenter) -> None:
    plan = await story.adopt()
    created = await ask(story, plan)
    assert await ask(story, plan) == []
    await wait(story, plan)
    assert created == [claim.name for claim in plan.claims]
    assert len(karpenter.instances) == 1


async def test_a_claim_that_is_deleted_while_its_machine_comes_leaves_nothing(
    story: Story, karpenter: Karpenter
) -> None:
    karpenter.boot_seconds = 60.0
    plan = await story.adopt()
    await ask(story, plan)
    await eventually(_async(karpenter.alive), what="a launch")

    assert await tear_down(story) == []

    assert karpenter.alive() == []
    assert len(karpenter.instances) == 1


def _async(ask_now: Any) -> Any:
    async def asked() -> Any:
        return ask_now()

    return asked


async def test_a_node_counts_when_its_gpus_show_and_no_sooner(
    story: Story, karpenter: Karpenter
) -> None:
    karpenter.gpu_seconds = 60.0
    plan = await story.adopt()
    await ask(story, plan)
    waiting = asyncio.ensure_future(wait(story, plan))
    await eventually(
        _async(lambda: any("shows its GPUs" in said for said in story.run.sentences)),
        what="the node that lacks its GPUs",
    )
    assert not waiting.done()
    karpenter.gpu_seconds = 0.0
    assert len(await waiting) == 1


async def test_karpenter_takes_our_claims_as_they_are(client: KubernetesClient) -> None:
    (path,) = GOLDEN.glob("*spot-node-of-karpenter*.yaml")
    body = next(yaml.safe_load_all(path.read_text()))
    body["metadata"]["name"] = f"ws{uuid.uuid4().hex[:10]}"
    created = await client.create(NODE_CLAIMS, body)
    await client.delete(NODE_CLAIMS, body["metadata"]["name"])
    assert created["spec"] == body["spec"]


# --- refusals -------------------------------------------------------------------------------------


async def test_a_refusal_is_one_of_capacity_in_the_providers_words(
    story: Story, karpenter: Karpenter, client: KubernetesClient
) -> None:
    words = "insufficient capacity, with fleet error(s), UnfulfillableCapacity: no room"
    karpenter.refusals.append(Refusal(words))
    plan = await story.adopt()
    await ask(story, plan)

    error = await refusal(wait(story, plan))

    assert error.type == "InsufficientCapacity"
    assert words in error.message
    assert error.non_retryable
    assert karpenter.instances == []
    await _until_gone(client, plan)


async def _until_gone(client: KubernetesClient, plan: p.WorkspacePlan) -> None:
    async def is_gone() -> bool:
        return await client.find(NODE_CLAIMS, plan.claims[0].name) is None

    await eventually(is_gone, what="the end of the refused claim")


@pytest.mark.parametrize(
    ("reason", "message", "expected"),
    [
        ("SubscriptionQuotaReached", "vCPU quota has been reached", "QuotaExceeded"),
        ("CreateInstanceFailed", "unable to allocate resources in zone 1", "InsufficientCapacity"),
        ("LaunchFailed", "UnauthorizedOperation: not authorized", "AccessDenied"),
        ("LaunchFailed", "launch template, boom", "ProviderFailed"),
    ],
)
async def test_a_launch_that_karpenter_tries_again_is_told_at_once(
    story: Story, karpenter: Karpenter, reason: str, message: str, expected: str
) -> None:
    karpenter.refusals.append(Refusal(message, reason=reason))
    plan = await story.adopt()
    await ask(story, plan)

    error = await refusal(wait(story, plan))

    assert error.type == expected
    assert f"{reason}: {message}" in error.message
    assert await tear_down(story) == []


async def test_a_launch_that_was_throttled_is_waited_for(
    story: Story, karpenter: Karpenter
) -> None:
    throttled = Refusal("RequestLimitExceeded: slow down", reason="LaunchFailed")
    karpenter.refusals.append(throttled)
    plan = await story.adopt()
    await ask(story, plan)
    waiting = asyncio.ensure_future(wait(story, plan))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    karpenter.refusals.clear()
    assert len(await waiting) == 1


async def test_a_claim_that_was_taken_away_without_a_word_ends_the_wait(
    story: Story, karpenter: Karpenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(karpenter_claims, "EVENT_SECONDS", 0.2)
    karpenter.sends_events = False
    karpenter.refusals.append(Refusal())
    plan = await story.adopt()
    await ask(story, plan)

    error = await refusal(wait(story, plan))

    assert error.type == "InsufficientCapacity"
    assert "no Event says why" in error.message


async def test_a_machine_that_never_joins_is_given_up_when_karpenter_gives_it_up(
    story: Story, karpenter: Karpenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(karpenter_claims, "EVENT_SECONDS", 0.2)
    karpenter.joins = False
    karpenter.registration_seconds = 0.5
    plan = await story.adopt()
    await ask(story, plan)

    error = await refusal(wait(story, plan))

    assert error.type == "InsufficientCapacity"
    assert "without a node" in error.message
    assert karpenter.alive() == []


async def test_news_of_an_earlier_claim_of_the_name_are_not_news_of_this_one(
    client: KubernetesClient, provisioner: KarpenterProvisioner
) -> None:
    name = f"ws{uuid.uuid4().hex[:10]}"
    asked_at = datetime.now(tz=UTC)
    await client.create(EVENTS, _event(name, "of long ago", "2026-01-01T00:00:00Z"), "default")
    assert await provisioner.find_refusal(name, since=asked_at) is None

    await client.create(EVENTS, _event(name, "of now", asked_at.isoformat()), "default")

    assert str(await provisioner.find_refusal(name, since=asked_at)) == "of now"
    assert await provisioner.find_refusal("wsanother", since=asked_at) is None


def _event(claim: str, message: str, last_seen: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{claim}.{uuid.uuid4().hex[:16]}"},
        "involvedObject": {"kind": "NodeClaim", "name": claim},
        "type": "Warning",
        "reason": "InsufficientCapacityError",
        "message": message,
        "lastTimestamp": last_seen,
    }


async def test_a_disk_that_is_too_small_is_named_as_a_possible_cause(
    story: Story, karpenter: Karpenter, client: KubernetesClient, node_class: NodeClass
) -> None:
    small = replace(node_class, disk_gib=30)
    await client.create(karpenter.kind, render_node_class(small))
    plan = await story.adopt()
    await ask(story, plan)

    error = await refusal(wait(story, plan))

    assert NO_TYPE in error.message
    assert "too small a disk" in error.message


# --- the next offer -------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", [{"fallbackInstanceTypes": [SECOND]}])
async def test_the_second_types_node_is_asked_for_within_two_seconds_of_the_refusal(
    story: Story, karpenter: Karpenter
) -> None:
    karpenter.refusals.append(Refusal(instance_type=FIRST))
    first = await story.adopt()
    await ask(story, first)
    error = await refusal(wait(story, first))
    begun = time.monotonic()

    second = await fall_back(story, first, error)
    await ask(story, second)

    assert time.monotonic() - begun < MAX_SECONDS_TO_SECOND_REQUEST
    assert second.instance_type == SECOND
    assert len(await wait(story, second)) == 1
    assert karpenter.alive() == [second.claims[0].name]
    assert karpenter.refused == [first.claims[0].name]


@pytest.mark.parametrize("resource", [{"capacityType": "spot-with-fallback"}])
async def test_where_spot_is_sold_out_the_node_is_bought_on_demand(
    story: Story, karpenter: Karpenter, client: KubernetesClient
) -> None:
    karpenter.refusals.append(Refusal(capacity_type="spot"))
    spot = await story.adopt()
    await ask(story, spot)
    error = await refusal(wait(story, spot))

    on_demand = await fall_back(story, spot, error)
    await ask(story, on_demand)

    assert len(await wait(story, on_demand)) == 1
    claim = await client.get(NODE_CLAIMS, on_demand.claims[0].name)
    assert requirement(claim, names.LABEL_CAPACITY_TYPE) == ["on-demand"]
    assert [one.wanted[names.LABEL_CAPACITY_TYPE] for one in karpenter.instances] == ["on-demand"]


# --- the node class -------------------------------------------------------------------------------


async def test_the_node_class_is_made_when_asked_and_left_alone_afterwards(
    provisioner: KarpenterProvisioner, karpenter: Karpenter, client: KubernetesClient
) -> None:
    await _prepare(provisioner)
    made = await client.get(karpenter.kind, "default")
    assert made["metadata"]["labels"][names.LABEL_MANAGED_BY] == names.MANAGED_BY
    labels = {"metadata": {"labels": {"mine": "now"}}}
    await client.merge_patch(karpenter.kind, "default", labels)
    version = (await client.get(karpenter.kind, "default"))["metadata"]["resourceVersion"]

    another = KarpenterProvisioner(client, provisioner._node_class)
    await another.prepare()

    kept = await client.get(karpenter.kind, "default")
    assert kept["metadata"]["resourceVersion"] == version


async def _prepare(provisioner: KarpenterProvisioner, name: str = "") -> None:
    async def once() -> bool:
        try:
            await provisioner.prepare(name)
        except NotReadyYet:
            return False
        return True

    await eventually(once, what="the node class ready")


async def test_many_workers_make_one_node_class(
    karpenter: Karpenter, client: KubernetesClient, node_class: NodeClass
) -> None:
    await asyncio.gather(*(_prepare(KarpenterProvisioner(client, node_class)) for _ in range(5)))
    assert len(await client.list(karpenter.kind)) == 1


async def test_a_node_class_that_is_missing_is_said_with_what_helps(
    karpenter: Karpenter, client: KubernetesClient, node_class: NodeClass
) -> None:
    provisioner = KarpenterProvisioner(client, replace(node_class, create=False))
    with pytest.raises(ProviderFailed, match="KAITO_NODE_CLASS_CREATE"):
        await provisioner.prepare()
    # Only the class of the settings is ours to make.
    with pytest.raises(ProviderFailed, match="NodeClass 'another', which new NodeClaims name"):
        await KarpenterProvisioner(client, node_class).prepare("another")
    assert await client.list(karpenter.kind) == []


async def test_without_karpenter_the_message_says_so(client: KubernetesClient) -> None:
    absent = NodeClass(group="karpenter.example", kind="ExampleNodeClass")
    with pytest.raises(ProviderFailed, match="install Karpenter"):
        await KarpenterProvisioner(client, absent).prepare()


async def test_a_node_class_that_stays_unready_is_told_in_its_own_words(
    karpenter: Karpenter,
    client: KubernetesClient,
    node_class: NodeClass,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    karpenter.node_class_problem = "no subnets found"
    provisioner = KarpenterProvisioner(client, node_class)
    with pytest.raises(NotReadyYet):
        await provisioner.prepare()
    monkeypatch.setattr(karpenter_module, "READY_SECONDS", 0.0)

    async def words() -> str:
        with pytest.raises(ProviderFailed) as failed:
            await provisioner.prepare()
        return str(failed.value)

    await eventually(words, what="its words", accept=lambda said: "no subnets found" in said)


async def test_a_ready_node_class_is_not_looked_at_for_each_claim(
    karpenter: Karpenter, client: KubernetesClient, node_class: NodeClass
) -> None:
    now = 0.0
    provisioner = KarpenterProvisioner(client, node_class, clock=lambda: now)
    await _prepare(provisioner)
    asked: list[tuple[str, str]] = []
    client.observe_requests(lambda verb, plural: asked.append((verb, plural)))

    def looks() -> int:
        return asked.count(("get", provisioner._kind.plural))

    await provisioner.prepare()
    assert looks() == 0
    now = karpenter_module.CHECKED_SECONDS
    await provisioner.prepare()
    assert looks() == 1


# --- ownership ------------------------------------------------------------------------------------


async def test_only_claims_with_the_tags_are_listed(
    story: Story, provisioner: KarpenterProvisioner, karpenter: Karpenter
) -> None:
    plan = await story.adopt()
    await ask(story, plan)
    mine = {names.LABEL_WORKSPACE_UID: story.ref.uid}
    assert await provisioner.list_owned(mine) == [plan.claims[0].name]
    assert await provisioner.list_owned({names.LABEL_WORKSPACE_UID: "nobody"}) == []
    # As the sweep asks.
    ours = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_WORKSPACE: "chat"}
    assert plan.claims[0].name in await provisioner.list_owned(ours)
    assert await provisioner.list_owned({names.LABEL_MANAGED_BY: "somebody"}) == []


async def test_what_was_never_asked_for_is_not_there_and_may_be_ended(
    provisioner: KarpenterProvisioner,
) -> None:
    assert await provisioner.observe("wsnobody") is None
    await provisioner.terminate("wsnobody")


async def test_a_machine_is_seen_running_and_ended_by_its_claim(
    story: Story, provisioner: KarpenterProvisioner, karpenter: Karpenter
) -> None:
    plan = await story.adopt()
    await ask(story, plan)
    await wait(story, plan)
    name = plan.claims[0].name
    machine = await provisioner.observe(name)
    assert machine is not None
    assert machine.state == "running"
    assert machine.provider_id == karpenter.instances[0].provider_id

    await provisioner.terminate(name)

    await eventually(
        lambda: provisioner.observe(name), what="its end", accept=lambda found: found is None
    )
    assert karpenter.alive() == []


async def test_nobody_says_gone_of_a_machine_that_another_provisioner_made(
    provisioner: KarpenterProvisioner, client: KubernetesClient
) -> None:
    name = f"ws{uuid.uuid4().hex[:10]}"
    body = render_node_claim(gen.workspace(), gen.claim(name), gen.preset(), gen.settings())
    await client.create(NODE_CLAIMS, body)
    for refused in (provisioner.observe, provisioner.terminate):
        with pytest.raises(ProviderFailed, match="another KAITO_PROVISIONER"):
            await refused(name)
    await client.merge_patch(NODE_CLAIMS, name, {"metadata": {"finalizers": []}})
    await client.delete(NODE_CLAIMS, name)


# --- rights ---------------------------------------------------------------------------------------


async def test_a_missing_right_is_named(
    karpenters_cluster: Cluster, client: KubernetesClient, node_class: NodeClass, tmp_path: Path
) -> None:
    kubeconfig = await _kubeconfig_of_nobody(karpenters_cluster, client, tmp_path)
    async with KubernetesClient.connect(str(kubeconfig)) as nobody:
        provisioner = KarpenterProvisioner(nobody, node_class)
        with pytest.raises(AccessDenied, match="grant its account"):
            await provisioner.prepare()
        # Events only add words, so a platform without them still knows what happened.
        assert await provisioner.find_refusal("ws1", since=datetime.now(tz=UTC)) is None


async def _kubeconfig_of_nobody(cluster: Cluster, client: KubernetesClient, folder: Path) -> Path:
    """Return the configuration of an account without any right."""
    name = f"nobody-{uuid.uuid4().hex[:6]}"
    await client.create(
        Kind("", "v1", "serviceaccounts", "ServiceAccount"), {"metadata": {"name": name}}, "default"
    )
    token = await client.create(
        Kind("", "v1", f"serviceaccounts/{name}/token", "TokenRequest"),
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        "default",
    )
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token["status"]["token"]}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return path
