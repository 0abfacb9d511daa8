"""What the planner renders is what the image's programs understand, flag by flag, path by path."""

from __future__ import annotations

import io
import json
import shlex
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from api import names
from onebox.images import debian, runtime
from planner.render import draining, render_workload
from planner.sizing import Sizing
from planner.world import PlatformSettings
from presets.loader import load_catalogue
from tests import gen
from tests.unit.runtimes.fake_registry import FakeRegistry
from tests.unit.runtimes.loading import load
from tests.unit.runtimes.runtime_flags import transformers_parser, vllm_parser

pull_oci = load("weights/pull_oci.py")
inference_api = load("vllm/inference_api.py")

CATALOGUE = load_catalogue()
SMOLLM2 = "smollm2-135m-instruct"
INSTANCE_TYPES = ("onebox.small", "onebox.large")
CONFIG = "my-config"
"""The name of a user's ConfigMap."""


def pod_of(instance_type: str, settings: PlatformSettings, *, config: str = "") -> dict[str, Any]:
    preset = CATALOGUE.get(SMOLLM2)
    known = CATALOGUE.instance_type(instance_type)
    assert preset is not None
    assert known is not None
    workspace = gen.workspace(
        preset=SMOLLM2,
        instance_type=instance_type,
        inference={"preset": {"name": SMOLLM2}, **({"config": config} if config else {})},
    )
    sizing = gen.sizing(gpus_per_pod=known.gpu_count)
    rendered = render_workload(workspace, preset, "abcd1234", ["node-1"], settings, sizing)
    spec: dict[str, Any] = rendered["spec"]["template"]["spec"]
    return spec


def server_words(pod: dict[str, Any]) -> list[str]:
    shell, option, line = pod["containers"][0]["command"]
    assert (shell, option) == ("/bin/sh", "-c")
    return shlex.split(line)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry(repository=f"kaito/weights/{SMOLLM2}").running() as running:
        yield running


@pytest.mark.parametrize("instance_type", INSTANCE_TYPES)
def test_every_flag_of_the_server_is_the_programs_or_vllms(instance_type: str) -> None:
    words = server_words(pod_of(instance_type, gen.settings(), config=CONFIG))
    options, rest = inference_api.parse_options(words[3:])
    assert str(options.config) == inference_api.DEFAULT_CONFIG
    parsed, unknown = vllm_parser().parse_known_args(rest)
    assert unknown == []
    assert parsed.served_model_name == [SMOLLM2]
    assert parsed.tensor_parallel_size == 1  # a CPU has nothing to split a model over
    assert parsed.gpu_memory_utilization is None
    assert parsed.enforce_eager  # the image has no C++ compiler


def test_the_server_gets_no_file_where_no_config_map_is_mounted() -> None:
    words = server_words(pod_of("onebox.small", gen.settings()))
    assert not any(word.startswith("--kaito-config-file") for word in words)


def test_a_config_map_wins_over_what_the_planner_says(tmp_path: Path) -> None:
    words = server_words(pod_of("onebox.small", gen.settings(), config=CONFIG))
    file = tmp_path / "inference_config.yaml"
    file.write_text("vllm: {max-model-len: 512}\n")
    options, rest = inference_api.parse_options([*words[3:], f"--kaito-config-file={file}"])
    parser = vllm_parser()
    settings = inference_api.read_config(options.config)
    found = parser.parse_args(inference_api.command_line(options, rest, settings, parser))
    assert found.max_model_len == 512
    assert found.port == names.PORT_SERVING


def test_the_grace_has_room_for_the_hook_and_for_the_longest_generation() -> None:
    pod = pod_of("onebox.small", gen.settings())
    assert inference_api.SHUTDOWN_SECONDS == draining.LONGEST_GENERATION_SECONDS
    used = draining.ENDPOINTS_SECONDS + inference_api.SHUTDOWN_SECONDS
    assert pod["terminationGracePeriodSeconds"] > used


def test_the_hook_tells_the_program_by_the_file_that_it_looks_for() -> None:
    hook = pod_of("onebox.small", gen.settings())["containers"][0]["lifecycle"]["preStop"]
    touched = shlex.split(hook["exec"]["command"][2].partition(";")[0])
    assert touched == ["touch", str(inference_api.DRAINING_FILE)]


