"""Renders the files that a node's programs read. Pure: the same node gives the same text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from api.images import PAUSE_IMAGE
from onebox import places
from onebox.node.spec import INSIDE, NodeSpec, labels_of_kubelet

CONTAINERD_SOCKET: Final = "/run/containerd/containerd.sock"
CAP_SYS_RESOURCE_BIT: Final = 24

CONTAINERD_UNUSED_PLUGINS: Final = (
    "io.containerd.internal.v1.opt",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.tracing.processor.v1.otlp",
)


def lacks_sys_resource(status: str) -> bool:
    """Say whether /proc/self/status shows no CAP_SYS_RESOURCE.

    Without it runc can't lower a container's oom_score_adj, and every pod dies with "can't get
    final child's PID from pipe: EOF"; containerd must then raise the value to what it may set.
    """
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return not int(line.split()[1], 16) >> CAP_SYS_RESOURCE_BIT & 1
    return False


def containerd_config(*, cni_folder: Path, restrict_oom_score: bool) -> str:
    """Render containerd's config.toml."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    runc = f"{cri}.containerd.runtimes.runc"
    return f"""\
version = 2
root = "{INSIDE}/containerd"
state = "/run/containerd"
disabled_plugins = {json.dumps(CONTAINERD_UNUSED_PLUGINS)}

[grpc]
  address = "{CONTAINERD_SOCKET}"

[{cri}]
  sandbox_image = "{places.REGISTRY}/{PAUSE_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = {json.dumps(restrict_oom_score)}

[{cri}.cni]
  bin_dir = "{cni_folder}"
  conf_dir = "{INSIDE}/cni"

[{cri}.registry]
  config_path = "{INSIDE}/registries"

[{cri}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
  # The registry keeps the layers; a second copy per node would cost its disk twice.
  discard_unpacked_layers = true

[{runc}]
  runtime_type = "io.containerd.runc.v2"

[{runc}.options]
  SystemdCgroup = false
"""


def registry_hosts() -> str:
    """Render hosts.toml: the local registry speaks plain HTTP."""
    return f"""\
server = "{places.REGISTRY_URL}"

[host."{places.REGISTRY_URL}"]
  capabilities = ["pull", "resolve"]
"""


def cni_config(node: NodeSpec) -> dict[str, Any]:
    """Render the pod network: a bridge per node, addresses from the node's own range."""
    return {
        "cniVersion": "0.4.0",
        "name": "onebox",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "ipMasq": False,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni-addresses",
                    "ranges": [[{"subnet": node.addresses.pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }


def kubelet_config(node: NodeSpec) -> dict[str, Any]:
    """Render the KubeletConfiguration."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.addresses.node,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{INSIDE}/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{INSIDE}/pki/serving.crt",
        "tlsPrivateKeyFile": f"{INSIDE}/pki/serving.key",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "podLogsDir": f"{INSIDE}/pods",
        "clusterDomain": "cluster.local",
        "clusterDNS": [places.DNS_ADDRESS],
        "resolvConf": f"{INSIDE}/resolv.conf",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": ["pods"],
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        "healthzBindAddress": "127.0.0.1",
        "serializeImagePulls": False,
        "nodeStatusUpdateFrequency": "5s",
        "syncFrequency": "10s",
        "registerWithTaints": [dict(taint) for taint in node.taints],
        "maxPods": 110,
    }


def kube_proxy_config(node: NodeSpec, mode: str) -> dict[str, Any]:
    """Render the KubeProxyConfiguration."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{INSIDE}/proxy.kubeconfig"},
        "hostnameOverride": node.name,
        "mode": mode,
        "clusterCIDR": places.POD_NETWORK,
        # 0: leave the host's connection-tracking limits alone; they are not this namespace's.
        "conntrack": {
            "maxPerCore": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "metricsBindAddress": "127.0.0.1:10249",
        "healthzBindAddress": "127.0.0.1:10256",
        "detectLocalMode": "ClusterCIDR",
    }


def boot_plan(
    node: NodeSpec, *, containerd: str, kubelet: Path, kube_proxy: Path, cgroups: Sequence[Path]
) -> dict[str, Any]:
    """Render what the node's first process reads: the programs in the order of their start."""
    kubelet_command = [
        str(kubelet),
        f"--config={INSIDE}/kubelet.json",
        f"--kubeconfig={INSIDE}/kubelet.kubeconfig",
        f"--root-dir={INSIDE}/kubelet",
        f"--hostname-override={node.name}",
        f"--node-ip={node.addresses.node}",
        "--v=1",
    ]
    labels = labels_of_kubelet(node.labels)
    if labels:
        pairs = ",".join(f"{key}={labels[key]}" for key in sorted(labels))
        kubelet_command.append(f"--node-labels={pairs}")
    if node.provider_id:
        kubelet_command.append(f"--provider-id={node.provider_id}")
    return {
        "hostname": node.name,
        "folder": str(node.folder),
        "inside": INSIDE,
        "logs": str(places.log()),
        "cgroups": [str(path) for path in cgroups],
        "programs": [
            {
                "name": "containerd",
                "command": [containerd, "--config", f"{INSIDE}/containerd.toml"],
                "socket": CONTAINERD_SOCKET,
            },
            {"name": "kubelet", "command": kubelet_command, "socket": ""},
            {
                "name": "kube-proxy",
                "command": [str(kube_proxy), f"--config={INSIDE}/kube-proxy.json", "--v=1"],
                "socket": "",
            },
        ],
    }
