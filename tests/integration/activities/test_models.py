"""Models of Hugging Face: looked up once, recorded, and from then on nobody's hub is needed."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from activities.clients import hugging_face
from activities.clients.hugging_face import HuggingFaceClient
from activities.clients.kubernetes import (
    CONTROLLER_REVISIONS,
    NODE_CLAIMS,
    SECRETS,
    STATEFUL_SETS,
    WORKSPACES,
    KubernetesClient,
)
from activities.context import ActivityContext
from activities.workspace.adoption import Adoption
from activities.workspace.nodes import Nodes
from activities.workspace.workload import Workload
from api import names
from api import payloads as p
from api.preset import Catalogue
from tests import gen
from tests.integration.activities.conftest import Runner
from tests.integration.activities.fake_hub import WELCOME, FakeHub
from tests.integration.activities.story import Story, refusal

LLAMA = "NousResearch/Meta-Llama-3.1-8B"
GATED = "meta-llama/Llama-3.1-8B"
UNPINNED = "granite-4.1-8b"
INSTANCE_TYPE = "Standard_NC24ads_A100_v4"

Begin = Callable[..., Awaitable[Story]]


@pytest.fixture
def begin(
    ctx: ActivityContext, run: Runner, client: KubernetesClient, full_namespace: str
) -> Begin:
    """Apply a Workspace of a model."""

    async def apply(
        model: str, *, opened_by: str = "", name: str = "chat", **changes: Any
    ) -> Story:
        options = {"presetOptions": {"modelAccessSecret": opened_by}} if opened_by else {}
        created = await client.create(
            WORKSPACES,
            gen.workspace_object(
                namespace=full_namespace,
                name=name,
                instance_type=INSTANCE_TYPE,
                inference={"preset": {"name": model, **options}},
                **changes,
            ),
            full_namespace,
        )
        uid = created["metadata"]["uid"]
        return Story(ctx, run, p.WorkspaceRef(namespace=full_namespace, name=name, uid=uid))

    return apply


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client asks the hub each time, as workers that started a moment ago do."""
    monkeypatch.setattr(hugging_face, "REMEMBERED_SECONDS", 0.0)


async def rename(client: KubernetesClient, story: Story, model: str) -> None:
    await client.merge_patch(
        WORKSPACES,
        story.ref.name,
        {"inference": {"preset": {"name": model}}},
        story.ref.namespace,
    )


async def recorded(client: KubernetesClient, story: Story, revision: str) -> dict[str, Any]:
    found = await client.get(
        CONTROLLER_REVISIONS, names.workload_name(story.ref.name, revision), story.ref.namespace
    )
    data: dict[str, Any] = found["data"]
    return data


def offline(ctx: ActivityContext, folder: Path | str) -> ActivityContext:
    hub = HuggingFaceClient("http://127.0.0.1:9", cache_folder=str(folder), is_offline=True)
    return dataclasses.replace(ctx, hub=hub)


# --- A commit stays ---------------------------------------------------------------------------


async def test_a_model_of_the_hub_is_planned_like_one_of_the_catalogue(begin: Begin) -> None:
    plan = await (await begin(LLAMA)).plan()
    assert plan.problem is None
    assert plan.preset == plan.served_model_name == LLAMA.casefold()
    assert plan.runtime == "vllm"
    assert plan.node_count == 1
    assert plan.budget is not None
    assert p.Step.ENDPOINT in plan.steps


async def test_the_commit_and_the_facts_are_recorded_and_the_pods_are_made_from_them(
    begin: Begin, hub: FakeHub, client: KubernetesClient
) -> None:
    story = await begin(LLAMA)
    plan = await story.adopt()
    commit = hub[LLAMA].commit
    assert (await recorded(client, story, plan.revision))["preset"]["model"]["revision"] == commit
    hub.fails_with = 503
    hub.requests.clear()
    # Another worker, which remembers nothing.
    story.ctx.revisions._records.clear()
    await story.run(
        Workload(story.ctx).ensure_workload,
        p.EnsureWorkloadInput(**story.of(plan), node_names=["nowhere"]),
    )
    workload = await client.get(
        STATEFUL_SETS, names.workload_name(story.ref.name, plan.revision), story.ref.namespace
    )
    command = " ".join(workload["spec"]["template"]["spec"]["containers"][0]["command"])
    assert f"--model={LLAMA}" in command
    assert f"--revision={commit}" in command
    assert "--trust-remote-code" not in command
    assert hub.requests == []


