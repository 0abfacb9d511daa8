"""A preview says what the plan and the manifests say, and never raises."""

from __future__ import annotations

from typing import Any

import pytest

from planner.plan import plan
from planner.preview import Subject, preview
from planner.world import ClaimFacts, NodeFacts, World
from tests import gen

CATALOGUE = gen.catalogue()
SETTINGS = gen.settings()


def subject(world: World | None = None, **changes: Any) -> Subject:
    workspace = gen.workspace(**changes)
    return Subject(workspace, CATALOGUE.get(workspace.preset_name), world or World())


def test_nodes_are_told_by_where_they_come_from() -> None:
    first, second = plan(
        gen.workspace(resource={"count": 2}), World(), gen.preset(), SETTINGS, CATALOGUE
    ).claims
    labels = {"apps": "chat", "node.kubernetes.io/instance-type": "onebox.small"}
    world = World(
        nodes=(NodeFacts("there", labels, is_ready=True, gpu_capacity=1),),
        claims=(ClaimFacts(first.name, instance_type="onebox.small"),),
    )
    found = preview(subject(world, resource={"count": 3}), SETTINGS, CATALOGUE)
    assert found.nodes is not None
    assert found.nodes.bought == [first.name]
    assert found.nodes.existing == ["there"]
    assert found.nodes.new == [second.name]


def test_the_revision_and_the_price_are_the_plans() -> None:
    one = subject(instance_type="onebox.large")
    planned = plan(one.workspace, one.world, one.preset, SETTINGS, CATALOGUE)
    found = preview(one, SETTINGS, CATALOGUE)
    assert (found.revision, found.usd_per_hour) == (planned.revision, planned.usd_per_hour)
    assert found.candidates == planned.candidates


def test_warnings_are_told_beside_a_problem_too() -> None:
    one = subject(preset="nobody", metadata={"annotations": {"kaito.sh/x": ""}})
    found = preview(one, SETTINGS, CATALOGUE)
    assert not found.can_be_carried_out
    assert any(warning.startswith("metadata.annotations: ") for warning in found.warnings)


@pytest.mark.parametrize(
    "container",
    [
        {},
        {"resources": 0},
        {"resources": {"requests": "1", "limits": True}},
        {"resources": {"limits": {"nvidia.com/gpu": 2}}},
        {"command": "a string", "args": [1, None, "a"]},
        {"image": 5},
    ],
)
def test_odd_pods_of_the_users_own_are_no_obstacle(container: dict[str, Any]) -> None:
    template = {"spec": {"containers": [{"name": "a", "image": "own/server:1", **container}]}}
    one = subject(inference={"preset": None, "template": template})
    assert preview(one, SETTINGS, CATALOGUE).name == "chat"


@pytest.mark.parametrize("runtime", ["nobody", "vllm"])
def test_nothing_is_suggested_for_what_no_server_could_serve(runtime: str) -> None:
    one = subject(
        instance_type="Standard_NC24ads_A100_v4",
        metadata={"annotations": {"kaito.sh/runtime": runtime}},
    )
    found = preview(one, SETTINGS, CATALOGUE)
    assert not found.can_be_carried_out
    assert found.suggestions == []
