"""What makes a new revision, and what does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api.preset import Preset
from api.workspace import Workspace
from planner.render import render_controller_revision
from planner.revision import revision_hash
from tests import gen

ROOT = Path(__file__).resolve().parents[3]


def name_of(
    workspace: Workspace | None = None,
    preset: Preset | None = None,
    config_text: str | None = None,
    **settings: Any,
) -> str:
    return revision_hash(
        workspace or gen.workspace(), preset or gen.preset(), config_text, gen.settings(**settings)
    )


def test_a_name_is_eight_hexadecimal_characters() -> None:
    assert re.fullmatch(r"[0-9a-f]{8}", name_of())


@pytest.mark.parametrize(
    "changes",
    [
        {"instance_type": "onebox.large"},
        {"resource": {"count": 2}},
        {"resource": {"labelSelector": {"matchLabels": {"apps": "other"}}}},
        {"inference": {"config": "my-config"}},
        {"inference": {"adapters": [{"source": {"name": "a", "image": "b"}}]}},
        {"inference": {"preset": None, "template": {"spec": {}}}},
        {"tuning": {"input": {}, "output": {}}},
    ],
)
def test_an_edit_that_pods_or_nodes_feel_is_a_new_revision(changes: dict[str, Any]) -> None:
    assert name_of(gen.workspace(**changes)) != name_of()


@pytest.mark.parametrize(
    "runtime",
    [
        {"image": "kaito/vllm-cpu:newer"},
        {"arguments": {"dtype": "float16"}},
        {"environment": {"A": "b"}},
        {"resources": {"cpu": "2", "memory": "4Gi", "sharedMemory": "1Gi"}},
    ],
)
def test_a_change_of_the_catalogue_that_pods_feel_is_a_new_revision(
    runtime: dict[str, Any],
) -> None:
    changed = gen.merged(gen.preset_content()["runtimes"][0], runtime)
    assert name_of(preset=gen.preset(runtimes=[changed])) != name_of()


def test_other_weights_are_a_new_revision() -> None:
    assert name_of(preset=gen.preset(weights={"reference": "kaito/weights/model:2"})) != name_of()


def test_the_content_of_the_config_map_is_part_of_the_revision() -> None:
    configured = gen.workspace(inference={"config": "my-config"})
    found = {name_of(configured, config_text=text) for text in (None, "", "vllm: {}")}
    assert len(found) == 3


def test_another_registry_is_a_new_revision() -> None:
    assert name_of(image_registry="other.test") != name_of()


@pytest.mark.parametrize(
    "changes",
    [
        {"resource": {"preferredNodes": ["node-1"]}},
        {"metadata": {"generation": 7, "resourceVersion": "42", "annotations": {"a": "b"}}},
        {"status": {"phase": "Ready"}},
        {"resource": {"count": 1}},
        {"inference": {"preset": {"accessMode": "public"}}},
        {"preset": gen.PRESET.upper()},
    ],
)
def test_an_edit_that_nothing_running_feels_is_the_same_revision(changes: dict[str, Any]) -> None:
    assert name_of(gen.workspace(**changes)) == name_of()


def test_words_about_a_model_restart_nothing() -> None:
    changed = gen.preset(description="new words", aliases=["other"], readyDeadlineSeconds=60)
    assert name_of(preset=changed) == name_of()


def test_the_order_of_keys_does_not_count() -> None:
    labels = {"a": "1", "b": "2", "c": "3"}
    selectors = [{"matchLabels": labels}, {"matchLabels": dict(reversed(labels.items()))}]
    found = {name_of(gen.workspace(resource={"labelSelector": one})) for one in selectors}
    assert len(found) == 1


def test_a_recorded_revision_has_the_name_that_it_was_recorded_under() -> None:
    workspace = gen.workspace(
        inference={"config": "my-config"}, resource={"preferredNodes": ["node-1"]}
    )
    data = render_controller_revision(workspace, "0", 1)["data"]
    read_back = Workspace.from_object({"metadata": {"name": "chat", "uid": gen.UID}, **data})
    assert name_of(read_back) == name_of(workspace)


def test_every_process_finds_the_same_name() -> None:
    # Python seeds the hashes of strings anew in each process.
    program = (
        "from tests import gen; from planner.revision import revision_hash; "
        "print(revision_hash(gen.workspace(), gen.preset(), 'text', gen.settings()))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {name_of(config_text="text")}


def test_a_spec_without_a_known_model_has_a_name_too() -> None:
    assert revision_hash(gen.workspace(), None, None, gen.settings()) != name_of()


def test_text_that_is_no_ascii_is_hashed() -> None:
    assert name_of(config_text="größer \ud800") != name_of(config_text="größer")