async def test_a_branch_that_moves_rolls_nothing_and_nobody_asks_where_it_is(
    begin: Begin, hub: FakeHub
) -> None:
    story = await begin(LLAMA)
    first = await story.adopt()
    hub[LLAMA].message = "second"
    hub.requests.clear()
    assert (await story.plan()).revision == first.revision
    hub.fails_with = 503
    again = await story.plan()
    assert (again.revision, again.problem) == (first.revision, None)
    assert hub.requests == []


async def test_a_branch_that_moves_between_plan_and_adoption_is_planned_again(
    begin: Begin, hub: FakeHub
) -> None:
    story = await begin(LLAMA)
    plan = await story.plan()
    hub[LLAMA].message = "second"
    result = await story.run(
        Adoption(story.ctx).adopt_workspace,
        p.AdoptInput(workspace=story.ref, revision=plan.revision, generation=plan.generation),
    )
    assert result.superseded
    assert (await story.adopt()).revision != plan.revision


async def test_a_revision_that_the_user_names_wins_over_the_recorded_one(
    begin: Begin, hub: FakeHub, client: KubernetesClient
) -> None:
    story = await begin(LLAMA)
    first = await story.adopt()
    old = hub[LLAMA].commit
    hub[LLAMA].message = "second"
    await rename(client, story, f"{LLAMA}@{hub[LLAMA].commit}")
    second = await story.adopt()
    assert second.revision != first.revision
    data = await recorded(client, story, second.revision)
    assert data["preset"]["model"]["revision"] == hub[LLAMA].commit
    # Back to the branch: to the commit that it was taken at.
    await rename(client, story, LLAMA)
    third = await story.adopt()
    assert third.revision == first.revision
    assert (await recorded(client, story, third.revision))["preset"]["model"]["revision"] == old


async def test_another_spelling_of_the_same_model_is_the_same_revision(
    begin: Begin, client: KubernetesClient
) -> None:
    story = await begin(LLAMA)
    first = await story.adopt()
    await rename(client, story, f"{LLAMA.upper()}@main")
    assert (await story.plan()).revision == first.revision


# --- Refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "reason", "says"),
    [
        ("no/such", "UnknownModel", "inference.preset.name: "),
        (f"{LLAMA}@v9", "UnknownModel", "v9"),
        ("google-bert/bert-base-uncased", "UnsupportedModel", "BertForMaskedLM"),
        ("TheBloke/Llama-2-7B-GGUF", "UnsupportedModel", "GGUF files only"),
        (GATED, "ModelAccessDenied", "presetOptions.modelAccessSecret"),
    ],
)
async def test_a_model_that_can_not_be_had_is_a_problem_and_buys_nothing(
    begin: Begin, client: KubernetesClient, asked: str, reason: str, says: str
) -> None:
    story = await begin(asked)
    plan = await story.plan()
    assert plan.problem is not None
    assert plan.problem.reason == reason
    assert says in plan.problem.message
    assert (plan.uid, plan.steps, plan.claims) == (story.ref.uid, [], [])
    assert await client.list(NODE_CLAIMS, "", {names.LABEL_WORKSPACE_UID: story.ref.uid}) == []


async def test_a_hub_that_is_down_is_shown_and_asked_again(begin: Begin, hub: FakeHub) -> None:
    story = await begin(LLAMA)
    hub.fails_with = 503
    plan = await story.plan()
    assert plan.problem is not None
    assert plan.problem.reason == "HubUnavailable"
    assert (plan.found, plan.uid) == (True, story.ref.uid)
    hub.fails_with = None
    assert (await story.plan()).problem is None


async def test_a_hub_that_goes_down_before_the_adoption_is_an_error_of_its_class(
    begin: Begin, hub: FakeHub
) -> None:
    story = await begin(LLAMA)
    plan = await story.plan()
    hub.fails_with = 503
    error = await refusal(
        story.run(
            Adoption(story.ctx).adopt_workspace,
            p.AdoptInput(workspace=story.ref, revision=plan.revision, generation=plan.generation),
        )
    )
    assert (error.type, error.non_retryable) == ("HubUnavailable", True)