def test_idle_connections_end_before_the_hook_does() -> None:
    # What a client sends on one after that, vLLM refuses.
    assert inference_api.IDLE_CONNECTION_SECONDS < draining.ENDPOINTS_SECONDS


def test_the_programs_lie_in_the_image_where_the_pod_starts_them() -> None:
    pod = pod_of("onebox.small", gen.settings())
    started = {server_words(pod)[2], pod["initContainers"][0]["command"][1]}
    assert started == {f"/{name}" for name in runtime.PROGRAMS}


def test_volumes_are_mounted_where_the_programs_look() -> None:
    pod = pod_of("onebox.small", gen.settings(), config=CONFIG)
    server, puller = pod["containers"][0], pod["initContainers"][0]
    mounted = {mount["mountPath"] for mount in server["volumeMounts"]}
    assert str(PurePosixPath(inference_api.DEFAULT_CONFIG).parent) in mounted
    assert inference_api.DEFAULT_MODEL in mounted
    assert inference_api.DEFAULT_MODEL in {mount["mountPath"] for mount in puller["volumeMounts"]}
    for folder in (inference_api.DEFAULT_MODEL, inference_api.DEFAULT_ADAPTERS, "/mnt/config"):
        assert folder.removeprefix("/") in runtime.FOLDERS


def test_no_volume_hides_a_program() -> None:
    pod = pod_of("onebox.small", gen.settings(), config=CONFIG)
    for container in (*pod["containers"], *pod["initContainers"]):
        for mount in container["volumeMounts"]:
            assert not any(
                PurePosixPath(f"/{program}").is_relative_to(mount["mountPath"])
                for program in runtime.PROGRAMS
            )


def test_pod_and_image_agree_on_user_and_home() -> None:
    pod = pod_of("onebox.small", gen.settings())
    image = runtime.image_config("")["config"]
    assert image["User"] == f"{debian.USER_ID}:{debian.USER_ID}"
    assert pod["securityContext"]["runAsUser"] == debian.USER_ID
    assert pod["securityContext"]["fsGroup"] == debian.USER_ID
    own = dict(entry.split("=", 1) for entry in image["Env"])
    for entry in pod["containers"][0]["env"]:
        assert own.get(entry["name"], entry["value"]) == entry["value"], entry["name"]


def test_the_probes_ask_where_the_server_listens() -> None:
    server = pod_of("onebox.small", gen.settings())["containers"][0]
    (port,) = server["ports"]
    assert port["containerPort"] == inference_api.DEFAULT_PORT == names.PORT_SERVING
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[probe]["httpGet"] == {"path": "/health", "port": port["name"]}


