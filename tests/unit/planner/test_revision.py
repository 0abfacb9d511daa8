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
        {"inference": {"preset": {"presetOptions": {"modelAccessSecret": "token"}}}},
        {"inference": {"preset": {"accessMode": "private", "presetOptions": {"image": "own:1"}}}},
        {"resource": {"partition": {"mode": "accelerator", "count": 1}}},
        {"metadata": {"annotations": {"kaito.sh/performance-mode": "throughput"}}},
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


def test_the_name_of_the_config_map_counts_only_while_its_content_is_not_known() -> None:
    one, other = (gen.workspace(inference={"config": name}) for name in ("mine", "restored"))
    assert name_of(one, config_text="vllm: {}") == name_of(other, config_text="vllm: {}")
    assert name_of(one) != name_of(other)


def test_another_registry_is_a_new_revision() -> None:
    assert name_of(image_registry="other.test") != name_of()


@pytest.mark.parametrize(
    "changes",
    [
        {"resource": {"preferredNodes": ["node-1"]}},
        {"resource": {"fallbackInstanceTypes": ["onebox.large"]}},
        {"resource": {"capacityType": "spot-with-fallback"}},
        {"rollout": {"strategy": "Surge", "progressDeadlineSeconds": 60}},
        {"instance_type": "Onebox.Small"},
        {"metadata": {"annotations": {"kaito.sh/enablelb": "true"}}},
        {"metadata": {"annotations": {"kaito.sh/bypass-resource-checks": "true"}}},
        {"inference": {"adapters": []}},
        {"inference": {"preset": {"presetOptions": None}}},
        {"metadata": {"generation": 7, "resourceVersion": "42", "annotations": {"a": "b"}}},
        {"status": {"phase": "Ready"}},
        {"resource": {"count": 1}},
        {"inference": {"preset": {"accessMode": "public"}}},
        {"preset": gen.PRESET.upper()},
    ],
)
def test_an_edit_that_nothing_running_feels_is_the_same_revision(changes: dict[str, Any]) -> None:
    assert name_of(gen.workspace(**changes)) == name_of()


def test_what_an_empty_instance_type_comes_to_is_part_of_the_revision() -> None:
    empty = gen.workspace(instance_type="")
    small, large = (
        name_of(empty, default_instance_type=one) for one in ("onebox.small", "onebox.large")
    )
    assert small == name_of()
    assert small != large


def test_another_commit_of_a_model_that_is_downloaded_is_a_new_revision() -> None:
    found = {
        name_of(preset=gen.gpu_preset(model={"revision": commit})) for commit in ("aaaa", "bbbb")
    }
    assert len(found) == 2


def test_another_image_of_the_platforms_own_is_a_new_revision_of_what_it_serves() -> None:
    own_image = gen.workspace(
        inference={"preset": {"accessMode": "private", "presetOptions": {"image": "own:1"}}}
    )
    by_platform = [name_of(preset=gen.gpu_preset(), image_registry=one) for one in ("a", "b")]
    by_user = [name_of(own_image, gen.gpu_preset(), image_registry=one) for one in ("a", "b")]
    assert by_platform[0] != by_platform[1]
    assert by_user[0] == by_user[1]


def test_another_runtime_is_a_new_revision_and_the_one_that_is_taken_anyway_is_not() -> None:
    chosen = [
        gen.workspace(metadata={"annotations": {"kaito.sh/runtime": one}})
        for one in ("vllm", "transformers")
    ]
    vllm, transformers = (name_of(one, gen.gpu_preset()) for one in chosen)
    assert vllm == name_of(preset=gen.gpu_preset())
    assert transformers != vllm


def test_pods_of_the_users_own_are_hashed_without_a_model() -> None:
    templates = [{"spec": {"containers": [{"name": "own", "image": one}]}} for one in "ab"]
    workspaces = [
        gen.workspace(inference={"preset": None, "template": template}) for template in templates
    ]
    found = {revision_hash(one, None, None, gen.settings()) for one in workspaces}
    assert len(found) == 2


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
