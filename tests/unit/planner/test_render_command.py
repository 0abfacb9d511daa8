"""The model server's command line."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from api import names
from tests import gen
from tests.unit.planner.rendering import (
    flags_of,
    for_runtime,
    gpu_workload,
    line_of,
    workload,
)

COMMIT = "0123456789abcdef"


def runtimes(**arguments: Any) -> list[dict[str, Any]]:
    return [
        {"name": "vllm", "arguments": arguments},
        {"name": "transformers", "arguments": arguments},
    ]


def private(**changes: Any) -> Any:
    options = {"image": "mine.test/model:1"}
    preset = {"name": gen.PRESET, "accessMode": "private", "presetOptions": options}
    return gen.workspace(inference={"preset": preset}, **changes)


# --- both runtimes --------------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", ["vllm", "transformers"])
def test_the_server_itself_gets_the_signal_to_end(runtime: str) -> None:
    assert line_of(gpu_workload(for_runtime(runtime))).startswith("exec ")


@pytest.mark.parametrize("runtime", ["vllm", "transformers"])
def test_flags_are_in_the_order_of_their_names(runtime: str) -> None:
    words = shlex.split(line_of(gpu_workload(for_runtime(runtime))))
    program = next(i for i, word in enumerate(words) if word.endswith("inference_api.py"))
    own = words[program + 1 :]
    assert own == sorted(own)


@pytest.mark.parametrize("runtime", ["vllm", "transformers"])
def test_the_catalogues_arguments_win(runtime: str) -> None:
    given = runtimes(**{"chat-template": "a b; rm -rf /", "revision": "mine", "off": False})
    flags = flags_of(gpu_workload(for_runtime(runtime), runtimes=given))
    assert flags["chat-template"] == "a b; rm -rf /"
    assert flags["revision"] == "mine"
    assert "off" not in flags


@pytest.mark.parametrize("runtime", ["vllm", "transformers"])
def test_an_argument_that_is_null_takes_ours_away(runtime: str) -> None:
    assert "revision" in flags_of(gpu_workload(for_runtime(runtime)))
    flags = flags_of(gpu_workload(for_runtime(runtime), runtimes=runtimes(revision=None)))
    assert "revision" not in flags


@pytest.mark.parametrize(
    ("runtime", "flag"), [("vllm", "trust-remote-code"), ("transformers", "trust_remote_code")]
)
def test_code_of_the_model_is_run_only_where_the_catalogue_says_so(runtime: str, flag: str) -> None:
    workspace = for_runtime(runtime)
    assert flag not in flags_of(gpu_workload(workspace))
    assert flags_of(gpu_workload(workspace, trustRemoteCode=True))[flag] == ""


@pytest.mark.parametrize(
    ("runtime", "flag"), [("vllm", "model"), ("transformers", "pretrained_model_name_or_path")]
)
def test_a_model_that_is_downloaded_is_named_by_id_and_commit(runtime: str, flag: str) -> None:
    flags = flags_of(gpu_workload(for_runtime(runtime)))
    assert flags[flag] == "org/model"
    assert flags["revision"] == COMMIT


@pytest.mark.parametrize("runtime", ["vllm", "transformers"])
def test_a_model_whose_commit_nobody_knows_is_asked_for_without(runtime: str) -> None:
    workspace = for_runtime(runtime)
    assert "revision" not in flags_of(gpu_workload(workspace, model={"revision": ""}))


@pytest.mark.parametrize(
    ("runtime", "flag"), [("vllm", "model"), ("transformers", "pretrained_model_name_or_path")]
)
@pytest.mark.parametrize(
    "weights", [{"kind": "oci", "reference": "kaito/weights/model:1"}, {"kind": "image"}]
)
def test_weights_that_are_there_are_read_from_their_folder(
    runtime: str, flag: str, weights: dict[str, str]
) -> None:
    flags = flags_of(gpu_workload(for_runtime(runtime), weights=weights))
    assert flags[flag] == names.PATH_WEIGHTS
    assert "revision" not in flags


# --- vLLM -----------------------------------------------------------------------------------------


def test_the_model_is_served_under_its_catalogue_name() -> None:
    flags = flags_of(workload(gen.workspace(preset=gen.PRESET.upper())))
    assert flags["served-model-name"] == gen.PRESET


def test_downloads_go_onto_the_volume_for_weights() -> None:
    assert flags_of(gpu_workload())["download-dir"] == names.PATH_WEIGHTS
    assert "download-dir" not in flags_of(workload())


def test_the_plans_sizes_become_flags() -> None:
    sizing = gen.sizing(
        gpus_per_pod=8, parallelism={"tensor": 4, "data": 2}, gpu_memory_utilization=0.84
    )
    flags = flags_of(gpu_workload(sizing=sizing))
    assert flags["tensor-parallel-size"] == "4"
    assert flags["data-parallel-size"] == "2"
    assert flags["gpu-memory-utilization"] == "0.84"
    assert "pipeline-parallel-size" not in flags
    assert "distributed-executor-backend" not in flags


def test_layers_can_be_dealt_out_within_one_node() -> None:
    sizing = gen.sizing(gpus_per_pod=3, parallelism={"pipeline": 3})
    flags = flags_of(gpu_workload(sizing=sizing))
    assert flags["pipeline-parallel-size"] == "3"
    assert "distributed-executor-backend" not in flags


def test_the_server_finds_the_longest_context_that_fits() -> None:
    assert flags_of(gpu_workload())["max-model-len"] == "auto"


def test_emulated_accelerators_are_nothing_to_split_a_model_over() -> None:
    flags = flags_of(workload(sizing=gen.sizing(parallelism={"tensor": 1, "data": 2})))
    assert flags["tensor-parallel-size"] == "1"
    assert "data-parallel-size" not in flags


def test_settings_of_the_user_are_named_only_when_they_are_given() -> None:
    configured = gen.workspace(inference={"config": "mine"})
    assert "kaito-config-file" not in flags_of(workload())
    assert flags_of(workload(configured))["kaito-config-file"] == (
        "/mnt/config/inference_config.yaml"
    )


@pytest.mark.parametrize(
    ("mode", "flag"),
    [("throughput", "throughput"), ("Interactivity", "interactivity"), ("balanced", None)],
)
def test_a_performance_mode_is_passed_on_unless_it_is_the_usual_one(
    mode: str, flag: str | None
) -> None:
    annotations = {names.ANNOTATION_PERFORMANCE_MODE: mode}
    workspace = gen.workspace(metadata={"annotations": annotations})
    assert flags_of(gpu_workload(workspace)).get("performance-mode") == flag


def test_an_image_of_the_users_own_is_told_nothing_that_old_servers_do_not_know() -> None:
    flags = flags_of(gpu_workload(private()))
    assert flags["model"] == names.PATH_WEIGHTS
    assert "max-model-len" not in flags
    assert "revision" not in flags


# --- transformers ---------------------------------------------------------------------------------


def test_one_process_serves_on_all_gpus() -> None:
    words = shlex.split(line_of(gpu_workload(for_runtime("transformers"))))
    assert words[:3] == ["exec", "accelerate", "launch"]
    assert words[3:7] == [
        "--num_processes=1",
        "--num_machines=1",
        "--machine_rank=0",
        "--gpu_ids=all",
    ]
    assert words[7] == "/workspace/tfs/inference_api.py"


def test_transformers_computes_in_the_weights_own_type_unless_told_otherwise() -> None:
    workspace = for_runtime("transformers")
    assert flags_of(gpu_workload(workspace))["torch_dtype"] == "auto"
    chosen = gpu_workload(workspace, runtimes=runtimes(torch_dtype="float16"))
    assert flags_of(chosen)["torch_dtype"] == "float16"


def test_transformers_may_download_only_what_is_not_there() -> None:
    workspace = for_runtime("transformers")
    assert flags_of(gpu_workload(workspace))["allow_remote_files"] == ""
    assert "allow_remote_files" not in flags_of(gpu_workload(workspace, weights={"kind": "image"}))


def test_transformers_knows_no_flag_of_vllm() -> None:
    flags = flags_of(gpu_workload(for_runtime("transformers")))
    assert not [name for name in flags if "-" in name]
    assert flags["served_model_name"] == gen.PRESET


def test_upstreams_transformers_images_are_told_no_served_name() -> None:
    annotations = {names.ANNOTATION_RUNTIME: "transformers"}
    flags = flags_of(gpu_workload(private(metadata={"annotations": annotations})))
    assert "served_model_name" not in flags
    assert flags["pretrained_model_name_or_path"] == names.PATH_WEIGHTS
