"""Hints: which changes wake whom, and which stay silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import names
from api.payloads import DesiredChanged, NodeClaimRef, WorkspaceRef
from api.workflow_inputs import NodeClaimWorkflowInput, WorkspaceWorkflowInput
from planner.hints import Hint, merge, owned_hints, workspace_hints
from tests.unit.planner import objects

WORKSPACE_ID = "workspace/default/llm"
CLAIM_ID = "nodeclaim/ws0123456789"


def ids(hints: tuple[Hint, ...]) -> list[str]:
    return [hint.workflow_id for hint in hints]


# --- Workspaces -----------------------------------------------------------------------------------


def test_a_workspace_that_appears_starts_its_workflow() -> None:
    assert workspace_hints("ADDED", objects.workspace(generation=2)) == (
        Hint(
            workflow=names.WORKSPACE_WORKFLOW,
            workflow_id=WORKSPACE_ID,
            payload=DesiredChanged(
                uid="uid-1", generation=2, resource_version="7", cause="Workspace added"
            ),
            name="llm",
            namespace="default",
        ),
    )


@pytest.mark.parametrize(
    ("sentence", "changed"),
    [
        ("the spec was edited", {"generation": 2}),
        ("somebody deletes it", {"deleting": True}),
        ("it was made anew between two looks", {"uid": "uid-2"}),
        ("the runtime was chosen", {"annotations": {"kaito.sh/runtime": "vllm"}}),
    ],
)
def test_what_its_user_did_is_a_hint(sentence: str, changed: dict[str, Any]) -> None:
    hints = workspace_hints("MODIFIED", objects.workspace(**changed), objects.workspace())
    assert ids(hints) == [WORKSPACE_ID], sentence
    assert hints[0].payload.deleting is ("deleting" in changed)


@pytest.mark.parametrize(
    ("sentence", "changed"),
    [
        ("our own status", {"status": {"phase": "Ready"}}),
        ("our own finalizer", {"finalizers": [names.FINALIZER_WORKSPACE]}),
        ("an annotation of a tool", {"annotations": {"kubectl.kubernetes.io/x": "1"}}),
    ],
)
def test_what_changes_nothing_for_the_plan_is_no_hint(
    sentence: str, changed: dict[str, Any]
) -> None:
    hints = workspace_hints("MODIFIED", objects.workspace(**changed), objects.workspace())
    assert hints == (), sentence


def test_a_change_from_an_unknown_past_is_a_hint() -> None:
    assert ids(workspace_hints("MODIFIED", objects.workspace())) == [WORKSPACE_ID]


def test_a_workspace_that_is_gone_wakes_its_workflow_but_starts_none() -> None:
    (hint,) = workspace_hints("DELETED", objects.workspace(), objects.workspace())
    assert hint.payload.deleting
    assert not hint.can_start


# --- NodeClaims -----------------------------------------------------------------------------------


def test_a_claim_of_ours_that_appears_starts_its_own_workflow_only() -> None:
    (hint,) = owned_hints("NodeClaim", "ADDED", objects.node_claim())
    assert (hint.workflow_id, hint.can_start) == (CLAIM_ID, True)
    assert hint.start_input == NodeClaimWorkflowInput(claim=NodeClaimRef(name="ws0123456789"))


def test_a_claim_of_another_provider_is_served_by_that_provider() -> None:
    karpenter = objects.node_claim(group="karpenter.azure.com")
    assert owned_hints("NodeClaim", "ADDED", karpenter) == ()
    assert ids(owned_hints("NodeClaim", "DELETED", karpenter, karpenter)) == [WORKSPACE_ID]


READY = [objects.condition("Ready", "True")]
FAILED = [objects.condition("Launched", "False", reason="QuotaExceeded")]


@pytest.mark.parametrize(
    ("sentence", "before", "after", "expected"),
    [
        ("it became ready", {}, {"conditions": READY}, [WORKSPACE_ID]),
        ("it stopped being ready", {"conditions": READY}, {}, [WORKSPACE_ID]),
        ("it failed", {}, {"conditions": FAILED}, [WORKSPACE_ID]),
        ("somebody deletes it", {}, {"deleting": True}, [CLAIM_ID, WORKSPACE_ID]),
        ("its spec changed", {}, {"generation": 2}, [CLAIM_ID]),
        ("its node got a name", {}, {"node_name": "n"}, []),
        (
            "it was launched",
            {},
            {"conditions": [objects.condition("Launched", "True")]},
            [],
        ),
    ],
)
def test_changes_of_a_claim(
    sentence: str, before: dict[str, Any], after: dict[str, Any], expected: list[str]
) -> None:
    hints = owned_hints(
        "NodeClaim", "MODIFIED", objects.node_claim(**after), objects.node_claim(**before)
    )
    assert ids(hints) == expected, sentence


def test_a_claim_that_is_gone_wakes_both_and_starts_neither() -> None:
    hints = owned_hints("NodeClaim", "DELETED", objects.node_claim(), objects.node_claim())
    assert ids(hints) == [CLAIM_ID, WORKSPACE_ID]
    assert not any(hint.can_start for hint in hints)


# --- StatefulSets, Pods, Nodes --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "event", "after", "expected"),
    [
        ("made by the workflow itself", "ADDED", {}, []),
        ("gone", "DELETED", {}, [WORKSPACE_ID]),
        ("a pod more or less is ready", "MODIFIED", {"ready": 0}, [WORKSPACE_ID]),
        ("somebody scaled it", "MODIFIED", {"replicas": 0}, [WORKSPACE_ID]),
        ("somebody edited it", "MODIFIED", {"generation": 2}, [WORKSPACE_ID]),
        ("its controller took notice", "MODIFIED", {"observed": 2}, []),
    ],
)
def test_changes_of_a_workload(
    sentence: str, event: str, after: dict[str, Any], expected: list[str]
) -> None:
    workload, before = objects.stateful_set(**after), objects.stateful_set()
    assert ids(owned_hints("StatefulSet", event, workload, before)) == expected, sentence


INFERENCE = objects.owner_labels(**{names.LABEL_ROLE: names.ROLE_INFERENCE})


@pytest.mark.parametrize(
    ("sentence", "event", "was_ready", "is_ready", "expected"),
    [
        ("it stopped serving", "MODIFIED", "True", "False", [WORKSPACE_ID]),
        ("it vanished while it served", "DELETED", "True", "True", [WORKSPACE_ID]),
        ("it became ready, which its workload tells", "MODIFIED", "False", "True", []),
        ("it vanished before it served", "DELETED", "False", "False", []),
        ("it appeared", "ADDED", "True", "False", []),
    ],
)
def test_changes_of_a_pod(
    sentence: str, event: str, was_ready: str, is_ready: str, expected: list[str]
) -> None:
    pod = objects.pod(labels=INFERENCE, ready=is_ready)
    before = objects.pod(labels=INFERENCE, ready=was_ready)
    assert ids(owned_hints("Pod", event, pod, before)) == expected, sentence


def test_pods_that_pull_images_wake_nobody() -> None:
    labels = objects.owner_labels(**{names.LABEL_ROLE: names.ROLE_IMAGE_PULL})
    pod, before = objects.pod(labels=labels), objects.pod(labels=labels, ready="True")
    assert owned_hints("Pod", "DELETED", pod, before) == ()


@pytest.mark.parametrize(
    ("sentence", "event", "after", "expected"),
    [
        ("it appeared, which the claim's workflow waits for", "ADDED", {}, []),
        ("it went silent", "MODIFIED", {"ready": "Unknown"}, [CLAIM_ID, WORKSPACE_ID]),
        ("it lost its GPUs", "MODIFIED", {"gpus": "0"}, [CLAIM_ID, WORKSPACE_ID]),
        ("it is being removed", "MODIFIED", {"deleting": True}, [CLAIM_ID, WORKSPACE_ID]),
        (
            "its cloud takes it back",
            "MODIFIED",
            {"conditions": [objects.condition("PreemptionScheduled", "True")]},
            [CLAIM_ID, WORKSPACE_ID],
        ),
        (
            "somebody is about to drain it",
            "MODIFIED",
            {"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]},
            [CLAIM_ID, WORKSPACE_ID],
        ),
        (
            "its GPUs got sick",
            "MODIFIED",
            {"conditions": [objects.condition("XIDErrors", "True")]},
            [CLAIM_ID, WORKSPACE_ID],
        ),
        (
            "it is throttled, which is only a warning",
            "MODIFIED",
            {"conditions": [objects.condition("GPUClockThrottling", "True")]},
            [],
        ),
        (
            "an agent says that all is well",
            "MODIFIED",
            {"conditions": [objects.condition("XIDErrors", "False")]},
            [],
        ),
        ("it is gone", "DELETED", {}, [CLAIM_ID, WORKSPACE_ID]),
        ("its claim tells the Workspace of good news", "MODIFIED", {"gpus": "2"}, [CLAIM_ID]),
        ("it reported an image", "MODIFIED", {"images": [{"names": ["a"]}]}, []),
    ],
)
def test_changes_of_a_node_that_a_claim_made(
    sentence: str, event: str, after: dict[str, Any], expected: list[str]
) -> None:
    labels = objects.owner_labels()
    before = objects.node("ws0123456789", labels=labels)
    node = objects.node("ws0123456789", labels=labels, **after)
    assert ids(owned_hints("Node", event, node, before)) == expected, sentence


def test_a_node_that_recovers_from_a_fault_wakes_its_claim_only() -> None:
    sick = objects.node(
        "ws0123456789",
        labels=objects.owner_labels(),
        conditions=[objects.condition("XIDErrors", "True")],
    )
    well = objects.node("ws0123456789", labels=objects.owner_labels())
    assert ids(owned_hints("Node", "MODIFIED", well, sick)) == [CLAIM_ID]


def test_nodes_that_nobody_claimed_wake_nobody() -> None:
    assert owned_hints("Node", "DELETED", objects.node(), objects.node()) == ()


def test_an_owned_object_never_starts_the_workflow_of_its_workspace() -> None:
    (hint,) = owned_hints("StatefulSet", "DELETED", objects.stateful_set())
    assert not hint.can_start
    assert hint.payload == DesiredChanged(uid="uid-1", cause="StatefulSet llm-abc deleted")
    assert hint.start_input == WorkspaceWorkflowInput(
        workspace=WorkspaceRef(namespace="default", name="llm")
    )


def test_kinds_that_nobody_follows_wake_nobody() -> None:
    assert owned_hints("Lease", "DELETED", objects.stateful_set()) == ()


# --- Coalescing -----------------------------------------------------------------------------------


def test_of_two_hints_the_newer_spec_and_every_deletion_survive() -> None:
    (edited,) = workspace_hints("ADDED", objects.workspace(generation=4))
    (deleted,) = workspace_hints(
        "MODIFIED", objects.workspace(generation=5, deleting=True), objects.workspace()
    )
    (owned,) = owned_hints("StatefulSet", "DELETED", objects.stateful_set())
    for older, newer in ((edited, deleted), (deleted, edited)):
        both = merge(older, newer)
        assert (both.payload.generation, both.payload.deleting) == (5, True)
    assert merge(edited, owned).can_start
    assert merge(owned, edited).payload.generation == 4
    assert not merge(owned, owned).can_start


def test_of_an_object_that_was_made_anew_only_the_new_one_counts() -> None:
    (old,) = workspace_hints("DELETED", objects.workspace(generation=9))
    (new,) = workspace_hints("ADDED", objects.workspace(uid="uid-2"))
    both = merge(old, new)
    assert (both.payload, both.can_start) == (new.payload, True)


def test_late_news_of_what_an_earlier_object_owned_do_not_cover_the_new_object() -> None:
    (new,) = workspace_hints("ADDED", objects.workspace(uid="uid-2"))
    late = replace(new, payload=DesiredChanged(uid="uid-1", cause="StatefulSet deleted"))
    assert merge(new, late).payload == new.payload


_ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["metadata", "labels", "status", "conditions", "name", "generation"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(
    event=st.sampled_from(["ADDED", "MODIFIED", "DELETED", "odd"]),
    kind=st.sampled_from(["NodeClaim", "StatefulSet", "Pod", "Node", "odd"]),
    obj=st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), _ODD),
    previous=st.none() | st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), _ODD),
)
def test_odd_objects_raise_nothing(
    event: str, kind: str, obj: Mapping[str, Any], previous: Mapping[str, Any] | None
) -> None:
    workspace_hints(event, obj, previous)
    owned_hints(kind, event, obj, previous)


@given(
    event=st.sampled_from(["MODIFIED", "DELETED"]),
    fields=st.fixed_dictionaries(
        {}, optional={"ready": st.integers(0, 2), "generation": st.just(1)}
    ),
)
def test_a_change_to_the_same_is_no_hint(event: str, fields: dict[str, Any]) -> None:
    workload = objects.stateful_set(**fields)
    hints = owned_hints("StatefulSet", event, workload, workload)
    assert bool(hints) is (event == "DELETED")
