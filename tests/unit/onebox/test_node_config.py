"""What a node's programs read follows from its spec alone."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from onebox import places
from onebox.node import config
from onebox.node.spec import INSIDE, NodeSpec, labels_of_kubelet, system_node

NODE = NodeSpec(
    name="ws1",
    index=2,
    labels={"apps": "phi", "foo.kubernetes.io/bar": "1"},
    taints=({"key": "sku", "value": "gpu", "effect": "NoSchedule"},),
    provider_id="onebox:///ws1",
)


def kubelet_command() -> list[str]:
    plan = config.boot_plan(
        NODE,
        containerd="/usr/bin/containerd",
        kubelet=Path("/bin/kubelet"),
        kube_proxy=Path("/bin/kube-proxy"),
        cgroups=[Path("/sys/fs/cgroup/memory/kaito-onebox/ws1/system")],
    )
    return list(plan["programs"][1]["command"])


@pytest.mark.parametrize("restrict", [True, False])
def test_containerd_raises_oom_scores_only_where_the_machine_lacks_the_capability(
    restrict: bool,
) -> None:
    rendered = config.containerd_config(
        cni_folder=Path("/usr/lib/cni"), restrict_oom_score=restrict
    )
    cri = tomllib.loads(rendered)["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["restrict_oom_score_adj"] is restrict


def test_containerd_finds_the_pause_image_and_plain_http_in_the_local_registry() -> None:
    rendered = config.containerd_config(cni_folder=Path("/opt/cni/bin"), restrict_oom_score=False)
    cri = tomllib.loads(rendered)["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["sandbox_image"].startswith(f"{places.REGISTRY}/")
    assert cri["registry"]["config_path"] == f"{INSIDE}/registries"
    assert list(tomllib.loads(config.registry_hosts())["host"]) == [places.REGISTRY_URL]


@pytest.mark.parametrize(
    ("effective", "lacks"), [("000001fffeffffff", True), ("000001ffffffffff", False)]
)
def test_the_capability_is_read_from_the_process_status(effective: str, lacks: bool) -> None:
    assert config.lacks_sys_resource(f"Name:\tsh\nCapEff:\t{effective}\n") is lacks


def test_the_kubelet_registers_with_the_taints_in_the_nodes_own_cgroup() -> None:
    rendered = config.kubelet_config(NODE)
    assert rendered["registerWithTaints"] == [dict(NODE.taints[0])]
    assert rendered["cgroupRoot"] == "/kaito-onebox/ws1"
    assert rendered["address"] == "10.89.0.12"


def test_the_kubelet_is_not_asked_to_set_labels_that_it_may_not_set() -> None:
    assert "--node-labels=apps=phi" in kubelet_command()


@pytest.mark.parametrize(
    ("key", "may_set"),
    [
        ("apps", True),
        ("kaito.sh/workspace", True),
        ("karpenter.sh/nodepool", True),
        ("node.kubernetes.io/instance-type", True),
        ("foo.kubernetes.io/bar", False),
        ("node-role.kubernetes.io/gpu", False),
        ("k8s.io/x", False),
    ],
)
def test_the_kubelets_labels_are_those_of_the_admission_plugin(key: str, may_set: bool) -> None:
    assert (key in labels_of_kubelet({key: "v"})) is may_set


def test_the_cloud_id_reaches_the_node_object() -> None:
    assert "--provider-id=onebox:///ws1" in kubelet_command()


def test_pods_of_two_nodes_never_share_an_address() -> None:
    first, second = (
        config.cni_config(node)["plugins"][0]["ipam"]["ranges"] for node in (system_node(), NODE)
    )
    assert first == [[{"subnet": "10.244.1.0/24"}]]
    assert second == [[{"subnet": "10.244.2.0/24"}]]


def test_the_paths_of_sockets_are_short_enough_whatever_the_checkouts_path() -> None:
    longest = f"{INSIDE}/kubelet/pod-resources/kubelet.sock"
    assert len(longest) < 100
    assert f"--root-dir={INSIDE}/kubelet" in kubelet_command()


def test_a_spec_survives_being_kept_on_disk() -> None:
    assert NodeSpec.from_json(NODE.to_json()) == NODE
