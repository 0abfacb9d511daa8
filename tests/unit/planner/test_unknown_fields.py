"""Fields that a schema does not know."""

from __future__ import annotations

from typing import Any

import pytest

from api.crd import workspace_crd
from planner.unknown_fields import unknown_fields
from tests import gen

SCHEMA = workspace_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"resource": {"instanceTyp": "a"}}, ["resource.instanceTyp"]),
        ({"spec": {"resource": {}}}, ["spec"]),
        ({"metadata": {"whatever": 1}}, []),
        ({"resource": {"labelSelector": {"matchLabels": {"any": "label"}}}}, []),
        (
            {"resource": {"labelSelector": {"matchlabels": {}}}},
            ["resource.labelSelector.matchlabels"],
        ),
        (
            {"inference": {"adapters": [{"source": {"name": "a"}}, {"source": {"img": "b"}}]}},
            ["inference.adapters[1].source.img"],
        ),
        ({"inference": {"template": {"spec": {"anything": {"goes": 1}}}}}, []),
        ({"inference": "no object"}, []),
    ],
)
def test_each_is_found_by_its_path(changes: dict[str, Any], found: list[str]) -> None:
    assert unknown_fields(gen.workspace_object(**changes), SCHEMA) == found
