"""LoRA adapters beside a model."""

from __future__ import annotations

from typing import Any

import pytest

from planner.render import images_of
from tests import gen
from tests.unit.planner.rendering import (
    environment_of,
    flags_of,
    for_runtime,
    gpu_workload,
    mounts_of,
    pod_of,
    server_of,
    volumes_of,
    workload,
)

CLAIM = {"persistentVolumeClaim": {"claimName": "tuned"}}


def image(name: str = "tone", **source: Any) -> dict[str, Any]:
    return {"source": {"name": name, "image": f"mine.test/{name}:1", **source}}


def with_adapters(*adapters: dict[str, Any], runtime: str = "vllm") -> Any:
    return for_runtime(runtime, inference={"adapters": list(adapters)})


def test_vllm_loads_adapters_only_when_there_are_some() -> None:
    assert "enable-lora" not in flags_of(gpu_workload())
    assert flags_of(gpu_workload(with_adapters(image())))["enable-lora"] == ""


def test_each_image_is_fetched_before_the_server_starts() -> None:
    stateful_set = gpu_workload(with_adapters(image("tone"), image("style")))
    first, second = pod_of(stateful_set)["initContainers"]
    assert "mine.test/tone:1" in first["command"]
    assert "mine.test/style:1" in second["command"]
    assert first["name"] != second["name"]
    assert first["image"] == "registry.test/kaito/vllm:0.32.0-1"


def test_an_adapter_lies_in_the_folder_of_its_name() -> None:
    stateful_set = gpu_workload(with_adapters(image("tone")))
    (puller,) = pod_of(stateful_set)["initContainers"]
    destination = puller["command"][puller["command"].index("--destination") + 1]
    fetched, seen = mounts_of(puller)[destination], mounts_of(server_of(stateful_set))
    assert seen["/mnt/adapter/tone"]["name"] == fetched["name"]
    # Upstream's contract: an adapter's image holds its files under /data.
    assert seen["/mnt/adapter/tone"]["subPath"] == "data"
    assert volumes_of(stateful_set)[fetched["name"]]["emptyDir"] == {}


def test_an_adapter_on_a_volume_is_mounted_as_it_is() -> None:
    adapter = {"source": {"name": "tone", "volumeSource": CLAIM}}
    stateful_set = gpu_workload(with_adapters(adapter))
    mount = mounts_of(server_of(stateful_set))["/mnt/adapter/tone"]
    assert "subPath" not in mount
    assert volumes_of(stateful_set)[mount["name"]] == {**CLAIM, "name": mount["name"]}
    assert "initContainers" not in pod_of(stateful_set)


def test_the_server_can_change_no_adapter() -> None:
    adapter = {"source": {"name": "style", "volumeSource": CLAIM}}
    mounts = mounts_of(server_of(gpu_workload(with_adapters(image("tone"), adapter))))
    assert mounts["/mnt/adapter/tone"]["readOnly"] is True
    assert mounts["/mnt/adapter/style"]["readOnly"] is True


def test_a_pull_secret_reaches_the_container_that_pulls_and_no_other() -> None:
    adapter = image(imagePullSecrets=["mine"])
    stateful_set = gpu_workload(with_adapters(adapter))
    (puller,) = pod_of(stateful_set)["initContainers"]
    config = puller["command"][puller["command"].index("--docker-config") + 1]
    (path,) = [path for path in mounts_of(puller) if config.startswith(f"{path}/")]
    volume = mounts_of(puller)[path]["name"]
    assert volumes_of(stateful_set)[volume]["projected"]["sources"] == [
        {
            "secret": {
                "name": "mine",
                "items": [
                    {"key": ".dockerconfigjson", "path": config.removeprefix(f"{path}/")},
                ],
            }
        }
    ]
    assert path not in mounts_of(server_of(stateful_set))
    assert "imagePullSecrets" not in pod_of(stateful_set)


@pytest.mark.parametrize(
    ("reference", "is_plain"), [("registry.test/tone:1", True), ("mine.test/tone:1", False)]
)
def test_only_the_installations_own_registry_may_lack_tls(reference: str, is_plain: bool) -> None:
    workspace = with_adapters({"source": {"name": "tone", "image": reference}})
    stateful_set = gpu_workload(workspace)
    assert "--plain-http" not in pod_of(stateful_set)["initContainers"][0]["command"]
    settings = gen.settings(registry_plain_http=True)
    (puller,) = pod_of(workload(workspace, gen.gpu_preset(), settings))["initContainers"]
    assert ("--plain-http" in puller["command"]) is is_plain


def test_strength_is_a_variable_of_the_adapters_name_where_adapters_are_mixed_in() -> None:
    adapter = {**image("my-tone"), "strength": "0.5"}
    mixed = gpu_workload(with_adapters(adapter, runtime="transformers"))
    assert environment_of(mixed)["my-tone"] == "0.5"
    assert "my-tone" not in environment_of(gpu_workload(with_adapters(adapter)))


def test_a_name_that_is_none_for_a_variable_makes_no_invalid_pod() -> None:
    adapter = {**image("3d"), "strength": "0.5"}
    stateful_set = gpu_workload(with_adapters(adapter, runtime="transformers"))
    assert "3d" not in environment_of(stateful_set)


@pytest.mark.parametrize(
    "adapter",
    [{}, {"source": {"name": "a"}}, {"source": {"image": "x/y:1"}}, {"source": {"urls": ["u"]}}],
)
def test_adapters_that_can_not_be_served_are_left_out(adapter: dict[str, Any]) -> None:
    assert gpu_workload(with_adapters(adapter)) == gpu_workload(for_runtime("vllm"))


def test_a_server_that_loads_no_adapters_gets_none() -> None:
    runtimes = [{"name": "vllm", "adapters": False}]
    stateful_set = gpu_workload(with_adapters(image()), runtimes=runtimes)
    assert stateful_set == gpu_workload(for_runtime("vllm"), runtimes=runtimes)


def test_beside_a_private_image_our_own_fetches_the_adapters() -> None:
    preset = {
        "name": gen.PRESET,
        "accessMode": "private",
        "presetOptions": {"image": "mine.test/model:1"},
    }
    workspace = gen.workspace(inference={"preset": preset, "adapters": [image()]})
    pod = pod_of(gpu_workload(workspace))
    assert pod["initContainers"][0]["image"] == "registry.test/kaito/vllm:0.32.0-1"
    assert pod["initContainers"][0]["securityContext"]["runAsUser"] == 1000
    assert images_of(workspace, gen.gpu_preset(), gen.settings()) == [
        "mine.test/model:1",
        "registry.test/kaito/vllm:0.32.0-1",
    ]