def test_the_init_container_pulls_with_the_arguments_that_it_is_given(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.push({"config.json": b"{}"})
    settings = gen.settings(registry_plain_http=True, image_registry=registry.address)
    command = pod_of("onebox.small", settings)["initContainers"][0]["command"]
    assert command[0] == "python3"
    assert registry.reference() in command
    here = [str(tmp_path) if word == inference_api.DEFAULT_MODEL else word for word in command]
    assert here != command
    assert pull_oci.main(here[2:]) == 0
    inference_api.check_model(str(tmp_path))
    assert json.loads((tmp_path / "config.json").read_text()) == {}


# --- the whole catalogue --------------------------------------------------------------------------

SIZINGS = {
    "one-gpu": gen.sizing(),
    "copies": gen.sizing(gpus_per_pod=8, parallelism={"data": 8}),
    "two-nodes": gen.sizing(
        gpus_per_pod=8, nodes_per_instance=2, parallelism={"tensor": 8, "pipeline": 2}
    ),
}


def presets_of(runtime_name: str) -> list[str]:
    presets = [CATALOGUE.presets[name] for name in CATALOGUE.names()]
    return [one.name for one in presets if runtime_name in {each.name for each in one.runtimes}]


def words_for(preset_name: str, runtime_name: str, sizing: Sizing, **changes: Any) -> list[str]:
    """Return the words that the server's program is given."""
    annotations = {names.ANNOTATION_RUNTIME: runtime_name, **changes.pop("annotations", {})}
    workspace = gen.workspace(
        preset=preset_name, metadata={"annotations": annotations}, inference=changes
    )
    preset = CATALOGUE.get(preset_name)
    rendered = render_workload(workspace, preset, "abcd1234", ["n"], gen.settings(), sizing)
    _, _, line = rendered["spec"]["template"]["spec"]["containers"][0]["command"]
    # Of several nodes, the part that pod 0 runs in the end.
    server = line.rpartition("&& ")[2].partition("; else")[0]
    words = shlex.split(server)
    program = next(i for i, word in enumerate(words) if word.endswith("inference_api.py"))
    return words[program + 1 :]


@pytest.mark.parametrize("sizing", SIZINGS)
@pytest.mark.parametrize("preset_name", presets_of("vllm"))
def test_vllm_understands_every_flag_for_every_model(preset_name: str, sizing: str) -> None:
    words = words_for(
        preset_name,
        "vllm",
        SIZINGS[sizing],
        config=CONFIG,
        adapters=[{"source": {"name": "a", "image": "x/y:1"}}],
        annotations={names.ANNOTATION_PERFORMANCE_MODE: "throughput"},
    )
    _, rest = inference_api.parse_options(words)
    parsed, unknown = vllm_parser().parse_known_args(rest)
    assert unknown == []
    assert parsed.served_model_name == [preset_name]
    # vLLM refuses one without the other.
    assert bool(parsed.tool_call_parser) == bool(parsed.enable_auto_tool_choice)


@pytest.mark.parametrize("preset_name", presets_of("transformers"))
def test_the_transformers_runtime_understands_every_flag_for_every_model(preset_name: str) -> None:
    words = words_for(preset_name, "transformers", SIZINGS["one-gpu"])
    parsed, unknown = transformers_parser().parse_known_args(words)
    assert unknown == []
    assert parsed.pretrained_model_name_or_path


def test_a_file_of_the_users_wins_over_the_plan(tmp_path: Path) -> None:
    file = tmp_path / "inference_config.yaml"
    file.write_text("vllm: {max-model-len: 512, tensor-parallel-size: 2}\n")
    words = words_for("phi-4", "vllm", SIZINGS["copies"], config=CONFIG)
    options, rest = inference_api.parse_options([*words, f"--kaito-config-file={file}"])
    parser = vllm_parser()
    settings = inference_api.read_config(options.config)
    found = parser.parse_args(inference_api.command_line(options, rest, settings, parser))
    assert (found.max_model_len, found.tensor_parallel_size) == (512, 2)
    assert found.data_parallel_size == 8


# --- adapters -------------------------------------------------------------------------------------


def tar_of(files: Mapping[str, bytes], *, link: str = "") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        if link:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, "/bin/busybox"
            tar.addfile(member)
    return packed.getvalue()


def test_an_adapters_image_is_unpacked_where_the_server_looks(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    content = json.dumps({"r": 8}).encode()
    # As upstream's are built: the files are a layer on those of a small system, links and all.
    layers = [
        registry.layer(archive, media_type="x/tar")
        for archive in (tar_of({}, link="bin/sh"), tar_of({"data/adapter_config.json": content}))
    ]
    registry.push_manifest({"layers": layers}, tag="1")
    source = {"name": "tone", "image": registry.reference()}
    workspace = gen.workspace(inference={"adapters": [{"source": source}]})
    settings = gen.settings(registry_plain_http=True, image_registry=registry.address)
    rendered = render_workload(
        workspace, gen.gpu_preset(), "abcd1234", ["n"], settings, gen.sizing()
    )
    pod = rendered["spec"]["template"]["spec"]
    (puller,), (server,) = pod["initContainers"], pod["containers"]
    pulled = puller["command"][puller["command"].index("--destination") + 1]
    here = [str(tmp_path) if word == pulled else word for word in puller["command"]]
    assert pull_oci.main(here[2:]) == 0
    (mount,) = [one for one in server["volumeMounts"] if one["mountPath"].startswith("/mnt/")]
    assert (tmp_path / mount["subPath"] / "adapter_config.json").read_bytes() == content
    folder = PurePosixPath(mount["mountPath"])
    assert str(folder.parent) == inference_api.DEFAULT_ADAPTERS
    assert folder.name == "tone"
