"""`plan --against`: what an edit of a manifest causes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.worker.plan.command_line import CommandLine, phi_4


def config_map(text: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings"},
        "data": {"inference_config.yaml": text},
    }


def effect(command_line: CommandLine, old: list[Any], new: list[Any], *more: str) -> dict[str, Any]:
    before, after = command_line.write("old.yaml", *old), command_line.write("new.yaml", *new)
    arguments = ("-f", after, "--against", before, "-o", "json", *more)
    found: dict[str, Any] = command_line.plan(*arguments).only["effect"]
    return found


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "nothing"),
        ({"metadata": {"labels": {"team": "a"}}}, "nothing"),
        ({"resource": {"preferredNodes": ["a"]}}, "nothing"),
        ({"preset": "microsoft/phi-4"}, "nothing"),
        ({"preset": "PHI-4"}, "nothing"),
        ({"preset": "phi-4-mini-instruct"}, "in-place"),
        ({"resource": {"count": 2}}, "in-place"),
        ({"instance_type": "Standard_NC40ads_H100_v5"}, "in-place"),
        ({"metadata": {"annotations": {"kaito.sh/runtime": "transformers"}}}, "in-place"),
        ({"metadata": {"annotations": {"kaito.sh/performance-mode": "throughput"}}}, "in-place"),
        ({"preset": "nobody"}, "refused"),
        ({"name": "another"}, "start"),
        ({"namespace": "another"}, "start"),
    ],
)
def test_the_effect_is_that_of_the_revision(
    command_line: CommandLine, changes: dict[str, Any], kind: str
) -> None:
    assert effect(command_line, [phi_4()], [phi_4(**changes)])["kind"] == kind


def test_an_edit_of_the_config_map_alone_is_an_edit(command_line: CommandLine) -> None:
    workspace = phi_4(inference={"config": "settings"})
    found = effect(
        command_line,
        [config_map("vllm: {max-model-len: 2048}"), workspace],
        [config_map("vllm: {max-model-len: 4096}"), workspace],
    )
    assert found["kind"] == "in-place"
    assert [one["field"] for one in found["changes"]] == ["config.vllm.max-model-len"]


def test_a_config_map_that_only_one_of_them_shows_is_the_same_for_both(
    command_line: CommandLine,
) -> None:
    workspace = phi_4(inference={"config": "settings"})
    text = "vllm: {max-model-len: 2048}"
    assert effect(command_line, [workspace], [config_map(text), workspace])["kind"] == "nothing"


def test_an_edit_in_place_says_how_long_nobody_answers_at_most(command_line: CommandLine) -> None:
    before = command_line.write("old.yaml", phi_4())
    after = command_line.write("new.yaml", phi_4(resource={"count": 2}))
    text = command_line.plan("-f", after, "--against", before).text
    assert "in place: " in text
    assert "nobody answers meanwhile, for at most 35 min" in text
    assert "resource.count: 1 -> 2" in text


def test_surge_is_told_with_the_nodes_that_it_takes(command_line: CommandLine) -> None:
    surge = {"rollout": {"strategy": "Surge"}}
    found = effect(command_line, [phi_4()], [phi_4(resource={"count": 2}, **surge)])
    assert (found["kind"], found["nodes_added"], found["nodes_released"]) == ("surge", 2, 2)
    assert found["downtime_seconds_at_most"] == 0


def test_an_earlier_manifest_that_can_not_be_read_ends_with_2(command_line: CommandLine) -> None:
    after = command_line.write("new.yaml", phi_4())
    before = command_line.write("old.yaml", phi_4(resource={"count": "many"}))
    printed = command_line.plan("-f", after, "--against", before)
    assert printed.code == 2
    assert printed.error.startswith("plan: --against: ")
    assert command_line.plan("-f", after, "--against", "/nowhere").code == 2
