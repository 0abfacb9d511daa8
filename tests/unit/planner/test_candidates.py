"""What would be tried for new nodes, in which order, and what it would cost."""

from __future__ import annotations

from typing import Any

import pytest

from api import names
from api.payloads import InstanceCandidate, WorkspacePlan
from api.preset import Catalogue, InstanceType, Price
from planner.plan import plan
from planner.world import PlatformSettings, World
from tests import gen
from tests.unit.planner.models import model

CLOUD = PlatformSettings(provisioner="karpenter")


def priced(name: str, usd: float | None, **changes: Any) -> InstanceType:
    found = gen.instance_type(name, vendor="nvidia", **changes)
    price = None if usd is None else Price(usd_per_hour=usd, region="here", as_of="2026-01")
    return found.model_copy(update={"price": price})


def catalogue() -> Catalogue:
    return gen.catalogue(
        model(30),
        instance_types=(
            priced("large", 3.673, memory="80Gi"),
            priced("small", 0.5, memory="24Gi"),
            priced("tiny", 0.1, memory="2Gi"),
            priced("unpriced", None, memory="80Gi"),
            gen.instance_type("emulated", memory="80Gi"),
        ),
    )


def planned(
    settings: PlatformSettings = CLOUD, annotations: dict[str, str] | None = None, **resource: Any
) -> WorkspacePlan:
    workspace = gen.workspace(
        instance_type=resource.pop("instanceType", "large"),
        resource=resource,
        metadata={"annotations": annotations or {}},
    )
    known = catalogue()
    return plan(workspace, World(), known.get(gen.PRESET), settings, known)


def tried(decision: WorkspacePlan) -> list[tuple[str, str, int, float | None]]:
    return [
        (one.instance_type, one.capacity_type, one.nodes, one.usd_per_hour)
        for one in decision.candidates
    ]


def test_without_alternatives_there_is_one_candidate() -> None:
    assert tried(planned(count=2)) == [("large", "on-demand", 2, 7.346)]


def test_fallbacks_come_after_the_wanted_type_each_with_the_nodes_that_it_takes() -> None:
    decision = planned(fallbackInstanceTypes=["small", "unpriced"])
    assert tried(decision) == [
        ("large", "on-demand", 1, 3.673),
        ("small", "on-demand", 2, 1.0),
        ("unpriced", "on-demand", 1, None),
    ]
    assert decision.instance_type == "large"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("on-demand", [("on-demand", 3.673)]),
        ("spot", [("spot", None)]),
        ("spot-with-fallback", [("spot", None), ("on-demand", 3.673)]),
    ],
)
def test_spot_comes_first_and_nobody_knows_its_price(
    asked: str, expected: list[tuple[str, float | None]]
) -> None:
    decision = planned(capacityType=asked)
    assert [(paid, usd) for _, paid, _, usd in tried(decision)] == expected
    assert decision.usd_per_hour == expected[0][1]


@pytest.mark.parametrize("provisioner", ["onebox", "byo", "aks-arc"])
def test_where_no_machines_are_bought_there_is_no_spot(provisioner: str) -> None:
    decision = planned(PlatformSettings(provisioner=provisioner), capacityType="spot")
    assert [paid for _, paid, _, _ in tried(decision)] == ["on-demand"]


def test_a_candidate_that_will_not_do_says_why() -> None:
    decision = planned(fallbackInstanceTypes=["tiny", "emulated"])
    assert decision.problem is None
    _, tiny, emulated = decision.candidates
    assert tiny == InstanceCandidate(instance_type="tiny", problem=tiny.problem)
    assert "the model server itself needs 2.3 GiB" in tiny.problem
    assert "emulated has emulated accelerators, and" in emulated.problem


def test_a_type_that_is_there_twice_is_tried_once() -> None:
    # Validation refuses it; a spec that was recorded before it did must not be tried twice.
    from planner.options import wanted_types

    workspace = gen.workspace(
        instance_type="large", resource={"fallbackInstanceTypes": ["LARGE", "small", "Small"]}
    )
    assert wanted_types(workspace, CLOUD) == ["large", "small"]


def test_only_new_nodes_cost_something() -> None:
    assert planned(count=3).usd_per_hour == 11.019
    assert planned(PlatformSettings(provisioner="byo")).usd_per_hour == 0.0
    assert planned(instanceType="unpriced").usd_per_hour is None


def test_the_installations_type_is_tried_where_none_is_written() -> None:
    settings = PlatformSettings(provisioner="karpenter", default_instance_type="small")
    assert tried(planned(settings, instanceType="")) == [("small", "on-demand", 2, 1.0)]


def test_a_model_that_does_not_fit_is_refused_unless_the_user_knows_better() -> None:
    refused = planned(instanceType="tiny")
    assert refused.problem is not None
    assert refused.problem.reason == "InstanceTypeTooSmall"
    bypass = {names.ANNOTATION_BYPASS_RESOURCE_CHECKS: "yes"}
    forced = planned(instanceType="tiny", annotations=bypass)
    assert forced.problem is None
    assert forced.node_count == 1
    assert sum("it is tried" in warning for warning in forced.warnings) == 1
