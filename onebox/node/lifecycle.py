"""Starts a node and ends it, both idempotent: what is there is kept, what is gone is gone."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from onebox import binaries, cgroups, network, packages, places, processes
from onebox.commands import attempt
from onebox.errors import OneboxError
from onebox.node import config
from onebox.node.spec import NodeSpec
from onebox.pki import Authority, node_subjects, utc_now
from onebox.processes import MARK, Process

LAUNCH_DEADLINE_SECONDS: Final = 20.0
KILL_DEADLINE_SECONDS: Final = 20.0
"""A killed node is gone when the kernel has reaped its last process; containers that write to disk
may take seconds."""

CNI_RESULTS: Final = Path("/var/lib/cni")
"""Where libcni insists on keeping its results; each node mounts a tmpfs over it."""


def first_process(node: NodeSpec) -> Process | None:
    """Return the node's living PID 1, as the host sees it."""
    return first_process_in(node.folder)


def first_process_in(folder: Path) -> Process | None:
    """Return the living PID 1 of the node that has this folder."""
    try:
        kept = json.loads((folder / "first_process.json").read_text(encoding="utf-8"))
        process = Process(int(kept["pid"]), int(kept["start_ticks"]))
    except (OSError, ValueError, KeyError):
        return None
    return process if process.is_alive() else None


def start(node: NodeSpec, others: Iterable[NodeSpec] = ()) -> bool:
    """Start a node unless it runs, and route between its pods and the others'.

    Returns:
        Whether it was started now. It registers with the API server a few seconds later.
    """
    if first_process(node):
        return False
    _clean(node)
    write_files(node, cgroups.ensure(node.name))
    process = _launch(node)
    try:
        network.connect_node(node.addresses, process.pid)
        for other in others:
            neighbour = first_process(other)
            if neighbour and other.name != node.name:
                network.route_between(process.pid, other.addresses)
                network.route_between(neighbour.pid, node.addresses)
    except OneboxError:
        delete(node, others)
        raise
    return True


def delete(node: NodeSpec, others: Iterable[NodeSpec] = ()) -> None:
    """End a node: its processes, mounts, links, routes, cgroups and folder; idempotent."""
    for other in others:
        neighbour = first_process(other)
        if neighbour and other.name != node.name:
            network.route_between(neighbour.pid, node.addresses, remove=True)
    _clean(node)
    shutil.rmtree(node.folder, ignore_errors=True)


def _clean(node: NodeSpec) -> None:
    process = first_process(node)
    if process:
        kill(process)
    network.disconnect_node(node.addresses)
    cgroups.remove(node.cgroup)
    (node.folder / "first_process.json").unlink(missing_ok=True)


def kill(process: Process) -> None:
    """Kill a node's first process and wait until the kernel has taken all down with it."""
    process.send(signal.SIGKILL)
    give_up_at = time.monotonic() + KILL_DEADLINE_SECONDS
    while process.is_alive() and time.monotonic() < give_up_at:
        time.sleep(0.02)


def write_files(node: NodeSpec, leaves: Sequence[Path]) -> None:
    """Write what the node's first process and its programs read."""
    folder = node.folder
    for name in ("cni", "containerd", "kubelet", "pods", "pki", f"registries/{places.REGISTRY}"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    CNI_RESULTS.mkdir(parents=True, exist_ok=True)
    cni_folder = packages.cni_folder()
    if cni_folder is None:
        raise OneboxError(
            "the CNI plugins are not installed", f"apt-get install {packages.CNI_PACKAGE}"
        )
    status = Path("/proc/self/status").read_text(encoding="ascii")
    texts = {
        "containerd.toml": config.containerd_config(
            cni_folder=cni_folder, restrict_oom_score=config.lacks_sys_resource(status)
        ),
        f"registries/{places.REGISTRY}/hosts.toml": config.registry_hosts(),
        "cni/10-onebox.conflist": json.dumps(config.cni_config(node), indent=1),
        "kubelet.json": json.dumps(config.kubelet_config(node), indent=1),
        "kube-proxy.json": json.dumps(config.kube_proxy_config(node, proxy_mode()), indent=1),
        # Pods that ask for the node's own DNS get none: nothing outside is needed.
        "resolv.conf": "nameserver 127.0.0.1\n",
        "boot.json": json.dumps(
            config.boot_plan(
                node,
                containerd=packages.which("containerd") or "containerd",
                kubelet=binaries.path("kubelet"),
                kube_proxy=binaries.path("kube-proxy"),
                cgroups=leaves,
            ),
            indent=1,
        ),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    _write_certificates(node)


def proxy_mode() -> str:
    """Return kube-proxy's mode: nftables where the kernel has it, else iptables."""
    return "nftables" if attempt("nft", "list", "tables") is not None else "iptables"


def _write_certificates(node: NodeSpec) -> None:
    authority = Authority(places.run() / "pki")
    client, serving = node_subjects(node.name, node.addresses.node)
    authority.ensure((client, serving), utc_now())
    target = node.folder / "pki"
    shutil.copy(authority.certificate("ca"), target / "ca.crt")
    shutil.copy(authority.certificate(serving.file_name), target / "serving.crt")
    shutil.copy(authority.key(serving.file_name), target / "serving.key")
    authority.write_kubeconfig(node.folder / "kubelet.kubeconfig", client.file_name)
    authority.write_kubeconfig(node.folder / "proxy.kubeconfig", "proxy")


def _launch(node: NodeSpec) -> Process:
    program = Path(__file__).with_name("first_process.py")
    places.log().mkdir(parents=True, exist_ok=True)
    with (places.log() / f"{node.name}.log").open("ab") as log:
        launcher = subprocess.Popen(
            [sys.executable, "-I", str(program), str(node.folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
            | {MARK: str(places.run())},
            start_new_session=True,
        )
    with suppress(subprocess.TimeoutExpired):
        launcher.wait(timeout=LAUNCH_DEADLINE_SECONDS)
    process = first_process(node)
    if process is None:
        launcher.kill()
        launcher.wait()
        tail = processes.indented(processes.log_tail(places.log() / f"{node.name}.log"))
        raise OneboxError(
            f"the node {node.name} could not be started:\n{tail}",
            "onebox needs root and a kernel with mount, network, pid, uts and ipc namespaces",
        )
    return process
