"""What an edit causes: by revision and nodes, never by how much of the file differs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import names
from api.payloads import Problem, WorkspacePlan
from planner.edit_effect import (
    CONFIG_TEXT,
    Change,
    Desired,
    EditEffect,
    EffectKind,
    Wish,
    changes_between,
    edit_effect,
)
from planner.plan import plan
from planner.world import ServiceFacts, World
from tests import gen

CATALOGUE = gen.catalogue()


def desired(config_text: str | None = None, active_revision: str = "", **changes: Any) -> Desired:
    """A Workspace as a manifest has it: without a uid, unless it is looked up in a cluster."""
    metadata = {**changes.pop("metadata", {})}
    if not active_revision:
        metadata["uid"] = ""
    workspace = gen.workspace(metadata=metadata, **changes)
    service = ServiceFacts("chat", workspace.uid, active_revision) if active_revision else None
    world = World(service=service, config_text=config_text)
    planned = plan(workspace, world, gen.preset(), gen.settings(), CATALOGUE)
    return Desired(workspace, planned, config_text)


def effect(before: Desired | None, after: Desired) -> EditEffect:
    return edit_effect(before, after)


def test_what_is_not_there_yet_starts_on_its_nodes() -> None:
    found = effect(None, desired(resource={"count": 2}))
    assert found.kind is EffectKind.START
    assert (found.nodes_added, found.nodes_released) == (2, 0)
    assert found.changes == ()


def test_the_same_again_causes_nothing() -> None:
    found = effect(desired(), desired())
    assert found.kind is EffectKind.NOTHING
    assert (found.nodes_added, found.nodes_released, found.downtime_seconds_at_most) == (0, 0, 0)
    assert found.changes == ()


@pytest.mark.parametrize(
    ("changes", "field", "note"),
    [
        ({"metadata": {"labels": {"team": "a"}}}, "metadata.labels.team", ""),
        ({"metadata": {"annotations": {"note": "a"}}}, "metadata.annotations.note", ""),
        (
            {"metadata": {"annotations": {names.ANNOTATION_ENABLE_LOAD_BALANCER: "true"}}},
            "metadata.annotations.kaito.sh/enablelb",
            "the Service follows at once",
        ),
        (
            {"resource": {"preferredNodes": ["a"]}},
            "resource.preferredNodes",
            "counts when nodes are chosen next",
        ),
        (
            {"resource": {"fallbackInstanceTypes": ["onebox.large"]}},
            "resource.fallbackInstanceTypes",
            "counts for the next node that is made",
        ),
        (
            {"resource": {"capacityType": "spot"}},
            "resource.capacityType",
            "counts for the next node that is made",
        ),
        (
            {"rollout": {"autoRollback": False}},
            "rollout.autoRollback",
            "counts from the next edit on",
        ),
    ],
)
def test_what_no_pod_is_made_from_restarts_nothing_and_says_when_it_counts(
    changes: dict[str, Any], field: str, note: str
) -> None:
    found = effect(desired(), desired(**changes))
    assert found.kind is EffectKind.NOTHING
    assert [(one.field, one.note) for one in found.changes] == [(field, note)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"resource": {"count": 2}}, "resource.count"),
        ({"resource": {"instanceType": "onebox.large"}}, "resource.instanceType"),
        ({"inference": {"config": "settings"}, "config_text": "vllm: {}"}, "inference.config"),
    ],
)
def test_what_pods_are_made_from_restarts_them_in_place(
    changes: dict[str, Any], field: str
) -> None:
    found = effect(desired(), desired(**changes))
    assert found.kind is EffectKind.IN_PLACE
    assert field in [one.field for one in found.changes]


def test_another_content_of_the_config_map_alone_restarts_in_place() -> None:
    config = {"inference": {"config": "settings"}}
    found = effect(
        desired("vllm: {max-model-len: 1024}", **config),
        desired("vllm: {max-model-len: 2048}", **config),
    )
    assert found.kind is EffectKind.IN_PLACE
    assert found.changes == (Change("config.vllm.max-model-len", "1024", "2048"),)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("vllm: {max-model-len: 1024}", "vllm: {max-model-len: 1024} # as measured"),
        ("vllm: [", "vllm: {"),
        ("{a: &a {x: 1}, b: *a}", "{b: &a {x: 1}, a: *a} # the same"),
    ],
)
def test_a_text_that_differs_in_no_value_is_still_told_to_differ(before: str, after: str) -> None:
    assert changed_fields(before, after) == [CONFIG_TEXT]


def test_a_text_that_is_there_or_not_is_told() -> None:
    (change,) = changes_between(Wish(gen.workspace()), Wish(gen.workspace(), "vllm: {a: 1}"))
    assert (change.field, change.before, change.after) == ("config.vllm.a", "", "1")


@pytest.mark.parametrize(
    ("after", "field"),
    [
        ("vllm: {max-model-len: 1, swap: 2}", "config.vllm.swap"),
        ("vllm: {max-model-len: 1}\nother: 3", "config.other"),
        ("vllm: {max-model-len: 1, modules: [a, b]}", "config.vllm.modules"),
    ],
)
def test_a_value_that_is_added_to_the_settings_is_told_alone(after: str, field: str) -> None:
    assert changed_fields("vllm: {max-model-len: 1}", after) == [field]


def test_settings_that_stand_for_more_than_anybody_can_read_are_told_at_once() -> None:
    bomb = ["a0: &a0 {x: 1, y: 2}"]
    bomb += [f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}" for n in range(1, 30)]
    assert changed_fields("", "\n".join(bomb)) == [CONFIG_TEXT]


_PIECES = st.lists(
    st.sampled_from(
        ["a", "b: ", "- ", "\n", "  ", "{", "}", "[", ",", "&x ", "*x", "<<: ", "!!t ", "?", "é"]
    ),
    max_size=30,
)


@given(before=_PIECES, after=_PIECES)
def test_any_two_texts_are_told_apart_if_and_only_if_they_differ(
    before: list[str], after: list[str]
) -> None:
    old, new = "".join(before), "".join(after)
    assert bool(changed_fields(old, new)) is (old != new)


def changed_fields(before: str, after: str) -> list[str]:
    workspace = gen.workspace()
    return [one.field for one in changes_between(Wish(workspace, before), Wish(workspace, after))]


def test_nobody_answers_for_as_long_as_the_new_pods_may_take_at_most() -> None:
    after = desired(resource={"count": 2})
    found = effect(desired(), after)
    deadlines = after.plan.deadlines
    limit = deadlines.workload_seconds + deadlines.endpoint_seconds
    assert found.downtime_seconds_at_most == limit


def test_another_instance_type_releases_the_nodes_of_the_old_one() -> None:
    found = effect(desired(), desired(resource={"instanceType": "onebox.large"}))
    assert (found.nodes_added, found.nodes_released) == (1, 1)


def test_surge_needs_a_second_set_of_nodes_and_no_break() -> None:
    changes: dict[str, Any] = {"resource": {"count": 3}, "rollout": {"strategy": "Surge"}}
    found = effect(desired(resource={"count": 2}), desired(**changes))
    assert found.kind is EffectKind.SURGE
    assert (found.nodes_added, found.downtime_seconds_at_most) == (3, 0)


def test_an_edit_that_can_not_be_carried_out_leaves_what_runs() -> None:
    found = effect(desired(), desired(resource={"instanceType": "nobody.knows"}))
    assert found.kind is EffectKind.REFUSED
    assert "goes on running" in found.summary


def test_a_new_workspace_that_can_not_be_carried_out_has_nothing_that_runs() -> None:
    found = effect(None, desired(resource={"instanceType": "nobody.knows"}))
    assert found.kind is EffectKind.REFUSED
    assert "goes on running" not in found.summary


def test_a_repaired_workspace_starts() -> None:
    found = effect(desired(resource={"instanceType": "nobody.knows"}), desired())
    assert found.kind is EffectKind.START


# --- Where a cluster tells what runs --------------------------------------------------------------


def test_what_gets_the_traffic_counts_and_not_what_was_written_before() -> None:
    revision = desired().plan.revision
    under_way = desired(active_revision=revision, resource={"count": 2})
    assert effect(under_way, desired(active_revision=revision)).kind is EffectKind.NOTHING


def test_a_workspace_that_never_served_starts() -> None:
    before = desired(active_revision="0")
    workspace = before.workspace
    never = Desired(workspace, WorkspacePlan(found=True, uid=workspace.uid, revision="11111111"))
    after = Desired(workspace, WorkspacePlan(found=True, uid=workspace.uid, revision="22222222"))
    assert effect(never, after).kind is EffectKind.START


# --- What a change shows --------------------------------------------------------------------------


def test_a_long_value_is_cut_and_kept_on_one_line() -> None:
    template = {"spec": {"containers": [{"name": "a", "image": "i", "command": ["x\ny" * 90]}]}}
    own_pods: dict[str, Any] = {"inference": {"preset": None, "template": template}}
    changes = {one.field: one for one in effect(desired(), desired(**own_pods)).changes}
    command = changes["inference.template.spec.containers[0].command"].after
    assert len(command) == 60
    assert command.endswith("…")
    assert "\n" not in command


def test_what_was_taken_away_is_shown_as_gone() -> None:
    before, after = desired(resource={"preferredNodes": ["a", "b"]}), desired()
    (change,) = effect(before, after).changes
    assert (change.before, change.after) == ('["a", "b"]', "")


def test_a_refused_edit_still_shows_what_it_would_change() -> None:
    problem = WorkspacePlan(problem=Problem(reason="InvalidWorkspace", message="no"))
    after = Desired(desired(resource={"count": 2}).workspace, problem)
    assert [one.field for one in effect(desired(), after).changes] == ["resource.count"]


def test_who_asks_with_other_settings_than_the_installation_sees_no_edit_that_is_none() -> None:
    # An image registry of another name gives every revision another name.
    running = {"revision": "ffffffff", "activeRevision": "ffffffff"}
    before = desired(active_revision="ffffffff", status=running)
    same = desired(active_revision="ffffffff", status=running)
    assert effect(before, same).kind is EffectKind.NOTHING
    edited = desired(active_revision="ffffffff", status=running, resource={"count": 2})
    assert effect(before, edited).kind is EffectKind.IN_PLACE


def test_what_is_not_carried_out_yet_does_not_count_as_running() -> None:
    status = {"revision": "eeeeeeee", "activeRevision": "ffffffff"}
    wanted = desired(active_revision="ffffffff", status=status)
    assert effect(wanted, wanted).kind is EffectKind.IN_PLACE
