"""Every example can be carried out, or says that its feature is not available yet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.cluster import ROOT
from tests.unit.planner.hub_configs import QWEN_2_5_7B
from tests.unit.worker.plan.command_line import CommandLine

FOLDER = ROOT / "examples"
FILES = sorted(FOLDER.rglob("*.yaml"))

ON_EXISTING_NODES = {
    "workspace-existing-nodes",
    "workspace-any-existing-node",
    "workspace-gpu-partition",
    "workspace-mig-partition",
}
"""For a platform that makes no nodes, as their index says."""

BY_HUGGING_FACE_ID = {"workspace-hugging-face", "workspace-hugging-face-pinned"}


def arguments_of(path: Path, folder: Path) -> list[str]:
    arguments = ["-f", str(path), "-o", "json"]
    if path.stem in ON_EXISTING_NODES:
        arguments += ["--provisioner", "byo"]
    if path.stem in BY_HUGGING_FACE_ID:
        (folder / "config.json").write_text(json.dumps(QWEN_2_5_7B))
        index = {"metadata": {"total_size": 15_231_233_024}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        arguments += ["--model-config", str(folder)]
    return arguments


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_an_example_breaks_no_rule(command_line: CommandLine, path: Path) -> None:
    printed = command_line.plan(*arguments_of(path, command_line.folder))
    reasons = [one["reason"] for one in printed.only["problems"]]
    if path.parent.name == "tuning":
        assert (printed.code, reasons) == (1, ["FeatureNotAvailable"])
    else:
        assert (printed.code, reasons) == (0, [])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_an_example_says_what_it_shows(path: Path) -> None:
    assert path.read_text().startswith("# ")
