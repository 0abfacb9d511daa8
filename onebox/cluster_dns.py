"""CoreDNS as a Deployment on the system node, and the namespace of the platform."""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

from api.images import COREDNS_IMAGE
from onebox import places
from onebox.kube import KubeClient
from onebox.node.spec import SYSTEM_NODE

PLATFORM_NAMESPACE: Final = "kaito-system"

KNOWN_NAME: Final = "kubernetes.default.svc.cluster.local"
ANSWER_TIMEOUT_SECONDS: Final = 0.5
"""An answer takes a millisecond; a lost datagram is asked for again."""

COREFILE: Final = """\
.:53 {
  errors
  health :8080
  ready :8181
  kubernetes cluster.local in-addr.arpa
  cache 30
  reload
}
"""

_LABELS: Final = {"k8s-app": "kube-dns"}
_META: Final = {"name": "coredns", "namespace": "kube-system"}


def platform_namespace() -> dict[str, Any]:
    """Render the namespace of the platform's own objects, such as its lease."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLATFORM_NAMESPACE}}


def manifests() -> list[dict[str, Any]]:
    """Render everything, in the order in which it must be applied."""
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _META},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "onebox:coredns"},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["services", "pods", "namespaces"],
                    "verbs": ["list", "watch"],
                },
                {
                    "apiGroups": ["discovery.k8s.io"],
                    "resources": ["endpointslices"],
                    "verbs": ["list", "watch"],
                },
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "onebox:coredns"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "onebox:coredns",
            },
            "subjects": [{"kind": "ServiceAccount", **_META}],
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _META,
            "data": {"Corefile": COREFILE},
        },
        _deployment(),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": _LABELS},
            "spec": {
                "clusterIP": places.DNS_ADDRESS,
                "selector": _LABELS,
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                ],
            },
        },
    ]


def _deployment() -> dict[str, Any]:
    container = {
        "name": "coredns",
        "image": f"{places.REGISTRY}/{COREDNS_IMAGE}",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
        "ports": [
            {"containerPort": 53, "protocol": "UDP", "name": "dns"},
            {"containerPort": 53, "protocol": "TCP", "name": "dns-tcp"},
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "initialDelaySeconds": 20},
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": "170Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
            "readOnlyRootFilesystem": True,
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**_META, "labels": _LABELS},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": _LABELS},
            "template": {
                "metadata": {"labels": _LABELS},
                "spec": {
                    "serviceAccountName": "coredns",
                    "priorityClassName": "system-cluster-critical",
                    "nodeSelector": {"kubernetes.io/hostname": SYSTEM_NODE},
                    "tolerations": [{"operator": "Exists"}],
                    # The node's own resolv.conf: DNS must not ask itself.
                    "dnsPolicy": "Default",
                    "containers": [container],
                    "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
                },
            },
        },
    }


def apply(client: KubeClient) -> None:
    """Apply everything; idempotent."""
    for manifest in manifests():
        client.apply(manifest)


def answers(address: str = places.DNS_ADDRESS, port: int = 53) -> bool:
    """Say whether cluster DNS resolves the API server's name, asked at its Service's address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(ANSWER_TIMEOUT_SECONDS)
        try:
            asking.sendto(query(KNOWN_NAME), (address, port))
            said = asking.recv(512)
        except OSError:
            return False
    return said.endswith(socket.inet_aton(places.KUBERNETES_SERVICE_ADDRESS))


def query(name: str) -> bytes:
    """Render a DNS question for the IPv4 address of a name."""
    identity, recursion_desired, question_count = 0x4B41, 0x0100, 1
    header = struct.pack("!6H", identity, recursion_desired, question_count, 0, 0, 0)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return header + labels + b"\0" + struct.pack("!2H", 1, 1)
