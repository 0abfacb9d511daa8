"""Nodes that are assumed are nodes that the Workspace would be planned on."""

from __future__ import annotations

from typing import Any

import pytest

from planner.assumed_nodes import MAX_ASSUMED_NODES, assumed_nodes
from planner.plan import plan
from planner.world import World
from tests import gen

SETTINGS = gen.settings(provisioner="byo")
CATALOGUE = gen.catalogue()


@pytest.mark.parametrize(
    "resource",
    [
        {},
        {"count": 12},
        {"instanceType": None},
        {"preferredNodes": ["mine", "yours"], "count": 2},
        {
            "labelSelector": {
                "matchLabels": {"a": "b"},
                "matchExpressions": [
                    {"key": "c", "operator": "In", "values": ["d", "e"]},
                    {"key": "f", "operator": "Exists"},
                    {"key": "g", "operator": "DoesNotExist"},
                    {"key": "h", "operator": "NotIn", "values": ["any"]},
                ],
            }
        },
    ],
)
def test_there_are_enough_of_them(resource: dict[str, Any]) -> None:
    workspace = gen.workspace(resource=resource)
    nodes = assumed_nodes(workspace, SETTINGS, CATALOGUE)
    planned = plan(workspace, World(nodes=nodes), gen.preset(), SETTINGS, CATALOGUE)
    assert planned.problem is None
    assert len(planned.existing_nodes) == workspace.resource.count


def test_preferred_nodes_are_among_them_by_name() -> None:
    workspace = gen.workspace(resource={"preferredNodes": ["mine", "yours", "mine"], "count": 2})
    nodes = assumed_nodes(workspace, SETTINGS, CATALOGUE)
    planned = plan(workspace, World(nodes=nodes), gen.preset(), SETTINGS, CATALOGUE)
    assert planned.existing_nodes == ["mine", "yours"]


def test_a_slip_in_the_count_takes_no_time() -> None:
    nodes = assumed_nodes(gen.workspace(resource={"count": 10**9}), SETTINGS, CATALOGUE)
    assert len(nodes) == MAX_ASSUMED_NODES


def test_no_node_can_match_a_selector_that_contradicts_itself() -> None:
    selector = {
        "matchLabels": {"a": "b"},
        "matchExpressions": [{"key": "a", "operator": "DoesNotExist"}],
    }
    workspace = gen.workspace(resource={"labelSelector": selector})
    nodes = assumed_nodes(workspace, SETTINGS, CATALOGUE)
    planned = plan(workspace, World(nodes=nodes), gen.preset(), SETTINGS, CATALOGUE)
    assert planned.problem is not None
    assert planned.problem.reason == "InsufficientCapacity"