async def test_a_hub_that_is_down_hinders_no_deletion(
    begin: Begin, hub: FakeHub, client: KubernetesClient
) -> None:
    story = await begin(LLAMA, metadata={"finalizers": ["test.example/keep"]})
    hub.fails_with = 503
    await client.delete(WORKSPACES, story.ref.name, story.ref.namespace)
    plan = await story.plan()
    assert (plan.deleting, plan.problem) == (True, None)
    assert hub.requests == []
    await client.merge_patch(
        WORKSPACES, story.ref.name, {"metadata": {"finalizers": []}}, story.ref.namespace
    )


async def test_what_is_wrong_with_the_spec_itself_is_said_first(begin: Begin, hub: FakeHub) -> None:
    hub.fails_with = 503
    story = await begin(LLAMA, resource={"labelSelector": {"matchLabels": {"apps": "no label!"}}})
    plan = await story.plan()
    assert plan.problem is not None
    assert "labelSelector" in plan.problem.message
    assert plan.problem.reason != "HubUnavailable"


# --- Tokens -----------------------------------------------------------------------------------


def secret(name: str, data: dict[str, str]) -> dict[str, Any]:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"metadata": {"name": name}, "data": encoded}


async def test_the_token_of_the_secret_opens_a_gated_model_and_is_written_nowhere(
    begin: Begin, hub: FakeHub, client: KubernetesClient, full_namespace: str
) -> None:
    await client.create(SECRETS, secret("hub", {"HF_TOKEN": f"{WELCOME}\n"}), full_namespace)
    story = await begin(GATED, opened_by="hub")
    plan = await story.adopt()
    assert plan.problem is None
    assert set(hub.tokens) == {f"Bearer {WELCOME}"}
    data = await recorded(client, story, plan.revision)
    assert data["preset"]["model"]["gated"]
    assert WELCOME not in json.dumps(data) + plan.model_dump_json()


async def test_a_token_that_is_refused_is_told_apart_from_none(
    begin: Begin, client: KubernetesClient, full_namespace: str
) -> None:
    await client.create(SECRETS, secret("hub", {"HF_TOKEN": "hf_wrong"}), full_namespace)
    plan = await (await begin(GATED, opened_by="hub")).plan()
    assert plan.problem is not None
    assert plan.problem.reason == "ModelAccessDenied"
    assert "Invalid credentials" in plan.problem.message
    assert "hf_wrong" not in plan.problem.message


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "Secret {namespace}/hub does not exist"),
        ({"TOKEN": "x"}, "key HF_TOKEN of Secret {namespace}/hub does not exist"),
        ({"HF_TOKEN": " "}, "key HF_TOKEN of Secret {namespace}/hub does not exist"),
        ({"HF_TOKEN": "a\r\nHost: evil"}, "key HF_TOKEN of Secret {namespace}/hub does not exist"),
        ({"HF_TOKEN": "töken"}, "key HF_TOKEN of Secret {namespace}/hub does not exist"),
    ],
)
async def test_a_secret_without_a_token_is_named(
    begin: Begin,
    client: KubernetesClient,
    full_namespace: str,
    data: dict[str, str] | None,
    says: str,
) -> None:
    if data is not None:
        await client.create(SECRETS, secret("hub", data), full_namespace)
    plan = await (await begin(GATED, opened_by="hub")).plan()
    assert plan.problem is not None
    assert plan.problem.reason == "MissingReference"
    assert says.format(namespace=full_namespace) in plan.problem.message


# --- The catalogue ----------------------------------------------------------------------------


async def test_a_gated_entry_is_not_begun_before_its_token_is_there(
    begin: Begin, hub: FakeHub, client: KubernetesClient, full_namespace: str
) -> None:
    await client.create(SECRETS, secret("hub", {"TOKEN": "misnamed"}), full_namespace)
    story = await begin("llama-3.1-8b-instruct", opened_by="hub")
    plan = await story.plan()
    assert plan.problem is not None
    assert f"key HF_TOKEN of Secret {full_namespace}/hub does not exist" in plan.problem.message
    await client.apply(
        SECRETS,
        {"apiVersion": "v1", "kind": "Secret", **secret("hub", {"HF_TOKEN": WELCOME})},
        full_namespace,
    )
    assert (await story.plan()).problem is None
    assert hub.requests == []


