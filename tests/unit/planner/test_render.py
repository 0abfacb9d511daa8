"""What must hold of every manifest; `tests/golden` shows them whole."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from api import names
from api.errors import FeatureNotAvailable, UnknownPreset
from api.preset import Preset
from api.workspace import Workspace
from planner.facts import claim_facts, service_facts, workload_facts
from planner.render import (
    images_of,
    ownership_labels,
    render_controller_revision,
    render_headless_service,
    render_node_claim,
    render_pull_pod,
    render_service,
    render_workload,
)
from planner.world import PlatformSettings
from tests import gen

REVISION = "0123abcd"


def workload(
    workspace: Workspace | None = None,
    preset: Preset | None = None,
    settings: PlatformSettings | None = None,
    gpus: int = 1,
) -> dict[str, Any]:
    return render_workload(
        workspace or gen.workspace(),
        preset or gen.preset(),
        REVISION,
        ["node-2", "node-1"],
        settings or gen.settings(),
        gpus,
    )


def pod_of(stateful_set: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = stateful_set["spec"]["template"]["spec"]
    return spec


def server_of(stateful_set: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_of(stateful_set)["containers"]
    assert isinstance(container, dict)
    return container


def flags_of(stateful_set: dict[str, Any]) -> dict[str, str]:
    shell, option, line = server_of(stateful_set)["command"]
    assert (shell, option) == ("/bin/sh", "-c")
    words = shlex.split(line)
    assert words[:3] == ["exec", "python3", "/workspace/vllm/inference_api.py"]
    return dict(word.removeprefix("--").partition("=")[::2] for word in words[3:])


def everything() -> Iterator[dict[str, Any]]:
    workspace, preset, settings = gen.workspace(), gen.preset(), gen.settings()
    yield workload()
    yield render_service(workspace, REVISION)
    yield render_headless_service(workspace)
    yield render_controller_revision(workspace, REVISION, 3)
    yield render_node_claim(workspace, gen.claim(), preset, settings)
    yield render_pull_pod(workspace, preset, REVISION, "node-1", 0, settings)


NAMES = [f"{one['kind']}/{one['metadata']['name']}" for one in everything()]


# --- everything -----------------------------------------------------------------------------------


@pytest.mark.parametrize("obj", list(everything()), ids=NAMES)
def test_every_object_says_whose_it_is(obj: dict[str, Any]) -> None:
    assert ownership_labels(gen.workspace()).items() <= obj["metadata"]["labels"].items()
    assert obj["metadata"]["labels"][names.LABEL_WORKSPACE_UID] == gen.UID


@pytest.mark.parametrize("obj", list(everything()), ids=NAMES)
def test_objects_in_the_namespace_go_when_the_workspace_goes(obj: dict[str, Any]) -> None:
    owners = obj["metadata"].get("ownerReferences")
    if obj["kind"] == "NodeClaim":
        # Of the cluster, so it can't be owned by something in a namespace: the teardown takes it.
        assert owners is None
        return
    assert obj["metadata"]["namespace"] == "default"
    assert owners == [
        {
            "apiVersion": "kaito.sh/v1beta1",
            "kind": "Workspace",
            "name": "chat",
            "uid": gen.UID,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


@pytest.mark.parametrize("obj", list(everything()), ids=NAMES)
def test_every_object_can_be_sent(obj: dict[str, Any]) -> None:
    assert json.loads(json.dumps(obj)) == obj


@pytest.mark.parametrize("obj", list(everything()), ids=NAMES)
def test_names_and_labels_of_the_longest_workspace_still_fit(obj: dict[str, Any]) -> None:
    longest = "x" * names.MAX_WORKSPACE_NAME_CHARACTERS
    assert len(obj["metadata"]["name"].replace("chat", longest)) <= 63
    for value in obj["metadata"]["labels"].values():
        assert len(value.replace("chat", longest)) <= 63


def pods() -> Iterator[dict[str, Any]]:
    yield pod_of(workload())
    yield render_pull_pod(gen.workspace(), gen.preset(), REVISION, "n", 0, gen.settings())["spec"]


@pytest.mark.parametrize("pod", list(pods()), ids=["workload", "pull"])
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


# --- workload -------------------------------------------------------------------------------------


def test_the_workload_is_named_by_workspace_and_revision() -> None:
    assert workload()["metadata"]["name"] == f"chat-{REVISION}"


def test_the_planner_reads_its_own_workload() -> None:
    facts = workload_facts(workload(gen.workspace(resource={"count": 2})))
    assert facts.revision == REVISION
    assert facts.replicas == 2
    assert facts.node_names == {"node-1", "node-2"}


def test_a_workload_selects_pods_of_this_very_workspace_and_revision() -> None:
    stateful_set = workload()
    selector = stateful_set["spec"]["selector"]["matchLabels"]
    assert selector[names.LABEL_WORKSPACE_UID] == gen.UID
    assert selector[names.LABEL_REVISION] == REVISION
    assert selector.items() <= stateful_set["spec"]["template"]["metadata"]["labels"].items()


def test_the_order_of_nodes_changes_nothing() -> None:
    one, other = (
        render_workload(gen.workspace(), gen.preset(), REVISION, nodes, gen.settings(), 1)
        for nodes in (["a", "b"], ["b", "a"])
    )
    assert one == other


@pytest.mark.parametrize(("gpus", "asked"), [(1, "1"), (2, "2"), (0, "1")])
def test_a_pod_takes_every_gpu_of_its_node_and_at_least_one(gpus: int, asked: str) -> None:
    resources = server_of(workload(gpus=gpus))["resources"]
    assert resources["requests"][names.GPU_RESOURCE] == asked
    assert resources["limits"][names.GPU_RESOURCE] == asked


def test_cpu_and_memory_are_asked_for_and_not_limited() -> None:
    resources = server_of(workload())["resources"]
    assert resources["requests"]["cpu"] == "1"
    assert resources["requests"]["memory"] == "4Gi"
    assert set(resources["limits"]) == {names.GPU_RESOURCE}


def test_the_model_is_served_under_its_catalogue_name() -> None:
    flags = flags_of(workload(gen.workspace(preset=gen.PRESET.upper())))
    assert flags["served-model-name"] == gen.PRESET
    assert flags["model"] == names.PATH_WEIGHTS


def test_a_model_is_split_over_the_gpus_of_its_node() -> None:
    assert flags_of(workload(gpus=4))["tensor-parallel-size"] == "4"


def test_the_catalogues_arguments_win() -> None:
    runtime = {
        **gen.preset_content()["runtimes"][0],
        "arguments": {
            "tensor-parallel-size": 1,
            "gpu-memory-utilization": None,
            "enforce-eager": True,
            "disable-something": False,
            "chat-template": "a b; rm -rf /",
        },
    }
    flags = flags_of(workload(preset=gen.preset(runtimes=[runtime]), gpus=4))
    assert flags["tensor-parallel-size"] == "1"
    assert flags["enforce-eager"] == ""
    assert flags["chat-template"] == "a b; rm -rf /"
    assert "gpu-memory-utilization" not in flags
    assert "disable-something" not in flags


def test_code_of_the_model_is_run_only_where_the_catalogue_says_so() -> None:
    assert "trust-remote-code" not in flags_of(workload())
    assert "trust-remote-code" in flags_of(workload(preset=gen.preset(trustRemoteCode=True)))


def test_a_config_map_is_mounted_and_named_only_when_it_is_given() -> None:
    plain, configured = workload(), workload(gen.workspace(inference={"config": "mine"}))
    assert "kaito-config-file" not in flags_of(plain)
    assert "config" not in {one["name"] for one in pod_of(plain)["volumes"]}
    assert flags_of(configured)["kaito-config-file"] == "/mnt/config/inference_config.yaml"
    assert {"name": "config", "configMap": {"name": "mine"}} in pod_of(configured)["volumes"]
    mounts = {one["name"]: one["mountPath"] for one in server_of(configured)["volumeMounts"]}
    assert mounts["config"] == "/mnt/config"


@pytest.mark.parametrize("plain_http", [True, False])
def test_weights_are_fetched_by_an_init_container(plain_http: bool) -> None:
    stateful_set = workload(settings=gen.settings(registry_plain_http=plain_http))
    (puller,) = pod_of(stateful_set)["initContainers"]
    assert puller["name"] == "weights"
    assert "registry.test/kaito/weights/model:1" in puller["command"]
    assert ("--plain-http" in puller["command"]) is plain_http


def test_weights_that_are_in_the_image_need_no_init_container() -> None:
    preset = gen.preset(weights={"kind": "image", "reference": None})
    stateful_set = workload(preset=preset)
    assert "initContainers" not in pod_of(stateful_set)
    assert flags_of(stateful_set)["model"] == names.PATH_WEIGHTS
    assert "weights" not in {one["name"] for one in server_of(stateful_set)["volumeMounts"]}


def test_every_mounted_volume_is_there() -> None:
    pod = pod_of(workload(gen.workspace(inference={"config": "mine"})))
    mounted = {
        mount["name"]
        for container in [*pod["containers"], *pod["initContainers"]]
        for mount in container["volumeMounts"]
    }
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_startup_probe_waits_for_the_presets_deadline_and_no_longer() -> None:
    probe = server_of(workload(preset=gen.preset(readyDeadlineSeconds=301)))["startupProbe"]
    waited_seconds = probe["periodSeconds"] * probe["failureThreshold"]
    assert 301 <= waited_seconds < 301 + probe["periodSeconds"]


def test_replicas_are_spread_one_a_node() -> None:
    one, two = (workload(gen.workspace(resource={"count": count})) for count in (1, 2))
    assert two["spec"]["replicas"] == 2
    assert "podAntiAffinity" not in pod_of(one)["affinity"]
    assert "podAntiAffinity" in pod_of(two)["affinity"]
    assert (
        two["spec"]["serviceName"] == render_headless_service(gen.workspace())["metadata"]["name"]
    )


def test_no_two_objects_share_a_part_that_a_writer_could_change() -> None:
    stateful_set = workload()
    stateful_set["metadata"]["labels"]["x"] = "y"
    assert "x" not in stateful_set["spec"]["template"]["metadata"]["labels"]


def test_a_model_that_left_the_catalogue_is_named() -> None:
    with pytest.raises(UnknownPreset, match="gone-model"):
        render_workload(
            gen.workspace(preset="gone-model"), None, REVISION, ["n"], gen.settings(), 1
        )


def test_a_runtime_that_the_model_lacks_is_named() -> None:
    workspace = gen.workspace(metadata={"annotations": {names.ANNOTATION_RUNTIME: "transformers"}})
    with pytest.raises(FeatureNotAvailable, match="transformers"):
        workload(workspace)


# --- images ---------------------------------------------------------------------------------------


def test_images_are_those_of_the_workloads_containers() -> None:
    pod = pod_of(workload())
    used = {one["image"] for one in [*pod["containers"], *pod["initContainers"]]}
    assert images_of(gen.workspace(), gen.preset(), gen.settings()) == sorted(used)


def test_the_pull_pod_needs_no_gpu_and_no_scheduler() -> None:
    pod = render_pull_pod(gen.workspace(), gen.preset(), REVISION, "node-7", 2, gen.settings())
    assert pod["metadata"]["name"] == f"chat-{REVISION}-pull-2"
    assert pod["metadata"]["labels"][names.LABEL_ROLE] == names.ROLE_IMAGE_PULL
    assert pod["spec"]["nodeName"] == "node-7"
    assert pod["spec"]["restartPolicy"] == "Never"
    assert all("resources" not in one for one in pod["spec"]["containers"])


def test_the_service_never_selects_a_pull_pod() -> None:
    selector = render_service(gen.workspace(), REVISION)["spec"]["selector"]
    pod = render_pull_pod(gen.workspace(), gen.preset(), REVISION, "n", 0, gen.settings())
    assert not selector.items() <= pod["metadata"]["labels"].items()
    labels = workload()["spec"]["template"]["metadata"]["labels"]
    assert selector.items() <= labels.items()


# --- services -------------------------------------------------------------------------------------


def test_the_service_has_upstreams_ports() -> None:
    spec = render_service(gen.workspace(), REVISION)["spec"]
    assert spec["type"] == "ClusterIP"
    assert [(one["name"], one["port"], one["targetPort"]) for one in spec["ports"]] == [
        ("http", 80, 5000),
        ("torch", 29500, 29500),
    ]


def test_the_planner_reads_the_active_revision_off_the_service() -> None:
    facts = service_facts(render_service(gen.workspace(), REVISION))
    assert facts.active_revision == REVISION
    assert facts.workspace_uid == gen.UID


# --- node claims ----------------------------------------------------------------------------------


def claim(workspace: Workspace | None = None, **settings: Any) -> dict[str, Any]:
    return render_node_claim(
        workspace or gen.workspace(), gen.claim(), gen.preset(), gen.settings(**settings)
    )


def test_the_planner_reads_its_own_claim() -> None:
    facts = claim_facts(claim())
    assert facts.name == "ws0123456789"
    assert facts.instance_type == "onebox.small"
    assert facts.labels[names.LABEL_WORKSPACE_UID] == gen.UID


def test_a_new_node_gets_the_labels_that_it_is_selected_by() -> None:
    selector = {
        "matchLabels": {"apps": "chat"},
        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold"]}],
    }
    labels = claim(gen.workspace(resource={"labelSelector": selector}))["metadata"]["labels"]
    assert labels["apps"] == "chat"
    assert labels["tier"] == "gold"
    assert labels[names.LABEL_NODE_POOL] == names.NODE_POOL


def test_no_selector_can_give_a_node_to_somebody_else() -> None:
    selector = {"matchLabels": {names.LABEL_WORKSPACE_UID: "another"}}
    labels = claim(gen.workspace(resource={"labelSelector": selector}))["metadata"]["labels"]
    assert labels[names.LABEL_WORKSPACE_UID] == gen.UID


@pytest.mark.parametrize(
    ("settings", "finalizers"),
    [
        ({}, [names.FINALIZER_NODE_CLAIM]),
        ({"node_class_group": "karpenter.azure.com", "node_class_kind": "AKSNodeClass"}, None),
    ],
)
def test_only_claims_that_we_serve_get_our_finalizer(
    settings: dict[str, str], finalizers: list[str] | None
) -> None:
    assert claim(**settings)["metadata"].get("finalizers") == finalizers


def test_a_gpu_node_keeps_other_pods_away() -> None:
    assert claim()["spec"]["taints"] == [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]


def test_the_node_has_room_for_the_model() -> None:
    assert claim()["spec"]["resources"]["requests"] == {"ephemeral-storage": "8Gi"}
    without = render_node_claim(gen.workspace(), gen.claim(), None, gen.settings())
    assert without["spec"]["resources"]["requests"] == {"ephemeral-storage": "0"}


# --- revisions ------------------------------------------------------------------------------------


def test_a_recorded_revision_holds_the_spec_with_its_defaults_and_nothing_else() -> None:
    workspace = gen.workspace(status={"phase": "Ready"}, resource={"count": None})
    revision = render_controller_revision(workspace, REVISION, 3)
    assert revision["revision"] == 3
    assert revision["metadata"]["name"] == names.workload_name("chat", REVISION)
    assert set(revision["data"]) == {"resource", "inference"}
    assert revision["data"]["resource"]["count"] == 1
