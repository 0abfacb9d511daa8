"""What must hold of every manifest; `tests/golden` shows some of them whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from api import names
from api.errors import FeatureNotAvailable, UnknownPreset
from api.payloads import ClaimSpec
from planner.facts import claim_facts, service_facts, workload_facts
from planner.render import (
    images_of,
    ownership_labels,
    render_config_map,
    render_controller_revision,
    render_headless_service,
    render_node_claim,
    render_pull_pod,
    render_service,
    render_workload,
)
from tests import gen
from tests.unit.planner.rendering import REVISION, for_runtime, gpu_workload, pod_of, workload


def everything() -> Iterator[dict[str, Any]]:
    workspace, preset, settings = gen.workspace(), gen.preset(), gen.settings()
    yield workload()
    yield render_service(workspace, REVISION)
    yield render_headless_service(workspace)
    yield render_config_map(workspace, REVISION, "vllm: {}\n")
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
        render_workload(
            gen.workspace(), gen.preset(), REVISION, nodes, gen.settings(), gen.sizing()
        )
        for nodes in (["a", "b"], ["b", "a"])
    )
    assert one == other


def test_replicas_are_spread_one_a_node() -> None:
    one, two = (workload(gen.workspace(resource={"count": count})) for count in (1, 2))
    assert two["spec"]["replicas"] == 2
    assert "podAntiAffinity" not in pod_of(one)["affinity"]
    assert "podAntiAffinity" in pod_of(two)["affinity"]
    assert (
        two["spec"]["serviceName"] == render_headless_service(gen.workspace())["metadata"]["name"]
    )


def test_an_edit_of_how_nodes_are_paid_for_changes_no_pod() -> None:
    spot = gen.workspace(resource={"capacityType": "spot", "fallbackInstanceTypes": ["a"]})
    assert workload(spot) == workload()


def test_no_two_objects_share_a_part_that_a_writer_could_change() -> None:
    stateful_set = workload()
    stateful_set["metadata"]["labels"]["x"] = "y"
    assert "x" not in stateful_set["spec"]["template"]["metadata"]["labels"]
    again = workload()
    again["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]["name"] = "changed"
    assert workload() != again


def test_a_model_that_left_the_catalogue_is_named() -> None:
    gone = gen.workspace(preset="gone-model")
    with pytest.raises(UnknownPreset, match="gone-model"):
        render_workload(gone, None, REVISION, ["n"], gen.settings(), gen.sizing())


def test_a_runtime_that_the_model_lacks_is_named() -> None:
    with pytest.raises(FeatureNotAvailable, match="transformers"):
        workload(for_runtime("transformers"))


# --- images ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", ["vllm", "transformers"])
def test_images_are_those_of_the_workloads_containers(runtime: str) -> None:
    workspace = for_runtime(runtime)
    pod = pod_of(gpu_workload(workspace))
    used = {one["image"] for one in [*pod["containers"], *pod.get("initContainers", [])]}
    assert images_of(workspace, gen.gpu_preset(), gen.settings()) == sorted(used)


def test_the_pull_pod_needs_no_gpu_and_no_scheduler() -> None:
    pod = render_pull_pod(gen.workspace(), gen.preset(), REVISION, "node-7", 2, gen.settings())
    assert pod["metadata"]["name"] == f"chat-{REVISION}-pull-2"
    assert pod["metadata"]["labels"][names.LABEL_ROLE] == names.ROLE_IMAGE_PULL
    assert pod["spec"]["nodeName"] == "node-7"
    assert pod["spec"]["restartPolicy"] == "Never"
    assert all("resources" not in one for one in pod["spec"]["containers"])
    assert pod["spec"]["tolerations"] == [{"operator": "Exists"}]


def test_pods_that_pull_are_never_pods_that_serve() -> None:
    pulling = render_pull_pod(gen.workspace(), gen.preset(), REVISION, "n", 0, gen.settings())
    selector = render_service(gen.workspace(), REVISION)["spec"]["selector"]
    assert not selector.items() <= pulling["metadata"]["labels"].items()


# --- services -------------------------------------------------------------------------------------


def test_the_service_sends_traffic_to_one_revision() -> None:
    service = render_service(gen.workspace(), REVISION)
    assert service["spec"]["selector"][names.LABEL_REVISION] == REVISION
    assert service_facts(service).active_revision == REVISION
    labels = workload()["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_the_service_has_the_ports_that_clients_know() -> None:
    spec = render_service(gen.workspace(), REVISION)["spec"]
    assert spec["type"] == "ClusterIP"
    assert [(one["name"], one["port"], one["targetPort"]) for one in spec["ports"]] == [
        ("http", 80, 5000),
        ("torch", 29500, 29500),
    ]


@pytest.mark.parametrize(
    ("value", "kind"),
    [("True", "LoadBalancer"), ("true", "LoadBalancer"), ("TRUE", "LoadBalancer")]
    + [(value, "ClusterIP") for value in ("false", "", "yes", "1")],
)
def test_an_annotation_asks_for_an_address_outside_the_cluster(value: str, kind: str) -> None:
    annotations = {names.ANNOTATION_ENABLE_LOAD_BALANCER: value}
    workspace = gen.workspace(metadata={"annotations": annotations})
    assert render_service(workspace, REVISION)["spec"]["type"] == kind


def test_only_the_models_own_port_is_seen_outside_the_cluster() -> None:
    annotations = {names.ANNOTATION_ENABLE_LOAD_BALANCER: "true"}
    workspace = gen.workspace(metadata={"annotations": annotations})
    ports = render_service(workspace, REVISION)["spec"]["ports"]
    assert [one["targetPort"] for one in ports] == [names.PORT_SERVING]


def test_replicas_find_each_other_before_they_are_ready() -> None:
    spec = render_headless_service(gen.workspace())["spec"]
    assert spec["clusterIP"] == "None"
    assert spec["publishNotReadyAddresses"] is True
    labels = workload()["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"].items() <= labels.items()


# --- settings of the model server -----------------------------------------------------------------


def test_a_revision_keeps_its_settings_for_ever() -> None:
    config_map = render_config_map(gen.workspace(), REVISION, "vllm: {max-model-len: 512}\n")
    assert config_map["metadata"]["name"] == f"chat-{REVISION}"
    assert config_map["immutable"] is True
    assert config_map["data"] == {"inference_config.yaml": "vllm: {max-model-len: 512}\n"}


# --- node claims ----------------------------------------------------------------------------------


def claim(workspace: Any = None, **settings: Any) -> dict[str, Any]:
    return render_node_claim(
        workspace or gen.workspace(), gen.claim(), gen.preset(), gen.settings(**settings)
    )


def claim_of(spec: ClaimSpec, **settings: Any) -> dict[str, Any]:
    return render_node_claim(gen.workspace(), spec, gen.preset(), gen.settings(**settings))


def requirement(claim: dict[str, Any], key: str) -> list[str]:
    (values,) = [one["values"] for one in claim["spec"]["requirements"] if one["key"] == key]
    assert isinstance(values, list)
    return values


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


@pytest.mark.parametrize(
    ("asked", "rendered"), [("", "on-demand"), ("on-demand", "on-demand"), ("spot", "spot")]
)
def test_a_node_is_paid_for_as_its_offer_says(asked: str, rendered: str) -> None:
    body = claim_of(gen.claim().model_copy(update={"capacity_type": asked}))
    assert requirement(body, "karpenter.sh/capacity-type") == [rendered]


def test_a_node_stands_in_the_zone_of_its_offer() -> None:
    body = claim_of(gen.claim().model_copy(update={"zone": "westus3-1"}))
    assert requirement(body, "topology.kubernetes.io/zone") == ["westus3-1"]


@pytest.mark.parametrize(
    ("kind", "region", "zone", "labels"),
    [
        pytest.param("AKSNodeClass", "westus3", "1", ["westus3-1"], id="Azure"),
        pytest.param("EC2NodeClass", "us-east-1", "a", ["us-east-1a"], id="AWS"),
        pytest.param("AKSNodeClass", "westus3", "westus3-1", ["westus3-1"], id="a label already"),
        pytest.param("AKSNodeClass", "", "1", None, id="no Node's label can be made of it"),
        pytest.param("AgentPoolNodeClass", "westus3", "1", ["1"], id="our own pools take numbers"),
    ],
)
def test_karpenter_is_asked_for_a_zone_as_its_nodes_are_labelled(
    kind: str, region: str, zone: str, labels: list[str] | None
) -> None:
    spec = gen.claim().model_copy(update={"zone": zone})
    body = claim_of(spec, node_class_kind=kind, region=region)
    keys = {one["key"] for one in body["spec"]["requirements"]}
    assert ("topology.kubernetes.io/zone" in keys) is (labels is not None)
    if labels is not None:
        assert requirement(body, "topology.kubernetes.io/zone") == labels


def test_a_claim_of_ours_says_for_good_which_provisioner_has_its_machine() -> None:
    assert claim(provisioner="aks")["metadata"]["annotations"]["kaito.sh/provisioner"] == "aks"
    assert "kaito.sh/provisioner" not in claim(**OF_KARPENTER)["metadata"]["annotations"]


def test_any_zone_will_do_for_an_offer_without_one() -> None:
    keys = {one["key"] for one in claim()["spec"]["requirements"]}
    assert "topology.kubernetes.io/zone" not in keys


# --- node claims that Karpenter serves ------------------------------------------------------------

OF_KARPENTER = {"node_class_group": "karpenter.azure.com", "node_class_kind": "AKSNodeClass"}


def test_karpenter_neither_replaces_a_node_of_a_month_nor_waits_for_ever_for_its_pods() -> None:
    spec = claim(**OF_KARPENTER)["spec"]
    assert spec["expireAfter"] == "Never"
    assert spec["terminationGracePeriod"] == "10m"
    assert not {"expireAfter", "terminationGracePeriod"} & set(claim()["spec"])


def test_no_label_of_a_claim_for_karpenter_is_one_that_a_kubelet_refuses() -> None:
    metadata = claim(**OF_KARPENTER)["metadata"]
    assert names.LABEL_MANAGED_BY not in metadata["labels"]
    assert metadata["annotations"][names.LABEL_MANAGED_BY] == names.MANAGED_BY
    assert metadata["labels"][names.LABEL_WORKSPACE_UID] == gen.UID


def test_a_workspace_may_name_a_node_class_where_karpenter_makes_the_nodes() -> None:
    annotations = {names.ANNOTATION_NODE_CLASS_NAME: "big-disks"}
    workspace = gen.workspace(metadata={"annotations": annotations})
    assert claim(workspace, **OF_KARPENTER)["spec"]["nodeClassRef"] == {
        "group": "karpenter.azure.com",
        "kind": "AKSNodeClass",
        "name": "big-disks",
    }
    assert claim(workspace)["spec"]["nodeClassRef"]["name"] == "default"


def test_the_family_of_the_nodes_image_is_passed_on() -> None:
    assert claim(provisioner="aks")["metadata"]["annotations"] == {
        names.ANNOTATION_DO_NOT_DISRUPT: "true",
        "kaito.sh/provisioner": "aks",
    }
    annotations = {names.ANNOTATION_NODE_IMAGE_FAMILY: "azurelinux"}
    chosen = claim(gen.workspace(metadata={"annotations": annotations}))
    assert chosen["metadata"]["annotations"][names.ANNOTATION_NODE_IMAGE_FAMILY] == "azurelinux"


# --- revisions ------------------------------------------------------------------------------------


def test_a_recorded_revision_holds_the_spec_with_its_defaults_and_nothing_else() -> None:
    workspace = gen.workspace(
        status={"phase": "Ready"}, resource={"count": None}, rollout={"autoRollback": False}
    )
    revision = render_controller_revision(workspace, REVISION, 3)
    assert revision["revision"] == 3
    assert revision["metadata"]["name"] == names.workload_name("chat", REVISION)
    assert set(revision["data"]) == {"resource", "inference"}
    assert revision["data"]["resource"]["count"] == 1


def test_a_recorded_revision_holds_what_else_its_pods_are_made_from() -> None:
    annotations = {
        names.ANNOTATION_RUNTIME: "vllm",
        names.ANNOTATION_PERFORMANCE_MODE: "throughput",
        names.ANNOTATION_ENABLE_LOAD_BALANCER: "true",
        "example.com/note": "mine",
    }
    preset = gen.gpu_preset()
    data = render_controller_revision(
        gen.workspace(metadata={"annotations": annotations}),
        REVISION,
        3,
        config_text="vllm: {}\n",
        preset=preset,
        images=("registry.test/base@sha256:1",),
    )["data"]
    assert data["config"] == "vllm: {}\n"
    assert data["annotations"] == {
        names.ANNOTATION_PERFORMANCE_MODE: "throughput",
        names.ANNOTATION_RUNTIME: "vllm",
    }
    assert type(preset).model_validate(data["preset"]) == preset
    assert data["images"] == ["registry.test/base@sha256:1"]


def test_records_are_found_by_upstreams_label() -> None:
    labels = render_controller_revision(gen.workspace(), REVISION, 3)["metadata"]["labels"]
    assert labels["workspace.kaito.io/name"] == "chat"


def test_a_record_tells_how_it_came_about() -> None:
    marks = {names.ANNOTATION_AUTHOR: "kubectl-edit"}
    record = render_controller_revision(gen.workspace(), REVISION, 3, annotations=marks)
    assert record["metadata"]["annotations"] == marks
    plain = render_controller_revision(gen.workspace(), REVISION, 3)
    assert "annotations" not in plain["metadata"]