@pytest.fixture
def unpinned(ctx: ActivityContext) -> ActivityContext:
    """A platform whose catalogue does not say which commit of one model it means."""
    entry = ctx.catalogue.get(UNPINNED)
    assert entry is not None
    model = entry.model.model_copy(update={"revision": ""})
    instance_types = tuple(ctx.catalogue.instance_types.values())
    catalogue = Catalogue.of((entry.model_copy(update={"model": model}),), instance_types)
    return dataclasses.replace(ctx, catalogue=catalogue)


async def test_an_entry_with_a_commit_needs_no_hub(begin: Begin, hub: FakeHub) -> None:
    hub.fails_with = 503
    assert (await (await begin("phi-4")).plan()).problem is None
    assert hub.requests == []


async def test_an_entry_without_a_commit_gets_one_and_keeps_it(
    begin: Begin, unpinned: ActivityContext, hub: FakeHub, client: KubernetesClient
) -> None:
    story = await begin(UNPINNED)
    story.ctx = unpinned
    first = await story.adopt()
    commit = hub["ibm-granite/granite-4.1-8b"].commit
    data = await recorded(client, story, first.revision)
    assert data["preset"]["model"]["revision"] == commit
    assert data["preset"]["name"] == UNPINNED
    hub["ibm-granite/granite-4.1-8b"].message = "second"
    hub.fails_with = 503
    again = await story.plan()
    assert (again.revision, again.problem) == (first.revision, None)


async def test_an_entry_without_a_commit_waits_for_the_hub(
    begin: Begin, unpinned: ActivityContext, hub: FakeHub
) -> None:
    hub.fails_with = 503
    story = await begin(UNPINNED)
    story.ctx = unpinned
    plan = await story.plan()
    assert plan.problem is not None
    assert plan.problem.reason == "HubUnavailable"


async def test_where_the_hub_is_never_asked_an_entry_is_served_without_a_commit_for_good(
    begin: Begin, unpinned: ActivityContext, hub: FakeHub
) -> None:
    story = await begin(UNPINNED)
    story.ctx = offline(unpinned, "")
    first = await story.adopt()
    assert first.problem is None
    story.ctx = unpinned
    assert (await story.plan()).revision == first.revision
    assert hub.requests == []


async def test_a_folder_of_descriptions_is_enough_for_a_model_of_the_hub(
    begin: Begin, ctx: ActivityContext, hub: FakeHub, tmp_path: Path
) -> None:
    online = HuggingFaceClient(hub.base_url, cache_folder=str(tmp_path))
    try:
        await online.model(LLAMA, "main")
    finally:
        await online.close()
    hub.fails_with = 503
    story = await begin(LLAMA)
    story.ctx = offline(ctx, tmp_path)
    assert (await story.adopt()).problem is None
    story = await begin("Qwen/Qwen2.5-7B-Instruct", name="other")
    story.ctx = offline(ctx, tmp_path)
    plan = await story.plan()
    assert plan.problem is not None
    assert str(tmp_path / "qwen--qwen2.5-7b-instruct" / "refs" / "main") in plan.problem.message


# --- What else costs no new revision ----------------------------------------------------------


async def test_a_claim_is_paid_for_as_its_plan_says_and_no_revision_says_so(
    begin: Begin, client: KubernetesClient
) -> None:
    story = await begin("phi-4")
    first = await story.adopt()
    await client.merge_patch(
        WORKSPACES, story.ref.name, {"resource": {"capacityType": "spot"}}, story.ref.namespace
    )
    plan = await story.plan()
    assert plan.revision == first.revision
    # This machine sells no spot; where it is sold, the plan says so.
    assert {claim.capacity_type for claim in plan.claims} == {"on-demand"}
    claims = [claim.model_copy(update={"capacity_type": "spot"}) for claim in plan.claims]
    await story.run(
        Nodes(story.ctx).ensure_node_claims,
        p.EnsureNodeClaimsInput(**story.of(plan), claims=claims),
    )
    claim = await client.get(NODE_CLAIMS, plan.claims[0].name)
    asked = {one["key"]: one["values"] for one in claim["spec"]["requirements"]}
    assert asked[names.LABEL_CAPACITY_TYPE] == ["spot"]
    # Nobody serves the claims of this test.
    await client.merge_patch(NODE_CLAIMS, plan.claims[0].name, {"metadata": {"finalizers": []}})
    await client.delete(NODE_CLAIMS, plan.claims[0].name)
