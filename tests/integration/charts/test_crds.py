"""What the chart of our kinds installs, rendered by Go's engine, and as plain files."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.cluster import CRD_FOLDER

CHART = CRD_FOLDER.parent
RENDER = Path(__file__).parent / "render.go"
RENDER_SECONDS = 120
"""2 min: Go compiles it the first time (23 s on a busy machine), and keeps it."""


@pytest.fixture
def go() -> str:
    found = shutil.which("go")
    if found is None:
        pytest.skip("no Go here")
    return found


def values() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return read


def kinds_of(text: str) -> list[str]:
    return [one["spec"]["names"]["kind"] for one in yaml.safe_load_all(text) if one]


def rendered_kinds(go: str, values: dict[str, Any]) -> list[str]:
    return [
        kind
        for file in sorted(CRD_FOLDER.iterdir())
        for kind in kinds_of(
            subprocess.run(
                [go, "run", RENDER, file, json.dumps(values)],
                check=True,
                capture_output=True,
                text=True,
                timeout=RENDER_SECONDS,
            ).stdout
        )
    ]


def test_both_kinds_are_installed_unless_somebody_says_otherwise(go: str) -> None:
    assert rendered_kinds(go, values()) == ["Workspace", "NodeClaim"]


def test_where_karpenter_is_its_own_nodeclaims_stay(go: str) -> None:
    assert rendered_kinds(go, {**values(), "nodeClaim": {"install": False}}) == ["Workspace"]


def test_kubectl_may_apply_the_templates_as_they_are() -> None:
    kinds = [kinds_of(file.read_text()) for file in sorted(CRD_FOLDER.glob("*.yaml"))]
    assert kinds == [["Workspace"], ["NodeClaim"]]


def test_every_value_is_in_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    for group, fields in values().items():
        assert set(fields) == set(schema[group]["properties"])
