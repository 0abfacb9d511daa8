"""What a NodeClaim asks its provider for, read from the claim alone."""

from __future__ import annotations

from typing import Any

import pytest

from activities.node_claim.reading import machine_request


def claim(*requirements: tuple[str, list[str]], **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "ws0123456789",
            "uid": "claim-uid",
            "labels": {
                "apps": "chat",
                "kaito.sh/workspace": "chat",
                "kaito.sh/workspace-uid": "owner",
                "app.kubernetes.io/managed-by": "kaito-temporal",
            },
        },
        "spec": {
            "requirements": [
                {"key": key, "operator": "In", "values": values} for key, values in requirements
            ],
            **spec,
        },
    }


def test_its_node_carries_its_labels_and_its_name_and_its_machine_the_marks_of_ownership() -> None:
    request = machine_request(claim(("node.kubernetes.io/instance-type", ["large"])))
    assert request.instance_type == "large"
    assert request.claim_uid == "claim-uid"
    assert request.labels["apps"] == "chat"
    assert request.labels["kaito.sh/nodeclaim"] == "ws0123456789"
    assert request.labels["node.kubernetes.io/instance-type"] == "large"
    assert request.tags == {
        "kaito.sh/workspace": "chat",
        "kaito.sh/workspace-uid": "owner",
        "app.kubernetes.io/managed-by": "kaito-temporal",
    }


def test_a_claim_with_a_long_name_marks_its_node_with_a_short_one() -> None:
    obj = claim()
    obj["metadata"]["name"] = "n" * 200
    assert len(machine_request(obj).labels["kaito.sh/nodeclaim"]) <= 63


@pytest.mark.parametrize(
    ("values", "capacity_type"),
    [
        (["spot"], "spot"),
        (["on-demand"], "on-demand"),
        (["on-demand", "spot"], "on-demand"),
        ([], "on-demand"),
    ],
)
def test_spot_is_asked_for_where_nothing_else_will_do(
    values: list[str], capacity_type: str
) -> None:
    request = machine_request(claim(("karpenter.sh/capacity-type", values)))
    assert request.capacity_type == capacity_type


def test_zones_are_those_of_the_requirement() -> None:
    assert machine_request(claim()).zones == []
    asked = claim(("topology.kubernetes.io/zone", ["eastus-1", "eastus-2"]))
    assert machine_request(asked).zones == ["eastus-1", "eastus-2"]


@pytest.mark.parametrize(
    ("requests", "disk_gib"),
    [
        ({"ephemeral-storage": "200Gi"}, 200),
        ({"ephemeral-storage": "1Ti"}, 1024),
        ({"ephemeral-storage": "1073741825"}, 2),
        ({"storage": "100Gi"}, 100),
        ({"ephemeral-storage": "0"}, None),
        ({"ephemeral-storage": "1.5Gi"}, None),
        ({}, None),
    ],
)
def test_a_disk_is_as_large_as_the_storage_asked_for(
    requests: dict[str, str], disk_gib: int | None
) -> None:
    assert machine_request(claim(resources={"requests": requests})).disk_gib == disk_gib
