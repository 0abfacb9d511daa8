"""What a sweep concludes from lists: nothing from gaps, and deletions from proof only."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import names
from api.payloads import (
    RepairOutcome,
    RepairStrayResult,
    Stray,
    StrayAction,
    StrayKind,
    WorkspaceRef,
)
from planner import strays
from planner.strays import GRACE, ClaimSeen, Listing, MachineSeen, Scene, WorkspaceSeen, find_strays

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)
CHAT = WorkspaceRef(namespace="default", name="chat", uid="u1")
CHAT_WORKFLOW = names.workspace_workflow_id("default", "chat")

WORKSPACE = WorkspaceSeen(ref=CHAT, created_at=LONG_AGO, has_finalizer=True)
CLAIM = ClaimSeen(
    name="wsa",
    uid="c1",
    owner=CHAT,
    is_served_by_us=True,
    has_finalizer=True,
    created_at=LONG_AGO,
)
CLAIM_WORKFLOW = names.node_claim_workflow_id("wsa")
MACHINE = MachineSeen("wsa")

WELL = Scene(
    now=NOW,
    workspaces=Listing((WORKSPACE,)),
    claims=Listing((CLAIM,)),
    machines=Listing((MACHINE,)),
    workflow_ids=Listing((CHAT_WORKFLOW, CLAIM_WORKFLOW)),
)
NOBODY: Listing[Any] = Listing()
UNKNOWN: Listing[Any] = Listing(problem="the API server does not answer")


def with_changes(scene: Scene, changes: dict[str, Any]) -> Scene:
    return replace(scene, **changes)


def found(scene: Scene, suspects: tuple[Stray, ...] = ()) -> list[tuple[StrayKind, StrayAction]]:
    return [(one.kind, one.action) for one in find_strays(scene, suspects).strays]


def aged(scene: Scene, age: timedelta = GRACE) -> Scene:
    return replace(scene, now=scene.now + age)


def deletions(scene: Scene) -> list[Stray]:
    """Everything that would be deleted if the world stayed as it is for long."""
    first = find_strays(scene).strays
    assert all(one.action is not StrayAction.DELETE for one in first), "deleted at first sight"
    second = find_strays(aged(scene), first).strays
    return [one for one in second if one.action is StrayAction.DELETE]


def test_where_everything_is_in_its_place_nothing_is_found() -> None:
    assert found(WELL) == []
    assert find_strays(WELL).counts == {}
    assert WELL.blind_spots() == []


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        (
            {"workflow_ids": Listing((CLAIM_WORKFLOW,))},
            [(StrayKind.WORKSPACE_WITHOUT_WORKFLOW, StrayAction.START)],
        ),
        (
            {"workflow_ids": Listing((CHAT_WORKFLOW,))},
            [(StrayKind.CLAIM_WITHOUT_WORKFLOW, StrayAction.START)],
        ),
        (
            {"claims": NOBODY, "machines": NOBODY},
            [(StrayKind.WORKFLOW_WITHOUT_CLAIM, StrayAction.WAKE)],
        ),
        (
            {"workspaces": NOBODY, "claims": NOBODY, "machines": NOBODY},
            [
                (StrayKind.WORKFLOW_WITHOUT_WORKSPACE, StrayAction.WAKE),
                (StrayKind.WORKFLOW_WITHOUT_CLAIM, StrayAction.WAKE),
            ],
        ),
        (
            {"workspaces": NOBODY, "workflow_ids": Listing((CLAIM_WORKFLOW,))},
            [(StrayKind.CLAIM_WITHOUT_OWNER, StrayAction.WAIT)],
        ),
        (
            {
                "workspaces": NOBODY,
                "claims": NOBODY,
                "workflow_ids": NOBODY,
            },
            [(StrayKind.MACHINE_WITHOUT_CLAIM, StrayAction.WAIT)],
        ),
        # Its Workspace exists, and may ask for the claim again at any moment.
        (
            {
                "claims": NOBODY,
                "workflow_ids": Listing((CHAT_WORKFLOW,)),
                "machines": Listing((MachineSeen("wsa", live_owner=CHAT),)),
            },
            [(StrayKind.MACHINE_WITHOUT_CLAIM, StrayAction.WAKE)],
        ),
        # Made a moment ago: the watcher is about to start its workflow.
        (
            {
                "workspaces": Listing((replace(WORKSPACE, created_at=NOW),)),
                "claims": Listing((replace(CLAIM, created_at=NOW),)),
                "workflow_ids": NOBODY,
            },
            [],
        ),
        # On their way out, and nothing of ours holds them.
        (
            {
                "workspaces": Listing((replace(WORKSPACE, is_deleting=True, has_finalizer=False),)),
                "claims": Listing((replace(CLAIM, is_deleting=True, has_finalizer=False),)),
                "workflow_ids": NOBODY,
            },
            [],
        ),
        # On their way out, and only a workflow can let them go.
        (
            {
                "workspaces": Listing((replace(WORKSPACE, is_deleting=True),)),
                "claims": Listing((replace(CLAIM, is_deleting=True),)),
                "workflow_ids": NOBODY,
            },
            [
                (StrayKind.WORKSPACE_WITHOUT_WORKFLOW, StrayAction.START),
                (StrayKind.CLAIM_WITHOUT_WORKFLOW, StrayAction.START),
            ],
        ),
        # Karpenter serves it, and upstream's controller made it.
        (
            {
                "claims": Listing((replace(CLAIM, is_served_by_us=False, owner=None),)),
                "workspaces": NOBODY,
                "workflow_ids": NOBODY,
            },
            [],
        ),
        # Another namespace is another installation's.
        (
            {
                "workspaces": NOBODY,
                "machines": NOBODY,
                "workflow_ids": Listing((CHAT_WORKFLOW, CLAIM_WORKFLOW)),
                "namespace": "elsewhere",
            },
            [],
        ),
    ],
    ids=[
        "workspace-without-workflow",
        "claim-without-workflow",
        "workflow-without-claim",
        "workflows-without-anything",
        "claim-without-owner",
        "machine-without-claim",
        "machine-of-a-living-workspace",
        "young",
        "going-by-itself",
        "going-and-held",
        "not-ours",
        "other-namespace",
    ],
)
def test_each_kind_is_found_and_first_judged_with_care(
    changes: dict[str, Any], kinds: list[tuple[StrayKind, StrayAction]]
) -> None:
    assert found(replace(WELL, **changes)) == kinds


ORPHANS = replace(
    WELL,
    workspaces=NOBODY,
    machines=Listing((MACHINE, MachineSeen("wsb"))),
    workflow_ids=Listing((CLAIM_WORKFLOW,)),
)


def test_a_stray_is_deleted_when_its_grace_period_is_over_and_not_before() -> None:
    first = find_strays(ORPHANS).strays
    assert [(one.name, one.action) for one in first] == [
        ("wsb", StrayAction.WAIT),
        ("wsa", StrayAction.WAIT),
    ]
    early = find_strays(aged(ORPHANS, GRACE - timedelta(seconds=1)), first).strays
    assert {one.action for one in early} == {StrayAction.WAIT}
    late = find_strays(aged(ORPHANS), early).strays
    assert {one.action for one in late} == {StrayAction.DELETE}
    assert {one.first_seen_at for one in late} == {NOW}
    assert all(one.evidence for one in late)


def test_another_claim_of_the_same_name_has_a_grace_period_of_its_own() -> None:
    first = find_strays(ORPHANS).strays
    anew = replace(aged(ORPHANS), claims=Listing((replace(CLAIM, uid="c2"),)))
    assert (StrayKind.CLAIM_WITHOUT_OWNER, StrayAction.WAIT) in found(anew, first)


def test_a_time_to_come_ends_no_grace_period() -> None:
    first = [
        one.model_copy(update={"first_seen_at": NOW + timedelta(days=1)})
        for one in find_strays(ORPHANS).strays
    ]
    assert {one.action for one in find_strays(ORPHANS, first).strays} == {StrayAction.WAIT}


@pytest.mark.parametrize("blind", ["workspaces", "claims", "machines", "workflow_ids"])
def test_what_was_not_seen_is_said_and_nothing_is_concluded_from_it(blind: str) -> None:
    scene = with_changes(ORPHANS, {blind: UNKNOWN})
    (said,) = scene.blind_spots()
    assert "does not answer" in said
    kinds = {one.kind for one in deletions(scene)}
    if blind in {"workspaces", "claims"}:
        assert kinds == set()
    if blind == "machines":
        assert kinds == {StrayKind.CLAIM_WITHOUT_OWNER}


def test_a_cluster_that_does_not_answer_looks_like_nothing_at_all() -> None:
    scene = replace(ORPHANS, workspaces=UNKNOWN, claims=UNKNOWN)
    assert found(scene) == []


def test_more_than_one_sweep_can_treat_are_counted_and_the_rest_is_left() -> None:
    many = tuple(
        WorkspaceSeen(ref=WorkspaceRef(namespace="default", name=f"w{n}", uid=str(n)))
        for n in range(strays.MAX_STRAYS + 50)
    )
    findings = find_strays(Scene(now=NOW, workspaces=Listing(many)))
    assert len(findings.strays) == strays.MAX_STRAYS
    assert findings.counts == {StrayKind.WORKSPACE_WITHOUT_WORKFLOW: len(many)}


# --- Properties -------------------------------------------------------------------------------

UIDS = st.sampled_from(["u1", "u2", "u3"])
REFS = st.builds(
    WorkspaceRef,
    namespace=st.sampled_from(["default", "other"]),
    name=st.sampled_from(["chat", "code"]),
    uid=UIDS,
)
CLAIM_NAMES = st.sampled_from(["wsa", "wsb", "wsc"])
TIMES = st.none() | st.sampled_from([LONG_AGO, NOW, NOW + timedelta(hours=1)])
PROBLEMS = st.sampled_from(["", "", "", "cut short"])


def listings(items: st.SearchStrategy[Any], key: Any) -> st.SearchStrategy[Listing[Any]]:
    many = st.lists(items, max_size=4, unique_by=key).map(tuple)
    return st.builds(Listing, many, PROBLEMS)


WORKSPACES = st.builds(
    WorkspaceSeen, REFS, created_at=TIMES, is_deleting=st.booleans(), has_finalizer=st.booleans()
)
CLAIMS = st.builds(
    ClaimSeen,
    CLAIM_NAMES,
    st.sampled_from(["c1", "c2"]),
    st.none() | REFS,
    is_served_by_us=st.booleans(),
    is_deleting=st.booleans(),
    has_finalizer=st.booleans(),
    created_at=TIMES,
)
SCENES = st.builds(
    Scene,
    st.just(NOW),
    workspaces=listings(WORKSPACES, lambda one: (one.ref.namespace, one.ref.name)),
    claims=listings(CLAIMS, lambda one: one.name),
    machines=listings(
        st.builds(MachineSeen, CLAIM_NAMES, live_owner=st.none() | REFS), lambda one: one.name
    ),
    workflow_ids=listings(st.sampled_from([CHAT_WORKFLOW, CLAIM_WORKFLOW, "other"]), str),
    namespace=st.sampled_from(["", "default"]),
)


@given(SCENES)
def test_nothing_is_deleted_whose_owner_exists_or_may_exist(scene: Scene) -> None:
    for one in deletions(scene):
        assert scene.workspaces.is_complete
        if one.kind is StrayKind.CLAIM_WITHOUT_OWNER:
            assert one.owner is not None
            assert one.owner.uid not in {other.ref.uid for other in scene.workspaces.items}
            assert scene.namespace in {"", one.owner.namespace}
        else:
            assert one.kind is StrayKind.MACHINE_WITHOUT_CLAIM
            assert scene.claims.is_complete
            assert scene.machines.is_complete
            assert one.name not in {claim.name for claim in scene.claims.items}
            (machine,) = [each for each in scene.machines.items if each.name == one.name]
            assert machine.live_owner is None


@given(SCENES, st.sampled_from(["workspaces", "claims"]))
def test_hiding_workspaces_or_claims_never_leads_to_a_deletion(scene: Scene, hidden: str) -> None:
    """An API server that is gone, or one of a stopped cluster, proves nothing."""
    blind = with_changes(scene, {hidden: UNKNOWN})
    kinds = {one.kind for one in deletions(blind)}
    assert StrayKind.MACHINE_WITHOUT_CLAIM not in kinds
    if hidden == "workspaces":
        assert kinds == set()


@given(SCENES)
def test_only_those_two_kinds_are_ever_deleted(scene: Scene) -> None:
    assert {one.kind for one in deletions(scene)} <= {
        StrayKind.CLAIM_WITHOUT_OWNER,
        StrayKind.MACHINE_WITHOUT_CLAIM,
    }


# --- The look just before -----------------------------------------------------------------------


def claim_object(**changes: Any) -> dict[str, Any]:
    labels = {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_WORKSPACE: "chat",
        names.LABEL_WORKSPACE_NAMESPACE: "default",
        names.LABEL_WORKSPACE_UID: "u1",
    }
    metadata = {
        "name": "wsa",
        "uid": "c1",
        "labels": labels,
        "finalizers": [names.FINALIZER_NODE_CLAIM],
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    node_class = {
        "group": names.NODE_CLASS_GROUP,
        "kind": names.NODE_CLASS_KIND_ONEBOX,
        "name": "default",
    }
    return {"metadata": {**metadata, **changes}, "spec": {"nodeClassRef": node_class}}


CLAIM_STRAY = Stray(
    kind=StrayKind.CLAIM_WITHOUT_OWNER,
    action=StrayAction.DELETE,
    name="wsa",
    uid="c1",
    owner=CHAT,
)
MACHINE_STRAY = Stray(kind=StrayKind.MACHINE_WITHOUT_CLAIM, action=StrayAction.DELETE, name="wsa")
WAITING = {"action": StrayAction.WAIT}


def assert_says(said: RepairStrayResult | None, reason: str) -> None:
    """No reason: it may be deleted. What is gone has passed by itself; the rest is kept."""
    if not reason:
        assert said is None
        return
    assert said is not None
    assert reason in said.message
    is_passed = reason in {"gone", "going"}
    assert said.outcome is (RepairOutcome.PASSED if is_passed else RepairOutcome.KEPT)


@pytest.mark.parametrize(
    ("stray", "claim", "workspace", "reason"),
    [
        (CLAIM_STRAY, claim_object(), None, ""),
        (CLAIM_STRAY, claim_object(), {"metadata": {"uid": "another"}}, ""),
        (CLAIM_STRAY, claim_object(), {"metadata": {"uid": "u1"}}, "exists"),
        (CLAIM_STRAY, claim_object(uid="c2"), None, "gone"),
        (CLAIM_STRAY, claim_object(deletionTimestamp="2026-01-01T00:00:00Z"), None, "going"),
        (CLAIM_STRAY, claim_object(labels={}), None, "another Workspace"),
        (CLAIM_STRAY.model_copy(update=WAITING), claim_object(), None, "grace"),
    ],
)
def test_a_claim_is_looked_at_once_more(
    stray: Stray, claim: dict[str, Any], workspace: dict[str, Any] | None, reason: str
) -> None:
    said = strays.objection_to_deleting_claim(stray, claim, workspace)
    assert_says(said, reason)


@pytest.mark.parametrize(
    ("stray", "claim", "state", "reason"),
    [
        (MACHINE_STRAY, None, "running", ""),
        (MACHINE_STRAY, None, "creating", ""),
        (MACHINE_STRAY, None, "failed", ""),
        (MACHINE_STRAY, None, "stopped", "stopped"),
        (MACHINE_STRAY, None, "deleting", "going"),
        (MACHINE_STRAY, None, "", "gone"),
        (MACHINE_STRAY, claim_object(), "running", "NodeClaim exists"),
        (MACHINE_STRAY.model_copy(update={"owner": CHAT}), None, "running", "Workspace exists"),
        (MACHINE_STRAY.model_copy(update=WAITING), None, "running", "grace"),
    ],
)
def test_a_machine_is_looked_at_once_more(
    stray: Stray, claim: dict[str, Any] | None, state: str, reason: str
) -> None:
    said = strays.objection_to_ending_machine(stray, claim, state)
    assert_says(said, reason)


# --- Reading ------------------------------------------------------------------------------------


def test_objects_are_read_as_they_come() -> None:
    seen = strays.claim_seen(claim_object())
    assert seen == replace(CLAIM, created_at=datetime(2026, 1, 1, tzinfo=UTC))
    workspace = strays.workspace_seen(
        {
            "metadata": {
                "namespace": "default",
                "name": "chat",
                "uid": "u1",
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "finalizers": [names.FINALIZER_WORKSPACE],
                "creationTimestamp": "yesterday",
            }
        }
    )
    assert workspace == WorkspaceSeen(ref=CHAT, is_deleting=True, has_finalizer=True)


def test_a_claim_that_lacks_a_mark_of_ours_has_no_owner_that_could_be_gone() -> None:
    marks = claim_object()["metadata"]["labels"]
    for mark in marks:
        labels = {key: value for key, value in marks.items() if key != mark}
        assert strays.claim_seen(claim_object(labels=labels)).owner is None
