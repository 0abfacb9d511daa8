"""Cgroups, cluster DNS, the system's images and the API client's paths."""

from __future__ import annotations

import socket
import tarfile
import threading
from pathlib import Path

import pytest

from api.images import COREDNS_IMAGE
from onebox import cgroups, cluster_dns, places, system_images
from onebox.kube import PLURALS, object_path
from onebox.node.spec import SYSTEM_NODE


def hierarchy(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").touch()
    return folder


def test_each_hierarchy_of_cgroup_v1_is_found_once(tmp_path: Path) -> None:
    both = hierarchy(tmp_path / "cpu,cpuacct")
    memory = hierarchy(tmp_path / "memory")
    (tmp_path / "cpu").symlink_to(both)
    assert cgroups.hierarchies(tmp_path) == [both, memory]


def test_cgroup_v2_is_one_hierarchy(tmp_path: Path) -> None:
    hierarchy(tmp_path / "v2")
    hierarchy(tmp_path / "v2" / "system.slice")
    assert cgroups.hierarchies(tmp_path / "v2") == [tmp_path / "v2"]


def test_without_cgroups_there_is_no_hierarchy(tmp_path: Path) -> None:
    assert cgroups.hierarchies(tmp_path / "missing") == []


@pytest.mark.parametrize(("address", "answers"), [("10.96.0.1", True), ("10.96.0.2", False)])
def test_cluster_dns_is_asked_for_a_name_with_a_known_address(address: str, answers: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        asked: list[bytes] = []

        def serve() -> None:
            question, client = server.recvfrom(512)
            asked.append(question)
            server.sendto(question + socket.inet_aton(address), client)

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        assert cluster_dns.answers("127.0.0.1", port) is answers
        thread.join()
    assert b"\x0akubernetes\x07default\x03svc\x07cluster\x05local\x00" in asked[0]


def test_cluster_dns_runs_on_the_system_node_from_the_local_registry() -> None:
    (deployment,) = [each for each in cluster_dns.manifests() if each["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"kubernetes.io/hostname": SYSTEM_NODE}
    assert pod["containers"][0]["image"] == f"{places.REGISTRY}/{COREDNS_IMAGE}"


def test_the_client_can_apply_every_kind_that_is_applied() -> None:
    kinds = {each["kind"] for each in cluster_dns.manifests()}
    assert kinds <= set(PLURALS)


@pytest.mark.parametrize(
    ("api_version", "kind", "path"),
    [
        ("v1", "Namespace", "/api/v1/namespaces/x"),
        ("v1", "ConfigMap", "/api/v1/namespaces/default/configmaps/x"),
        ("kaito.sh/v1beta1", "Workspace", "/apis/kaito.sh/v1beta1/namespaces/default/workspaces/x"),
    ],
)
def test_objects_have_the_paths_that_kubernetes_gives_them(
    api_version: str, kind: str, path: str
) -> None:
    body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}}
    assert object_path(body) == path


def test_the_layer_of_a_system_image_is_one_executable_and_reproducible(tmp_path: Path) -> None:
    first, second = tmp_path / "1.tar", tmp_path / "2.tar"
    for target in (first, second):
        system_images.write_layer(target, "pause", b"program")
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as tar:
        (member,) = tar.getmembers()
    assert (member.name, member.mode) == ("pause", 0o755)
