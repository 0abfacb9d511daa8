"""The text that operators read in Temporal."""

from __future__ import annotations

from api import payloads as p
from api.workflow_inputs import WorkspaceState
from workflows import describe


def test_a_new_workflow_says_its_phase_alone() -> None:
    assert describe.text(WorkspaceState(), None).strip() == "**Pending**"


def test_all_that_is_known_is_told_in_order() -> None:
    state = WorkspaceState(
        generation=3,
        phase=p.LifecyclePhase.WAITING,
        timeline=[
            p.StepRecord(step=p.Step.NODES, state=p.StepState.DONE, seconds=12, attempts=1),
            p.StepRecord(
                step=p.Step.WORKLOAD,
                state=p.StepState.WAITING,
                attempts=2,
                reason="RuntimeFailed",
                message="crash loop",
            ),
        ],
        problem=p.Problem(reason="RuntimeFailed", message="crash loop"),
        is_paused=True,
        paused_reason="audit",
        last_refusal="The order `resume` was not followed: nothing is paused",
        history=[
            p.OperationRecord(revision="r1", outcome=p.OperationOutcome.SUCCEEDED, seconds=43.2)
        ],
    )
    plan = p.WorkspacePlan(revision="r2", preset="phi", instance_type="big")
    assert describe.text(state, plan).splitlines() == [
        "**Waiting**: generation 3, revision r2, phi on big",
        "",
        "- nodes: done, 12.0 s",
        "- workload: waiting, attempt 2 (RuntimeFailed: crash loop)",
        "",
        "Problem: RuntimeFailed: crash loop",
        "",
        "Paused: audit. Send `resume` to go on.",
        "",
        "The order `resume` was not followed: nothing is paused",
        "",
        "Operations before:",
        "- Succeeded after 43 s, revision r1",
    ]


def test_what_was_given_up_what_waits_and_what_was_left_is_told() -> None:
    state = WorkspaceState(
        phase=p.LifecyclePhase.ROLLED_BACK,
        timeline=[
            p.StepRecord(
                step=p.Step.TRAFFIC, state=p.StepState.DONE, message="nobody answered for 1.0 s"
            )
        ],
        given_up=p.GivenUp(
            revision="r2", problem=p.Problem(reason="RuntimeFailed", message="crash loop")
        ),
        restore="r1",
        awaiting_revision="r3",
        force_delete_reason="the cloud is gone",
        leftovers=["NodeClaim/x"],
        history=[
            p.OperationRecord(
                revision="r1", outcome=p.OperationOutcome.RESTORED, seconds=9, message="told"
            )
        ],
    )
    assert describe.text(state, None).splitlines() == [
        "**RolledBack**",
        "",
        "- traffic: done (nobody answered for 1.0 s)",
        "",
        (
            "Given up: revision r2 (RuntimeFailed: crash loop). Revision r1 is kept in its stead. "
            "Correct the spec, or send `retry`."
        ),
        "",
        "Revision r3 waits. Send `approve` to carry it out.",
        "",
        "Let go by force: the cloud is gone",
        "- left behind: NodeClaim/x",
        "",
        "Operations before:",
        "- Restored after 9 s, revision r1 (told)",
    ]
