"""Conditions: what each says for each state of affairs."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.conditions import ConditionStatus, ConditionType, Reason
from api.errors import BY_REASON
from api.payloads import (
    GivenUp,
    LifecyclePhase,
    Problem,
    ReportInput,
    RolloutMode,
    Step,
    StepRecord,
    StepState,
    WorkspaceRef,
)
from planner.conditions import judge

REF = WorkspaceRef(namespace="default", name="llm", uid="uid-1")
DONE, RUNNING, WAITING, BLOCKED = (
    StepState.DONE,
    StepState.RUNNING,
    StepState.WAITING,
    StepState.BLOCKED,
)


def report(phase: LifecyclePhase = LifecyclePhase.DEPLOYING, **fields: object) -> ReportInput:
    return ReportInput(workspace=REF, phase=phase, **{"revision": "abc", **fields})


def timeline(*states: StepState, reason: str = "", message: str = "") -> list[StepRecord]:
    """Records for the first steps; the reason belongs to the last of `states`; the rest pend."""
    records = [
        StepRecord(step=step, state=state) for step, state in zip(Step, states, strict=False)
    ]
    if reason:
        records[-1] = records[-1].model_copy(update={"reason": reason, "message": message})
    return records + [StepRecord(step=step) for step in list(Step)[len(states) :]]


def shown(given_report: ReportInput) -> dict[str, tuple[str, str]]:
    return {
        str(condition): (str(verdict.status), verdict.reason)
        for condition, verdict in judge(given_report).items()
    }


def test_everything_is_true_once_the_workspace_is_ready() -> None:
    ready = report(
        LifecyclePhase.READY,
        timeline=timeline(*[DONE] * len(Step)),
        active_revision="abc",
        node_names=["b", "a"],
        preset="smollm2",
    )
    assert shown(ready) == {
        "NodeClaimReady": ("True", "Ready"),
        "NodesReady": ("True", "Ready"),
        "ResourceReady": ("True", "Ready"),
        "InferenceReady": ("True", "Ready"),
        "WorkspaceSucceeded": ("True", "Ready"),
        "Progressing": ("False", "Ready"),
        "RolloutHealthy": ("True", "Ready"),
    }
    messages = judge(ready)
    assert messages[ConditionType.NODES_READY].message == (
        "2 nodes are ready and show their GPUs: a, b."
    )


def test_a_new_workflow_that_finds_all_well_says_so_without_a_timeline() -> None:
    assert shown(report(LifecyclePhase.READY))["WorkspaceSucceeded"] == ("True", "Ready")


def test_a_workspace_that_just_began_claims_nothing() -> None:
    conditions = shown(report(LifecyclePhase.PENDING))
    assert conditions["ResourceReady"] == ("False", "Pending")
    assert conditions["InferenceReady"] == ("False", "Pending")
    assert conditions["WorkspaceSucceeded"] == ("False", "InProgress")


@pytest.mark.parametrize(
    ("sentence", "states", "resource", "inference"),
    [
        ("nodes come up first", [RUNNING], ("False", "InProgress"), ("False", "Pending")),
        ("then images are pulled", [DONE, RUNNING], ("True", "Ready"), ("False", "InProgress")),
        (
            "ready pods alone are not a ready model",
            [DONE, DONE, DONE],
            ("True", "Ready"),
            ("False", "Pending"),
        ),
        (
            "an answer without traffic is not ready either",
            [DONE, DONE, DONE, DONE, RUNNING],
            ("True", "Ready"),
            ("False", "InProgress"),
        ),
    ],
)
def test_conditions_follow_the_steps(
    sentence: str,
    states: list[StepState],
    resource: tuple[str, str],
    inference: tuple[str, str],
) -> None:
    conditions = shown(report(timeline=timeline(*states)))
    assert conditions["ResourceReady"] == resource, sentence
    assert conditions["InferenceReady"] == inference, sentence
    assert conditions["WorkspaceSucceeded"] == ("False", "InProgress"), sentence
    assert conditions["Progressing"] == ("True", "InProgress"), sentence


def test_a_step_that_the_operation_did_not_need_was_well_before_it() -> None:
    only_workload = [StepRecord(step=Step.WORKLOAD, state=RUNNING)]
    conditions = shown(report(timeline=only_workload))
    assert conditions["ResourceReady"] == ("True", "Ready")
    assert conditions["InferenceReady"] == ("False", "InProgress")


def test_a_failed_step_tells_its_cause_in_the_condition_it_belongs_to() -> None:
    problem = Problem(reason="QuotaExceeded", message="0 of 24 cores left")
    conditions = judge(
        report(
            LifecyclePhase.WAITING,
            timeline=timeline(WAITING, reason=problem.reason, message=problem.message),
            problem=problem,
        )
    )
    for condition in ("NodeClaimReady", "NodesReady", "ResourceReady"):
        verdict = conditions[ConditionType(condition)]
        assert (verdict.status, verdict.reason) == ("False", "QuotaExceeded")
        assert verdict.message == "0 of 24 cores left."
    assert conditions[ConditionType.INFERENCE_READY].reason == "Pending"
    assert conditions[ConditionType.WORKSPACE_SUCCEEDED].message == "0 of 24 cores left"
    assert conditions[ConditionType.PROGRESSING].message == (
        "0 of 24 cores left. It is tried again by itself, or at once on the signal `retry`."
    )


def test_an_invalid_spec_is_told_once_and_asks_for_an_edit() -> None:
    problem = Problem(reason="UnknownPreset", message="no preset is called lama")
    conditions = judge(report(LifecyclePhase.FAILED, revision="", problem=problem))
    assert conditions[ConditionType.WORKSPACE_SUCCEEDED].reason == "UnknownPreset"
    assert conditions[ConditionType.RESOURCE_READY].reason == "Pending"
    assert "after an edit" in conditions[ConditionType.PROGRESSING].message


def test_a_bad_edit_of_a_serving_workspace_does_not_call_its_model_dead() -> None:
    conditions = shown(
        report(
            LifecyclePhase.FAILED,
            timeline=timeline(*[DONE] * len(Step)),
            active_revision="abc",
            problem=Problem(reason="UnknownPreset", message="no preset is called lama"),
        )
    )
    assert conditions["InferenceReady"] == ("True", "Ready")
    assert conditions["WorkspaceSucceeded"] == ("False", "UnknownPreset")


def test_a_shortage_that_planning_found_belongs_to_the_nodes() -> None:
    conditions = shown(
        report(
            LifecyclePhase.WAITING,
            timeline=timeline(*[DONE] * len(Step)),
            problem=Problem(reason="InsufficientCapacity", message="1 node is needed"),
        )
    )
    assert conditions["ResourceReady"] == ("False", "InsufficientCapacity")
    assert conditions["InferenceReady"] == ("False", "Pending")


def test_while_a_new_revision_comes_up_the_old_one_is_said_to_serve() -> None:
    conditions = judge(report(timeline=timeline(DONE, DONE, RUNNING), active_revision="old"))
    message = "Step workload is running; revision old goes on serving."
    assert conditions[ConditionType.INFERENCE_READY].message == message
    assert conditions[ConditionType.ROLLOUT_HEALTHY].status == "Unknown"


def test_in_place_nobody_is_promised_that_the_old_one_goes_on_serving() -> None:
    given = report(
        timeline=timeline(DONE, DONE, RUNNING),
        active_revision="old",
        mode=RolloutMode.IN_PLACE,
    )
    message = judge(given)[ConditionType.INFERENCE_READY].message
    assert message == "Step workload is running; revision old serves until its pods make room."


def test_a_failed_rollout_is_unhealthy_with_its_cause() -> None:
    problem = Problem(reason="RuntimeFailed", message="exit code 1")
    verdict = judge(
        report(
            LifecyclePhase.WAITING,
            timeline=timeline(DONE, DONE, WAITING, reason="RuntimeFailed", message="exit code 1"),
            problem=problem,
            active_revision="old",
        )
    )[ConditionType.ROLLOUT_HEALTHY]
    assert (verdict.status, verdict.reason) == ("False", "RuntimeFailed")
    assert verdict.message == "exit code 1; revision old goes on serving"


def test_a_paused_workspace_that_serves_is_still_ready() -> None:
    conditions = shown(
        report(LifecyclePhase.PAUSED, timeline=timeline(*[DONE] * len(Step)), paused_reason="audit")
    )
    assert conditions["WorkspaceSucceeded"] == ("True", "Ready")
    assert conditions["Progressing"] == ("False", "Paused")


def test_a_workspace_paused_on_its_way_says_who_stopped_it() -> None:
    conditions = judge(
        report(LifecyclePhase.PAUSED, timeline=timeline(DONE, RUNNING), paused_reason="audit")
    )
    assert conditions[ConditionType.INFERENCE_READY].message == (
        "Paused by an operator (audit); send the signal `resume` to go on."
    )
    assert conditions[ConditionType.WORKSPACE_SUCCEEDED].reason == "Paused"


def test_deleting_is_shown_only_while_deleting_and_nothing_is_ready_then() -> None:
    conditions = shown(
        report(LifecyclePhase.DELETING, deleting=True, timeline=timeline(*[DONE] * len(Step)))
    )
    assert conditions["WorkspaceDeleting"] == ("True", "Deleting")
    assert conditions["InferenceReady"] == ("False", "Deleting")
    assert conditions["WorkspaceSucceeded"] == ("False", "Deleting")
    assert "WorkspaceDeleting" not in shown(report())


def test_a_deletion_that_is_held_up_says_by_what() -> None:
    problem = Problem(reason="DeadlineExceeded", message="Pod/llm-abc-0 is still there")
    verdict = judge(report(LifecyclePhase.DELETING, deleting=True, problem=problem))[
        ConditionType.WORKSPACE_DELETING
    ]
    assert verdict.status == "True"
    assert "Pod/llm-abc-0 is still there" in verdict.message


def test_a_tuning_workspace_has_a_job_and_no_inference() -> None:
    conditions = shown(report(has_inference=False))
    assert conditions["JobStarted"] == ("False", "Pending")
    assert "InferenceReady" not in conditions
    assert "JobStarted" not in shown(report())


# --- Rollouts -------------------------------------------------------------------------------------

GIVEN_UP = GivenUp(
    revision="bad", problem=Problem(reason="RuntimeFailed", message="it exits with code 1.")
)


def sentence(given_report: ReportInput, condition: ConditionType) -> str:
    return judge(given_report)[condition].message


def test_after_a_rollback_the_good_revision_serves_and_the_spec_is_not_fulfilled() -> None:
    rolled_back = report(
        LifecyclePhase.ROLLED_BACK,
        timeline=timeline(*[DONE] * len(Step)),
        active_revision="abc",
        spec_revision="bad",
        given_up=GIVEN_UP,
        preset="smollm2",
    )
    assert shown(rolled_back) == {
        "NodeClaimReady": ("True", "Ready"),
        "NodesReady": ("True", "Ready"),
        "ResourceReady": ("True", "Ready"),
        "InferenceReady": ("True", "Ready"),
        "WorkspaceSucceeded": ("False", "RolledBack"),
        "Progressing": ("False", "RolledBack"),
        "RolloutHealthy": ("False", "RolledBack"),
    }
    assert sentence(rolled_back, ConditionType.ROLLOUT_HEALTHY) == (
        "Revision bad failed: it exits with code 1. Revision abc serves in its stead. Correct the "
        "spec, or send the signal `retry` to try it again."
    )
    assert sentence(rolled_back, ConditionType.INFERENCE_READY).startswith("Revision abc serves")


def test_a_workflow_that_begins_anew_after_a_rollback_says_the_same_without_a_timeline() -> None:
    rolled_back = report(
        LifecyclePhase.ROLLED_BACK, active_revision="abc", given_up=GIVEN_UP, preset="smollm2"
    )
    assert shown(rolled_back)["InferenceReady"] == ("True", "Ready")
    assert shown(rolled_back)["WorkspaceSucceeded"] == ("False", "RolledBack")


def test_while_the_good_revision_is_brought_back_somebody_is_at_it() -> None:
    restoring = report(
        LifecyclePhase.RESTORING,
        timeline=timeline(DONE, DONE, RUNNING),
        active_revision="abc",
        given_up=GIVEN_UP,
        preset="smollm2",
    )
    conditions = shown(restoring)
    assert conditions["InferenceReady"] == ("False", "InProgress")
    assert conditions["WorkspaceSucceeded"] == ("False", "Restoring")
    assert conditions["Progressing"] == ("True", "Restoring")
    assert conditions["RolloutHealthy"] == ("False", "Restoring")
    assert "being brought back" in sentence(restoring, ConditionType.PROGRESSING)


def test_a_restore_that_fails_tells_its_own_cause() -> None:
    held_up = report(
        LifecyclePhase.WAITING,
        timeline=timeline(WAITING, reason="QuotaExceeded", message="no quota"),
        given_up=GIVEN_UP,
        problem=Problem(reason="QuotaExceeded", message="no quota"),
    )
    assert shown(held_up)["WorkspaceSucceeded"] == ("False", "QuotaExceeded")
    assert shown(held_up)["Progressing"] == ("False", "QuotaExceeded")


def test_a_paused_workspace_that_was_rolled_back_is_not_what_the_spec_asks_for() -> None:
    paused = report(
        LifecyclePhase.PAUSED,
        timeline=timeline(*[DONE] * len(Step)),
        active_revision="abc",
        given_up=GIVEN_UP,
    )
    assert shown(paused)["WorkspaceSucceeded"] == ("False", "Paused")
    assert shown(paused)["RolloutHealthy"] == ("False", "RolledBack")


def test_an_edit_that_waits_for_an_approval_leaves_the_model_served() -> None:
    awaiting = report(
        LifecyclePhase.AWAITING_APPROVAL,
        timeline=timeline(*[DONE] * len(Step)),
        active_revision="old",
        preset="smollm2",
    )
    assert shown(awaiting) == {
        "NodeClaimReady": ("True", "Ready"),
        "NodesReady": ("True", "Ready"),
        "ResourceReady": ("True", "Ready"),
        "InferenceReady": ("True", "Ready"),
        "WorkspaceSucceeded": ("False", "AwaitingApproval"),
        "Progressing": ("False", "AwaitingApproval"),
        "RolloutHealthy": ("Unknown", "AwaitingApproval"),
    }
    assert sentence(awaiting, ConditionType.INFERENCE_READY).startswith("Revision old serves")
    assert sentence(awaiting, ConditionType.PROGRESSING) == (
        "Revision abc waits until an operator sends the signal `approve`; revision old goes on "
        "serving."
    )


def test_the_model_is_served_once_traffic_moved_though_old_pods_still_stop() -> None:
    retiring = report(
        LifecyclePhase.VERIFYING,
        timeline=timeline(DONE, DONE, DONE, DONE, DONE, RUNNING),
        active_revision="abc",
        preset="smollm2",
    )
    assert shown(retiring)["InferenceReady"] == ("True", "Ready")
    assert shown(retiring)["WorkspaceSucceeded"] == ("False", "InProgress")
    assert sentence(retiring, ConditionType.PROGRESSING) == "Step retire is running."


_REPORTS = st.builds(
    ReportInput,
    workspace=st.just(REF),
    generation=st.integers(min_value=0, max_value=9),
    phase=st.sampled_from(LifecyclePhase),
    revision=st.sampled_from(["", "abc"]),
    active_revision=st.sampled_from(["", "abc", "old"]),
    node_names=st.lists(st.sampled_from(["a", "b"]), max_size=2),
    timeline=st.lists(
        st.builds(
            StepRecord,
            step=st.sampled_from(Step),
            state=st.sampled_from(StepState),
            reason=st.sampled_from(["", "QuotaExceeded", "not a reason!"]),
            message=st.text(),
        ),
        max_size=len(Step),
        unique_by=lambda record: record.step,
    ),
    problem=st.none()
    | st.builds(Problem, reason=st.sampled_from([*BY_REASON, "", "odd reason"]), message=st.text()),
    paused_reason=st.sampled_from(["", "audit"]),
    given_up=st.sampled_from([None, GIVEN_UP]),
    deleting=st.booleans(),
    has_inference=st.booleans(),
)


@given(given_report=_REPORTS)
def test_every_verdict_is_one_that_the_api_server_accepts(given_report: ReportInput) -> None:
    for verdict in judge(given_report).values():
        assert verdict.status in set(ConditionStatus)
        assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", verdict.reason)
        assert len(verdict.message) <= 1024


@given(given_report=_REPORTS)
def test_success_implies_every_other_condition_and_is_never_said_with_a_problem(
    given_report: ReportInput,
) -> None:
    conditions = judge(given_report)
    if conditions[ConditionType.WORKSPACE_SUCCEEDED].status == ConditionStatus.TRUE:
        assert given_report.problem is None
        assert given_report.given_up is None
        assert not given_report.deleting
        for condition in (ConditionType.NODES_READY, ConditionType.RESOURCE_READY):
            assert conditions[condition].status == ConditionStatus.TRUE
        if given_report.has_inference:
            assert conditions[ConditionType.INFERENCE_READY].status == ConditionStatus.TRUE
        assert conditions[ConditionType.PROGRESSING].reason in {Reason.READY, Reason.PAUSED}


def test_of_pods_that_nobody_knows_how_to_ask_only_readiness_is_told() -> None:
    ready = report(LifecyclePhase.READY, timeline=timeline(*[DONE] * len(Step)), preset="")
    message = judge(ready)[ConditionType.INFERENCE_READY].message
    assert "inference.template" in message
    assert "answered" not in message
