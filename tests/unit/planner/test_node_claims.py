"""NodeClaims: four conditions in Karpenter's order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from api.payloads import NodeClaimRef, Problem, ReportNodeClaimInput
from planner.facts import claim_facts
from planner.node_claims import (
    missing_for_initialized,
    render_node_claim_status,
)
from planner.world import NodeFacts

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CLAIM = NodeClaimRef(name="ws0123456789", uid="claim-uid")
NO_ROOM = Problem(reason="InsufficientCapacity", message="2 of 2 nodes are in use")


def report(**fields: object) -> ReportNodeClaimInput:
    return ReportNodeClaimInput(claim=CLAIM, **fields)


def statuses(given_report: ReportNodeClaimInput) -> dict[str, tuple[str, str]]:
    status = render_node_claim_status(given_report, {}, NOON)
    assert status is not None
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


@pytest.mark.parametrize(
    ("sentence", "fields", "expected"),
    [
        (
            "nothing was done yet",
            {},
            {
                "Launched": ("Unknown", "InProgress"),
                "Registered": ("Unknown", "Pending"),
                "Initialized": ("Unknown", "Pending"),
                "Ready": ("False", "Pending"),
            },
        ),
        (
            "the machine was launched",
            {"launched": True},
            {
                "Launched": ("True", "Ready"),
                "Registered": ("Unknown", "InProgress"),
                "Initialized": ("Unknown", "Pending"),
                "Ready": ("False", "Pending"),
            },
        ),
        (
            "all is well",
            {"launched": True, "registered": True, "initialized": True},
            {
                "Launched": ("True", "Ready"),
                "Registered": ("True", "Ready"),
                "Initialized": ("True", "Ready"),
                "Ready": ("True", "Ready"),
            },
        ),
        (
            "there is no room",
            {"problem": NO_ROOM},
            {
                "Launched": ("False", "InsufficientCapacity"),
                "Registered": ("Unknown", "Pending"),
                "Initialized": ("Unknown", "Pending"),
                "Ready": ("False", "InsufficientCapacity"),
            },
        ),
        (
            "the node was lost after all was well",
            {"launched": True, "registered": True, "initialized": True, "problem": NO_ROOM},
            {
                "Launched": ("True", "Ready"),
                "Registered": ("True", "Ready"),
                "Initialized": ("True", "Ready"),
                "Ready": ("False", "InsufficientCapacity"),
            },
        ),
    ],
)
def test_conditions_of_a_claim(
    sentence: str, fields: dict[str, object], expected: dict[str, tuple[str, str]]
) -> None:
    assert statuses(report(**fields)) == expected, sentence


def test_what_was_written_is_not_written_again() -> None:
    given_report = report(launched=True, provider_id="onebox:///n", node_name="n")
    status = render_node_claim_status(given_report, {"capacity": {"cpu": "4"}}, NOON, generation=2)
    assert status is not None
    assert (status["providerID"], status["nodeName"]) == ("onebox:///n", "n")
    assert status["capacity"] == {"cpu": "4"}
    assert {one["observedGeneration"] for one in status["conditions"]} == {2}
    later = datetime(2027, 1, 1, tzinfo=UTC)
    assert render_node_claim_status(given_report, status, later, generation=2) is None


def test_a_name_once_known_is_not_forgotten() -> None:
    status = render_node_claim_status(report(), {"nodeName": "n", "providerID": "p"}, NOON)
    assert status is not None
    assert (status["nodeName"], status["providerID"]) == ("n", "p")


def test_what_is_written_is_read_back_as_facts() -> None:
    def read(given_report: ReportNodeClaimInput) -> Any:
        return claim_facts({"status": render_node_claim_status(given_report, {}, NOON)})

    assert read(report(problem=NO_ROOM)).failure_reason == "InsufficientCapacity"
    assert not read(report(launched=True)).failure_reason
    assert read(report(launched=True, registered=True, initialized=True)).is_ready


@pytest.mark.parametrize(
    ("node", "lacks"),
    [
        (None, "waiting for the node to join"),
        (NodeFacts("n"), "node n joined and is not ready yet"),
        (NodeFacts("n", is_ready=True, gpu_capacity=1), "node n shows 1 of 2 GPUs"),
        (NodeFacts("n", is_ready=True, gpu_capacity=2), ""),
    ],
)
def test_a_node_lacks_nothing_once_it_is_ready_and_shows_its_gpus(
    node: NodeFacts | None, lacks: str
) -> None:
    assert missing_for_initialized(node, 2) == lacks
