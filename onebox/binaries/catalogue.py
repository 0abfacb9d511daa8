"""Which programs onebox builds, from which Go module, at which version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MODULES: Final = Path(__file__).resolve().parent / "modules"

KUBERNETES_VERSION: Final = "v1.34.4"
"""The newest minor whose kubelet runs on cgroup v1 without a patch (facts/local_cluster.md)."""


@dataclass(frozen=True)
class Module:
    """One folder with go.mod, go.sum and tools.go."""

    name: str
    version: str
    link_flags: tuple[str, ...] = ("-s", "-w")

    @property
    def folder(self) -> Path:
        """Return the committed folder of the module."""
        return MODULES / self.name

    def files(self) -> list[Path]:
        """Return the files that decide what is built, in a stable order."""
        return sorted(path for path in self.folder.iterdir() if path.is_file())


@dataclass(frozen=True)
class Binary:
    """One program of a module."""

    name: str
    module: Module
    package: str


def _kubernetes_link_flags() -> tuple[str, ...]:
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    version = "k8s.io/component-base/version"
    return (
        "-s",
        "-w",
        f"-X {version}.gitVersion={KUBERNETES_VERSION}",
        f"-X {version}.gitMajor={major}",
        f"-X {version}.gitMinor={minor}",
    )


_KUBERNETES = Module("kubernetes", KUBERNETES_VERSION, _kubernetes_link_flags())
_ETCD = Module("etcd", "v3.6.8")
_KWOK = Module("kwok", "v0.8.0", ("-s", "-w", "-X sigs.k8s.io/kwok/pkg/consts.Version=v0.8.0"))
_REGISTRY = Module("registry", "v3.1.2")
_COREDNS = Module("coredns", "v1.14.7")
_PAUSE = Module("pause", "v1")

CATALOGUE: Final[dict[str, Binary]] = {
    binary.name: binary
    for binary in (
        # Quick ones first: images can be pushed to the registry while Kubernetes is still built.
        Binary("pause", _PAUSE, "."),
        Binary("registry", _REGISTRY, "github.com/distribution/distribution/v3/cmd/registry"),
        Binary("etcd", _ETCD, "go.etcd.io/etcd/server/v3"),
        Binary("kube-apiserver", _KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver"),
        Binary(
            "kube-controller-manager", _KUBERNETES, "k8s.io/kubernetes/cmd/kube-controller-manager"
        ),
        Binary("kube-scheduler", _KUBERNETES, "k8s.io/kubernetes/cmd/kube-scheduler"),
        Binary("kubelet", _KUBERNETES, "k8s.io/kubernetes/cmd/kubelet"),
        Binary("kube-proxy", _KUBERNETES, "k8s.io/kubernetes/cmd/kube-proxy"),
        Binary("coredns", _COREDNS, "github.com/coredns/coredns"),
        Binary("kubectl", _KUBERNETES, "k8s.io/kubernetes/cmd/kubectl"),
        Binary("kwok", _KWOK, "sigs.k8s.io/kwok/cmd/kwok"),
    )
}

FOR_UP: Final = tuple(name for name in CATALOGUE if name not in {"kubectl", "kwok"})
"""What `up` can't do without; kubectl is built only where the machine has none."""


def required_go(modules: list[Module]) -> tuple[int, int]:
    """Return the lowest Go release (major, minor) that all the modules accept."""
    found = [(1, 24)]
    for module in modules:
        text = (module.folder / "go.mod").read_text(encoding="utf-8")
        declared = re.search(r"^go (\d+)\.(\d+)", text, flags=re.MULTILINE)
        if declared:
            found.append((int(declared[1]), int(declared[2])))
    return max(found)
