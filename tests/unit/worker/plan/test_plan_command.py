"""`python -m worker plan`: what it reads, what it prints, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import yaml

from activities.context import PROVISIONERS
from tests.harness.cluster import ROOT
from tests.unit.worker.plan.command_line import CommandLine, phi_4
from worker import cli, plan_command

LLAMA: dict[str, Any] = {
    "preset": "llama-3.3-70b-instruct",
    "instance_type": "Standard_NC48ads_A100_v4",
    "resource": {"count": 2},
    "inference": {"preset": {"presetOptions": {"modelAccessSecret": "hugging-face"}}},
}


# --- What it prints -------------------------------------------------------------------------------


def test_a_model_on_one_node_is_told_in_lines(command_line: CommandLine) -> None:
    printed = command_line.plan("-f", command_line.manifest())
    assert printed.code == 0
    assert printed.error == ""
    for words in (
        "Workspace default/chat, revision ",
        "phi-4, microsoft/phi-4 at 187ef03 (license MIT)",
        "1 of Standard_NC24ads_A100_v4 with 1 A100 of 80.0 GiB (1 new)",
        "3.67 USD an hour",
        "1 nvidia.com/gpu",
        "chat (ClusterIP)",
        "start: it starts on 1 node",
        "ghcr.io/kaito/vllm:",
        "--model=microsoft/phi-4 ",
    ):
        assert words in printed.text


def test_the_memory_of_a_gpu_is_told_line_by_line(command_line: CommandLine) -> None:
    lines = command_line.plan("-f", command_line.manifest()).text.splitlines()
    table = lines[lines.index("GPU memory") + 1 :][:6]
    assert [line.split("  ")[1] for line in table] == [
        "of each GPU",
        "usable",
        "- weights",
        "- cache",
        "- overhead",
        "= free",
    ]
    assert table[0].endswith("80.0 GiB")


def test_json_holds_the_same_as_numbers(command_line: CommandLine) -> None:
    found = command_line.plan("-f", command_line.manifest(**LLAMA), "-o", "json").only
    assert found["problems"] == []
    assert found["nodes"]["instance_type"] == "Standard_NC48ads_A100_v4"
    assert (found["nodes"]["count"], found["nodes"]["per_instance"]) == (2, 2)
    assert len(found["nodes"]["new"]) == 2
    assert found["parallelism"] == {"tensor": 2, "pipeline": 2, "data": 1}
    assert found["runtime"] == "vllm"
    assert found["usd_per_hour"] == pytest.approx(2 * 7.346)
    assert found["pod"]["devices"] == {"nvidia.com/gpu": "2"}
    assert "--tensor-parallel-size=2" in found["pod"]["command"]
    assert found["effect"]["kind"] == "start"


def test_the_parts_of_a_gpus_memory_sum_up(command_line: CommandLine) -> None:
    budget = command_line.plan("-f", command_line.manifest(), "-o", "json").only["budget"]
    spent = sum(budget[f"{part}_bytes"] for part in ("weights", "kv_cache", "overhead", "free"))
    assert spent == budget["usable_bytes"] < budget["total_bytes"]
    cache_bytes = budget["cache_tokens"] * budget["kv_cache_bytes_per_token"]
    assert cache_bytes == pytest.approx(budget["free_bytes"] + budget["kv_cache_bytes"], rel=0.01)


def test_candidates_are_told_in_the_order_of_trying(command_line: CommandLine) -> None:
    resource = {
        "fallbackInstanceTypes": ["Standard_NC40ads_H100_v5", "Standard_NC4as_T4_v3"],
        "capacityType": "spot-with-fallback",
    }
    found = command_line.plan("-f", command_line.manifest(resource=resource), "-o", "json").only
    told = [(one["instance_type"], one["capacity_type"]) for one in found["candidates"]]
    assert told[:4] == [
        ("Standard_NC24ads_A100_v4", "spot"),
        ("Standard_NC24ads_A100_v4", "on-demand"),
        ("Standard_NC40ads_H100_v5", "spot"),
        ("Standard_NC40ads_H100_v5", "on-demand"),
    ]
    text = command_line.plan("-f", command_line.manifest(resource=resource)).text
    assert "Standard_NC40ads_H100_v5  on-demand" in text


def test_pods_of_the_users_own_are_told_without_a_model(command_line: CommandLine) -> None:
    container = {"name": "a", "image": "own/server:1", "command": ["/server", "--greeting=a b"]}
    template = {"spec": {"containers": [container]}}
    path = command_line.manifest(inference={"preset": None, "template": template})
    found = command_line.plan("-f", path, "-o", "json").only
    assert (found["model"], found["budget"], found["parallelism"]) == (None, None, None)
    assert found["images"] == ["own/server:1"]
    assert found["pod"]["command"] == "/server '--greeting=a b'"


def test_emulated_gpus_have_no_memory_to_tell_of(command_line: CommandLine) -> None:
    path = command_line.manifest(preset="smollm2-135m-instruct", instance_type="onebox.small")
    printed = command_line.plan("-f", path)
    assert "1 emulated GPU" in printed.text
    assert "GPU memory" not in printed.text


def test_existing_nodes_cost_nothing_more(command_line: CommandLine) -> None:
    path = command_line.manifest(resource={"count": 2, "preferredNodes": ["mine"]})
    printed = command_line.plan("-f", path, "--provisioner", "byo")
    assert "nothing more, as no node is made" in printed.text
    nodes = command_line.plan("-f", path, "--provisioner", "byo", "-o", "json").only["nodes"]
    assert nodes["existing"] == ["assumed-0000", "mine"]
    assert nodes["new"] == []


def test_lines_end_without_blanks_and_are_not_wrapped(command_line: CommandLine) -> None:
    text = command_line.plan("-f", command_line.manifest()).text
    assert all(line == line.rstrip() for line in text.splitlines())
    assert max(map(len, text.splitlines())) > 200


# --- What it reads --------------------------------------------------------------------------------


def test_several_documents_and_files_are_told_in_their_order(command_line: CommandLine) -> None:
    both = command_line.write("two.yaml", phi_4(name="a"), phi_4(name="b"))
    third = command_line.write("third.yaml", phi_4(name="c"))
    found = command_line.plan("-f", both, "-f", third, "-o", "json").workspaces
    assert [one["name"] for one in found] == ["a", "b", "c"]
    assert command_line.plan("-f", both).text.count("Workspace default/") == 2


def test_a_list_and_a_folder_are_read_too(command_line: CommandLine) -> None:
    command_line.write("list.yaml", {"kind": "List", "items": [phi_4(name="a"), phi_4(name="b")]})
    command_line.write("notes.txt", "no manifest")
    found = command_line.plan("-f", str(command_line.folder), "-o", "json").workspaces
    assert [one["name"] for one in found] == ["a", "b"]


def test_standard_input_is_read(command_line: CommandLine) -> None:
    text = json.dumps(phi_4(name="piped"))
    printed = command_line.plan("-f", "-", "-o", "json", standard_input=text)
    assert printed.only["name"] == "piped"


def test_the_namespace_of_the_command_line_is_for_objects_that_name_none(
    command_line: CommandLine,
) -> None:
    bare = phi_4(name="bare", metadata={"namespace": None})
    path = command_line.write("two.yaml", bare, phi_4(name="set", namespace="own"))
    found = command_line.plan("-f", path, "-n", "other", "-o", "json").workspaces
    assert [one["namespace"] for one in found] == ["other", "own"]


LONG = "vllm: {max-model-len: 16384}"


def config_map(text: str = LONG, namespace: str = "default") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": namespace},
        "data": {"inference_config.yaml": text},
    }


WITH_CONFIG: dict[str, Any] = {"inference": {"config": "settings"}}


def test_a_config_map_in_the_same_file_counts(command_line: CommandLine) -> None:
    path = command_line.write("two.yaml", config_map(), phi_4(**WITH_CONFIG))
    found = command_line.plan("-f", path, "-o", "json").only
    assert found["budget"]["context_tokens"] == 16384
    assert found["warnings"] == []


def test_one_of_another_namespace_does_not(command_line: CommandLine) -> None:
    path = command_line.write("two.yaml", config_map(namespace="other"), phi_4(**WITH_CONFIG))
    found = command_line.plan("-f", path, "-o", "json").only
    assert found["budget"]["context_tokens"] != 16384
    assert "ConfigMap default/settings is not known here" in found["warnings"][0]


def test_the_content_of_the_command_line_wins(command_line: CommandLine) -> None:
    path = command_line.write("two.yaml", config_map("vllm: {}"), phi_4(**WITH_CONFIG))
    text = command_line.write("inference_config.yaml", LONG)
    found = command_line.plan("-f", path, "--config", text, "-o", "json").only
    assert found["budget"]["context_tokens"] == 16384


def test_a_content_that_can_not_be_used_is_a_problem_of_its_field(
    command_line: CommandLine,
) -> None:
    path = command_line.write(
        "two.yaml", config_map("vllm: {max-model-len: x}"), phi_4(**WITH_CONFIG)
    )
    printed = command_line.plan("-f", path, "-o", "json")
    assert printed.code == 1
    assert printed.only["problems"][0]["field"].startswith("inference.config")


def test_a_misspelt_field_is_told(command_line: CommandLine) -> None:
    found = command_line.plan(
        "-f", command_line.manifest(resource={"instanceTyp": "x"}), "-o", "json"
    ).only
    assert found["warnings"] == [
        "resource.instanceTyp: a Workspace has no such field, so it is dropped"
    ]


# --- How it ends ----------------------------------------------------------------------------------


def test_a_problem_ends_with_1_and_says_field_and_remedy(command_line: CommandLine) -> None:
    path = command_line.manifest(preset="phi-44")
    printed = command_line.plan("-f", path)
    assert printed.code == 1
    assert "UnknownPreset: inference.preset.name: " in printed.text
    assert "did you mean phi-4" in printed.text
    (problem,) = command_line.plan("-f", path, "-o", "json").only["problems"]
    assert problem["reason"] == "UnknownPreset"
    assert problem["remedy"]


def test_where_a_type_is_too_small_those_that_would_do_are_named(
    command_line: CommandLine,
) -> None:
    path = command_line.manifest(**{**LLAMA, "instance_type": "Standard_NC4as_T4_v3"})
    printed = command_line.plan("-f", path)
    assert printed.code == 1
    assert "InstanceTypeTooSmall: resource.instanceType: " in printed.text
    assert "Instance types that would do" in printed.text
    suggestions = command_line.plan("-f", path, "-o", "json").only["suggestions"]
    assert [one["nodes"] for one in suggestions] == [1, 1, 1]
    fits = command_line.manifest(**{**LLAMA, "instance_type": suggestions[0]["instance_type"]})
    assert command_line.plan("-f", fits).code == 0


def test_one_problem_among_several_documents_ends_with_1(command_line: CommandLine) -> None:
    path = command_line.write("two.yaml", phi_4(name="a"), phi_4(name="b", preset="nobody"))
    printed = command_line.plan("-f", path, "-o", "json")
    assert printed.code == 1
    assert [len(one["problems"]) for one in printed.workspaces] == [0, 1]


def test_a_field_of_the_wrong_type_is_a_problem_too(command_line: CommandLine) -> None:
    path = command_line.manifest(resource={"count": "many"})
    printed = command_line.plan("-f", path, "-o", "json")
    assert printed.code == 1
    assert "resource.count" in printed.only["problems"][0]["message"]


def test_an_object_without_a_name_is_a_problem_too(command_line: CommandLine) -> None:
    path = command_line.manifest(metadata=None)
    printed = command_line.plan("-f", path)
    assert printed.code == 1
    assert "metadata" in printed.text


def test_tuning_is_not_available_yet(command_line: CommandLine) -> None:
    tuning = {
        "preset": {"name": "phi-4"},
        "method": "lora",
        "input": {"urls": ["https://data.example.com/a.parquet"]},
        "output": {"image": "registry.example.com/a:1", "imagePushSecret": "push"},
    }
    path = command_line.manifest(inference=None, tuning=tuning)
    printed = command_line.plan("-f", path, "-o", "json")
    assert printed.code == 1
    assert [one["reason"] for one in printed.only["problems"]] == ["FeatureNotAvailable"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [", "line 2"),
        ("just words", "one of its documents is no object"),
        ("a: \x01", "control characters are not allowed"),
        (yaml.safe_dump({"apiVersion": "v1", "kind": "Pod"}), "no object of kind Workspace"),
        (yaml.safe_dump({**phi_4(), "apiVersion": "other/v1"}), "no object of kind Workspace"),
        ("", "no object of kind Workspace"),
    ],
)
def test_a_file_without_a_workspace_ends_with_2(
    command_line: CommandLine, content: str, words: str
) -> None:
    path = command_line.write("broken.yaml", content)
    printed = command_line.plan("-f", path)
    assert (printed.code, printed.text) == (2, "")
    assert printed.error.startswith(f"plan: {path}: ")
    assert words in printed.error


def test_a_file_that_is_not_there_or_no_text_ends_with_2(command_line: CommandLine) -> None:
    assert command_line.plan("-f", "/nowhere/at/all").code == 2
    binary = command_line.folder / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    printed = command_line.plan("-f", str(binary))
    assert printed.code == 2
    assert "no text in UTF-8" in printed.error
    assert command_line.plan("-f", command_line.manifest(), "--config", "/nowhere").code == 2


def test_a_bad_setting_ends_with_2(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAITO_HTTP_PORT", "many")
    printed = command_line.plan("-f", command_line.manifest())
    assert printed.code == 2
    assert "KAITO_HTTP_PORT" in printed.error


@pytest.mark.parametrize("provisioner", ["any", *PROVISIONERS])
def test_every_provisioner_that_can_be_set_can_be_planned_for(
    command_line: CommandLine, provisioner: str
) -> None:
    printed = command_line.plan("-f", command_line.manifest(), "--provisioner", provisioner)
    assert printed.code == plan_command.EXIT_PLANNED, printed.text + printed.error


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan"],
        ["plan", "-f", "a", "-o", "yaml"],
        ["plan", "-f", "a", "--against", "b", "--cluster"],
        ["plan", "-f", "a", "--provisioner", "nobody"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.parser().parse_args(arguments)
    assert ended.value.code == 2
    assert "usage: python -m worker plan" in capsys.readouterr().err


def test_the_process_itself_prints_and_ends_so(command_line: CommandLine) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "worker", "plan", "-f", command_line.manifest(preset="nobody")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "UnknownPreset" in done.stdout
