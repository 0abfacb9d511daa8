"""The pod of a model server: its rights, what it asks for, its volumes, weights and probes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from api import names
from api.preset import parse_bytes
from api.workspace import Workspace
from planner.render import images_of, render_pull_pod
from planner.sizing import Sizing
from tests import gen
from tests.unit.planner.rendering import (
    REVISION,
    SHARED_MEMORY,
    environment_of,
    for_runtime,
    gpu_workload,
    mounts_of,
    pod_of,
    server_of,
    volumes_of,
    workload,
)

MULTI_NODE = gen.sizing(nodes_per_instance=2, parallelism={"pipeline": 2})
EVERYTHING = {
    "config": "mine",
    "adapters": [{"source": {"name": "a", "image": "mine.test/a:1", "imagePullSecrets": ["s"]}}],
}


def private(**preset: Any) -> Workspace:
    options = {"image": "mine.test/model:1", "imagePullSecrets": ["one", "two", "one"], **preset}
    spec = {"name": gen.PRESET, "accessMode": "private", "presetOptions": options}
    return gen.workspace(inference={"preset": spec})


# --- rights ---------------------------------------------------------------------------------------


def pods() -> Iterator[dict[str, Any]]:
    yield pod_of(workload(gen.workspace(inference=EVERYTHING)))
    yield pod_of(gpu_workload(gen.workspace(inference=EVERYTHING)))
    yield pod_of(gpu_workload(for_runtime("transformers", inference=EVERYTHING)))
    yield pod_of(gpu_workload(sizing=MULTI_NODE))
    yield render_pull_pod(gen.workspace(), gen.preset(), REVISION, "n", 0, gen.settings())["spec"]


PODS = ["emulated", "vllm", "transformers", "multi-node", "pull"]


@pytest.mark.parametrize("pod", list(pods()), ids=PODS)
def test_pods_have_as_few_rights_as_can_be(pod: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_an_image_of_the_users_own_runs_as_the_user_that_it_is_made_for() -> None:
    pod = pod_of(gpu_workload(private()))
    (server,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert not {"runAsUser", "runAsNonRoot"} & set(pod["securityContext"])
    assert server["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "HOME" not in environment_of(gpu_workload(private()))


def test_a_private_image_is_pulled_with_its_secrets_by_both_pods() -> None:
    stateful_set = gpu_workload(private())
    secrets = [{"name": "one"}, {"name": "two"}]
    assert server_of(stateful_set)["image"] == "mine.test/model:1"
    assert pod_of(stateful_set)["imagePullSecrets"] == secrets
    preset, settings = gen.gpu_preset(), gen.settings()
    pull = render_pull_pod(private(), preset, REVISION, "n", 0, settings)["spec"]
    assert pull["imagePullSecrets"] == secrets
    assert images_of(private(), preset, settings) == ["mine.test/model:1"]


def test_a_private_image_is_taken_only_in_private_mode() -> None:
    options = {"image": "mine.test/model:1"}
    workspace = gen.workspace(inference={"preset": {"presetOptions": options}})
    assert server_of(gpu_workload(workspace))["image"] == "registry.test/kaito/vllm:0.32.0-1"


@pytest.mark.parametrize(
    ("runtime", "image"),
    [("vllm", "kaito/vllm:0.32.0-1"), ("transformers", "kaito/transformers:5.14.1-1")],
)
def test_a_model_without_an_image_of_its_own_is_served_by_the_platforms(
    runtime: str, image: str
) -> None:
    assert server_of(gpu_workload(for_runtime(runtime)))["image"] == f"registry.test/{image}"


# --- what it asks for -----------------------------------------------------------------------------


def requests_of(sizing: Sizing | None = None, **preset: Any) -> dict[str, str]:
    requests: dict[str, str] = server_of(gpu_workload(sizing=sizing, **preset))["resources"][
        "requests"
    ]
    return requests


@pytest.mark.parametrize(("gpus", "asked"), [(1, "1"), (2, "2"), (0, "1")])
def test_a_pod_asks_for_the_plans_gpus_and_at_least_one(gpus: int, asked: str) -> None:
    resources = server_of(workload(sizing=gen.sizing(gpus_per_pod=gpus)))["resources"]
    assert resources["requests"][names.GPU_RESOURCE] == asked
    assert resources["limits"] == {names.GPU_RESOURCE: asked}


def test_what_the_catalogue_says_is_asked_for() -> None:
    stateful_set = workload()
    requests = server_of(stateful_set)["resources"]["requests"]
    assert requests == {"cpu": "1", "memory": "4Gi", names.GPU_RESOURCE: "1"}
    assert volumes_of(stateful_set)["shared-memory"]["emptyDir"]["sizeLimit"] == "1Gi"


def test_what_it_does_not_say_follows_from_weights_and_gpus() -> None:
    assert requests_of() == {
        "cpu": "2",
        "memory": "4Gi",
        "ephemeral-storage": "8Gi",
        names.GPU_RESOURCE: "1",
    }
    large = requests_of(gen.sizing(gpus_per_pod=8), model={"weightsBytes": "160Gi"})
    assert large == {
        "cpu": "9",
        "memory": "30Gi",
        "ephemeral-storage": "164Gi",
        names.GPU_RESOURCE: "8",
    }


def test_a_part_of_an_instance_needs_memory_for_its_part_and_disk_for_all() -> None:
    whole = requests_of(model={"weightsBytes": "160Gi"})
    part = requests_of(MULTI_NODE, model={"weightsBytes": "160Gi"})
    assert parse_bytes(part["memory"]) < parse_bytes(whole["memory"])
    assert part["ephemeral-storage"] == whole["ephemeral-storage"]


def test_weights_in_the_image_need_no_disk_of_the_pod() -> None:
    assert requests_of(weights={"kind": "image"})["ephemeral-storage"] == "4Gi"


@pytest.mark.parametrize("weights", ["256Mi", "7Gi", "15Gi"])
def test_models_for_small_gpus_fit_on_the_smallest_machines_that_have_one(weights: str) -> None:
    # 4 CPUs and 8 GiB, of which the system takes a part (Standard_NC4_A2 of Azure Arc).
    requests = requests_of(model={"weightsBytes": weights})
    assert int(requests["cpu"]) <= 3
    assert parse_bytes(requests["memory"]) <= parse_bytes("6Gi")


def test_only_devices_are_limited() -> None:
    assert set(server_of(gpu_workload())["resources"]["limits"]) == {names.GPU_RESOURCE}


def test_a_slice_of_a_gpu_is_asked_for_by_its_profile() -> None:
    partition = {"mode": "mig", "profile": "3g.40gb"}
    stateful_set = gpu_workload(gen.workspace(resource={"partition": partition}))
    assert server_of(stateful_set)["resources"]["limits"] == {"nvidia.com/mig-3g.40gb": "1"}
    keys = {one["key"] for one in pod_of(stateful_set)["tolerations"]}
    assert {"nvidia.com/gpu", "nvidia.com/mig-3g.40gb"} <= keys


def test_some_gpus_of_a_node_are_asked_for_as_such() -> None:
    partition = {"mode": "accelerator", "count": 2}
    workspace = gen.workspace(resource={"partition": partition})
    stateful_set = gpu_workload(workspace, sizing=gen.sizing(gpus_per_pod=2))
    assert server_of(stateful_set)["resources"]["limits"] == {names.GPU_RESOURCE: "2"}


@pytest.mark.parametrize("key", ["nvidia.com/gpu", "sku", "kubernetes.azure.com/scalesetpriority"])
def test_taints_of_gpu_nodes_keep_no_server_away(key: str) -> None:
    assert key in {one["key"] for one in pod_of(gpu_workload())["tolerations"]}


# --- volumes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("gpus", [1, 4])
@pytest.mark.parametrize("runtime", ["vllm", "transformers"])
def test_shared_memory_is_always_there_and_has_an_end(runtime: str, gpus: int) -> None:
    stateful_set = gpu_workload(for_runtime(runtime), gen.sizing(gpus_per_pod=gpus))
    volume = mounts_of(server_of(stateful_set))[SHARED_MEMORY]["name"]
    assert volumes_of(stateful_set)[volume]["emptyDir"] == {
        "medium": "Memory",
        "sizeLimit": f"{1 + gpus}Gi",
    }


@pytest.mark.parametrize("pod", list(pods())[:-1], ids=PODS[:-1])
def test_every_mounted_volume_is_there_and_every_volume_is_mounted(pod: dict[str, Any]) -> None:
    mounted = {
        mount["name"]
        for container in [*pod["containers"], *pod.get("initContainers", [])]
        for mount in container["volumeMounts"]
    }
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_settings_are_mounted_from_the_revisions_own_copy() -> None:
    stateful_set = gpu_workload(gen.workspace(inference={"config": "mine"}))
    assert volumes_of(stateful_set)["config"]["configMap"] == {"name": f"chat-{REVISION}"}
    assert mounts_of(server_of(stateful_set))["/mnt/config"]["name"] == "config"
    assert "config" not in volumes_of(gpu_workload())


# --- weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("plain_http", [True, False])
def test_weights_that_are_an_artifact_are_fetched_by_an_init_container(plain_http: bool) -> None:
    stateful_set = workload(settings=gen.settings(registry_plain_http=plain_http))
    (puller,) = pod_of(stateful_set)["initContainers"]
    assert puller["name"] == "weights"
    assert "registry.test/kaito/weights/model:1" in puller["command"]
    assert ("--plain-http" in puller["command"]) is plain_http
    assert mounts_of(server_of(stateful_set))[names.PATH_WEIGHTS]["readOnly"] is True


def test_weights_that_are_in_the_image_need_no_init_container_and_no_volume() -> None:
    for stateful_set in (gpu_workload(weights={"kind": "image"}), gpu_workload(private())):
        assert "initContainers" not in pod_of(stateful_set)
        assert names.PATH_WEIGHTS not in mounts_of(server_of(stateful_set))


def test_downloads_stay_on_a_volume_that_outlives_the_container() -> None:
    stateful_set = gpu_workload()
    environment = environment_of(stateful_set)
    mount = mounts_of(server_of(stateful_set))[names.PATH_WEIGHTS]
    assert "readOnly" not in mount
    assert environment["HF_HOME"] == environment["HF_HUB_CACHE"] == mount["mountPath"]
    assert volumes_of(stateful_set)[mount["name"]]["emptyDir"] == {"sizeLimit": "90Gi"}


def test_a_mirror_of_the_hub_is_where_pods_download_from_too() -> None:
    settings = gen.settings(hub_endpoint="https://hub.example")
    mirrored = workload(None, gen.gpu_preset(), settings=settings)
    assert environment_of(mirrored)["HF_ENDPOINT"] == "https://hub.example"
    assert "HF_ENDPOINT" not in environment_of(gpu_workload())


def test_libraries_may_use_the_network_where_they_must() -> None:
    environment = environment_of(gpu_workload())
    assert environment["HF_HUB_OFFLINE"] == environment["TRANSFORMERS_OFFLINE"] == "0"
    assert "HF_HUB_OFFLINE" not in environment_of(workload())


def test_the_token_for_a_gated_model_comes_from_the_users_secret() -> None:
    options = {"modelAccessSecret": "hub"}
    workspace = gen.workspace(inference={"preset": {"presetOptions": options}})
    assert environment_of(gpu_workload(workspace))["HF_TOKEN"] == {
        "secretKeyRef": {"name": "hub", "key": "HF_TOKEN"}
    }
    assert "HF_TOKEN" not in environment_of(gpu_workload())
    assert "HF_TOKEN" not in environment_of(workload(workspace))


def test_the_catalogues_variables_win() -> None:
    runtimes = [{"name": "vllm", "environment": {"HF_HUB_OFFLINE": "1", "NEW": "x"}}]
    environment = environment_of(gpu_workload(runtimes=runtimes))
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["NEW"] == "x"


# --- probes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizing", [gen.sizing(), MULTI_NODE], ids=["one-node", "multi-node"])
def test_the_startup_probe_waits_for_the_presets_deadline_and_no_longer(sizing: Sizing) -> None:
    stateful_set = gpu_workload(sizing=sizing, readyDeadlineSeconds=301)
    probe = server_of(stateful_set)["startupProbe"]
    waited_seconds = probe["periodSeconds"] * probe["failureThreshold"]
    assert 301 <= waited_seconds < 301 + probe["periodSeconds"]


@pytest.mark.parametrize("runtime", ["vllm", "transformers"])
def test_every_server_is_asked_for_its_health(runtime: str) -> None:
    server = server_of(gpu_workload(for_runtime(runtime)))
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[probe]["httpGet"] == {"path": "/health", "port": "http"}
