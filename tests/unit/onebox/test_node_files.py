"""What a node's programs read: real formats, the node's own addresses, nothing of another node."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

import pytest

from onebox import places
from onebox.network import NodeAddresses
from onebox.node import config
from onebox.node.spec import NodeSpec

NODE = NodeSpec(
    name="gpu-1",
    index=4,
    labels={"apps": "chat", "kaito.sh/x": "1", "node.kubernetes.io/instance-type": "onebox.small"},
    taints=({"key": "sku", "value": "gpu", "effect": "NoSchedule"},),
    provider_id="onebox:///gpu-1",
)


@pytest.mark.parametrize("index", [1, 2, 199])
def test_addresses_of_a_node_lie_in_the_networks_that_the_cluster_announces(index: int) -> None:
    addresses = NodeAddresses(index)
    nodes = ipaddress.ip_network(f"{places.NODE_NETWORK_PREFIX}0/{places.NODE_NETWORK_BITS}")
    assert ipaddress.ip_address(addresses.node) in nodes
    assert addresses.node != places.HOST_ADDRESS
    pods = ipaddress.ip_network(addresses.pods)
    assert pods.subnet_of(ipaddress.ip_network(places.POD_NETWORK))  # type: ignore[arg-type]
    assert len(addresses.host_link) < 16  # the kernel's limit for the name of a link


def test_no_two_nodes_share_an_address_or_a_link() -> None:
    nodes = [NodeAddresses(index) for index in range(1, 200)]
    for found in (
        {node.node for node in nodes},
        {node.pods for node in nodes},
        {node.host_link for node in nodes},
    ):
        assert len(found) == len(nodes)


def test_kubelet_and_containerd_meet_at_one_socket() -> None:
    kubelet = config.kubelet_config(NODE)
    assert kubelet["containerRuntimeEndpoint"] == f"unix://{config.CONTAINERD_SOCKET}"
    assert len(config.CONTAINERD_SOCKET) <= 107  # what the kernel allows for a socket's path


def test_the_kubelet_serves_on_its_own_address_and_lets_nobody_in_unasked() -> None:
    kubelet = config.kubelet_config(NODE)
    assert kubelet["address"] == NODE.addresses.node
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["authorization"] == {"mode": "Webhook"}
    assert kubelet["registerWithTaints"] == [dict(NODE.taints[0])]
    assert kubelet["clusterDNS"] == [places.DNS_ADDRESS]
    assert kubelet["failCgroupV1"] is False
    json.dumps(kubelet)  # it is written as JSON


def test_pods_get_addresses_of_their_own_node() -> None:
    (plugin,) = config.cni_config(NODE)["plugins"]
    assert plugin["ipam"]["ranges"] == [[{"subnet": NODE.addresses.pods}]]


def test_the_proxy_knows_its_node_by_the_name_that_the_kubelet_registers() -> None:
    plan = config.boot_plan(
        NODE, containerd="/c", kubelet=Path("/k"), kube_proxy=Path("/p"), cgroups=[Path("/g")]
    )
    proxy = config.kube_proxy_config(NODE, "nftables")
    kubelet = next(each for each in plan["programs"] if each["name"] == "kubelet")
    assert f"--hostname-override={proxy['hostnameOverride']}" in kubelet["command"]
    assert proxy["mode"] == "nftables"


def test_a_node_starts_its_programs_in_order_and_tells_who_it_is() -> None:
    plan = config.boot_plan(
        NODE, containerd="/c", kubelet=Path("/k"), kube_proxy=Path("/p"), cgroups=[Path("/g")]
    )
    assert [each["name"] for each in plan["programs"]] == ["containerd", "kubelet", "kube-proxy"]
    command = plan["programs"][1]["command"]
    assert "--provider-id=onebox:///gpu-1" in command
    assert f"--node-ip={NODE.addresses.node}" in command
    assert (
        "--node-labels=apps=chat,kaito.sh/x=1,node.kubernetes.io/instance-type=onebox.small"
        in command
    )


def test_a_node_without_labels_passes_no_empty_flag() -> None:
    plan = config.boot_plan(
        NodeSpec("bare", 2), containerd="/c", kubelet=Path("/k"), kube_proxy=Path("/p"), cgroups=[]
    )
    assert not any("--node-labels" in word for word in plan["programs"][1]["command"])
