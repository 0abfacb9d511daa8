"""A real Kubernetes control plane on loopback, without root, for as long as a test session.

    etcd ◄── kube-apiserver ◄── kube-controller-manager, kube-scheduler   (full only)
                            ◄── kwok: nodes and pods that are only objects (full only)

Each cluster has its own folder, certificates and ports, so that any number run side by side; every
process dies with the test process, even if that is killed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from string import Template
from typing import Any, Final, TypeVar

import aiohttp
import yaml

from activities.clients.kubernetes import (
    CRDS,
    NAMESPACES,
    NODES,
    ApiError,
    Kind,
    KubernetesClient,
)
from api import names
from api.errors import ClusterUnavailable
from tests.harness import binaries
from tests.harness.certificates import Authority, write_signing_key
from tests.harness.processes import Process, ProcessDied, release_port, reserve_port

ROOT: Final = Path(__file__).resolve().parents[2]
CRD_FOLDER: Final = ROOT / "charts" / "kaito-temporal-crds" / "templates"

READY_SECONDS: Final = 90.0
"""90 s: an API server needs 4 s alone on this machine and much more beside a Go build."""

POLL_SECONDS: Final = 0.05

STAGES_OF_LIVE_PODS: Final = ("name: pod-ready", "name: pod-complete")
"""What kwok does to pods that nobody deleted."""

SERVER_ERRORS: Final = 500
NOT_YET: Final = (403, 429)
"""Right after its start the API server may refuse even administrators, or ask for patience."""

# Only what workloads, deletions and nodes need: each further controller costs watches and CPU.
CONTROLLERS: Final = (
    "statefulset-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "taint-eviction-controller",
    "pod-garbage-collector-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
    "endpointslice-controller",
)

_T = TypeVar("_T")


class Cluster:
    """One control plane; holds nothing that is bound to an event loop."""

    def __init__(
        self,
        *,
        full: bool = False,
        with_crds: bool = True,
        pod_ready_seconds: float = 0.2,
        plays_pods: bool = True,
    ) -> None:
        """Describe it; `start` begins. `full` adds controllers, scheduler and kwok.

        Without `plays_pods`, kwok leaves pods as they are until they are deleted.
        """
        self.is_full = full
        self.folder = Path(tempfile.mkdtemp(prefix="kaito-cluster-"))
        self.kubeconfig = self.folder / "kubeconfig"
        self.processes: dict[str, Process] = {}
        self.url = ""
        self._etcd_url = ""
        self._ports: list[int] = []
        self._pod_ready_seconds = pod_ready_seconds
        self._plays_pods = plays_pods
        self._with_crds = with_crds
        self._served_kinds: list[Kind] = []

    # --- life -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything and wait until it answers; on failure nothing is left running."""
        try:
            await self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill everything and remove the folder."""
        # In reverse: controllers first, so that none complains about a missing server.
        for process in reversed(self.processes.values()):
            process.kill()
        for port in self._ports:
            release_port(port)
        self._ports.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Cluster]:
        """Start and stop as a context."""
        await self.start()
        try:
            yield self
        finally:
            self.stop()

    async def stop_apiserver(self) -> None:
        """Kill the API server; etcd keeps the objects, and clients lose their watches."""
        self.processes["kube-apiserver"].kill()

    async def start_apiserver(self) -> None:
        """Start the API server again at the same address and wait until it is ready."""
        self.processes["kube-apiserver"].start()
        await self.wait_ready()

    async def restart_apiserver(self) -> None:
        """Kill and start the API server."""
        await self.stop_apiserver()
        await self.start_apiserver()

    async def wait_ready(self, *, seconds: float = READY_SECONDS) -> None:
        """Wait until /readyz says ok."""
        process = self.processes["kube-apiserver"]
        deadline = time.monotonic() + seconds
        async with self.client() as cluster:
            while True:
                process.check()
                try:
                    # More than /readyz promises: authorisation and storage of our own kinds are up.
                    await cluster.get(NAMESPACES, "kube-system")
                    for kind in self._served_kinds:
                        await cluster.list(kind)
                except (ApiError, ClusterUnavailable) as error:
                    if time.monotonic() > deadline:
                        raise ProcessDied(
                            f"kube-apiserver is not ready after {seconds} s ({error}):\n"
                            f"{process.log_tail()}"
                        ) from error
                    await asyncio.sleep(POLL_SECONDS)
                else:
                    return

    # --- use --------------------------------------------------------------------------------

    @asynccontextmanager
    async def client(self) -> AsyncIterator[KubernetesClient]:
        """Connect as an administrator."""
        async with KubernetesClient.connect(str(self.kubeconfig)) as client:
            yield client

    async def until_it_answers(
        self, call: Callable[[], Awaitable[_T]], *, seconds: float = READY_SECONDS
    ) -> _T:
        """Repeat `call` while the API server is away; what it refuses is raised at once."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return await call()
            except (ApiError, ClusterUnavailable) as error:
                is_away = isinstance(error, ClusterUnavailable) or (
                    error.status >= SERVER_ERRORS or error.status in NOT_YET
                )
                if not is_away or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(POLL_SECONDS * 2)

    async def apply_crds(self) -> None:
        """Apply the chart's CRDs and wait until they are served."""
        files = sorted(CRD_FOLDER.glob("*.yaml"))
        if not files:
            raise FileNotFoundError(f"no CRDs in {CRD_FOLDER}; run: make generate")
        async with self.client() as cluster:
            applied = [
                document
                for file in files
                for document in yaml.safe_load_all(file.read_text())
                if document
            ]
            for document in applied:
                await cluster.apply(CRDS, document)
            for document in applied:
                await self._wait_served(cluster, document)

    async def create_namespace(self, name: str) -> None:
        """Create a namespace; one that exists is no error."""
        async with self.client() as cluster:
            await _create(cluster, NAMESPACES, {"metadata": {"name": name}})

    async def create_kwok_node(
        self,
        name: str,
        *,
        gpu_count: int = 1,
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Mapping[str, str]] = (),
        provider_id: str = "",
        pod_count: int = 110,
    ) -> None:
        """Create a node that kwok makes Ready; one that exists is no error."""
        capacity = {
            "cpu": "64",
            "memory": "256Gi",
            "ephemeral-storage": "1Ti",
            "pods": str(pod_count),
            names.GPU_RESOURCE: str(gpu_count),
        }
        spec: dict[str, Any] = {"taints": [dict(taint) for taint in taints]}
        if provider_id:
            spec["providerID"] = provider_id
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux",
                    "kubernetes.io/arch": "amd64",
                    **(labels or {}),
                },
                "annotations": {"kwok.x-k8s.io/node": "fake"},
            },
            "spec": spec,
            "status": {"capacity": capacity, "allocatable": capacity},
        }
        async with self.client() as cluster:
            await _create(cluster, NODES, node)

    async def delete_node(self, name: str) -> None:
        """Delete a Node object; one that is gone is no error."""
        async with self.client() as cluster:
            await cluster.delete(NODES, name)

    async def revision(self) -> int:
        """Return etcd's current revision."""
        answer = await self._ask_etcd("/v3/kv/range", {"key": base64.b64encode(b"x").decode()})
        return int(answer["header"]["revision"])

    async def compact(self) -> int:
        """Forget all of etcd's past, so that old resource versions are gone for good (410)."""
        revision = await self.revision()
        await self._ask_etcd("/v3/kv/compaction", {"revision": str(revision), "physical": True})
        return revision

    # --- parts ------------------------------------------------------------------------------

    async def _start(self) -> None:
        authority = Authority(self.folder)
        self._etcd_url = f"http://127.0.0.1:{self._reserve_port()}"
        port = self._reserve_port()
        self.url = f"https://127.0.0.1:{port}"
        self._write_kubeconfig(authority)
        self._add("etcd", self._etcd_flags()).start()
        self._add("kube-apiserver", self._apiserver_flags(authority, port)).start()
        await self.wait_ready()
        if self.is_full:
            for process in (
                self._add("kube-controller-manager", self._controller_manager_flags(authority)),
                self._add("kube-scheduler", self._scheduler_flags()),
                self._add("kwok", self._kwok_flags()),
            ):
                process.start()
        if self._with_crds:
            await self.apply_crds()
        for process in self.processes.values():
            process.check()

    def _add(self, name: str, flags: Sequence[str]) -> Process:
        process = Process(name, [binaries.path(name), *flags], folder=self.folder)
        self.processes[name] = process
        return process

    def _reserve_port(self) -> int:
        self._ports.append(reserve_port())
        return self._ports[-1]

    def _etcd_flags(self) -> list[str]:
        peer = f"http://127.0.0.1:{self._reserve_port()}"
        return [
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            # A test cluster may lose its data with the machine; it must not wait for the disk.
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def _apiserver_flags(self, authority: Authority, port: int) -> list[str]:
        certificate, key = authority.issue_server("kube-apiserver")
        signing_key = write_signing_key(self.folder / "service-accounts.key")
        flags = [
            f"--etcd-servers={self._etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={self.folder}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
            f"--client-ca-file={authority.path}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={signing_key}",
            f"--service-account-signing-key-file={signing_key}",
            # Loopback can't be an endpoint of the Service `kubernetes`, and no test uses that.
            "--endpoint-reconciler-type=none",
            "--profiling=false",
        ]
        if not self.is_full:
            # Nobody makes the service accounts that pods would wait for.
            flags.append("--disable-admission-plugins=ServiceAccount")
        return flags

    def _controller_manager_flags(self, authority: Authority) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={','.join(CONTROLLERS)}",
            f"--service-account-private-key-file={self.folder / 'service-accounts.key'}",
            f"--root-ca-file={authority.path}",
            "--leader-elect=false",
            # Port 0: serve nothing, so that many run side by side.
            "--secure-port=0",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            "--concurrent-statefulset-syncs=20",
        ]

    def _scheduler_flags(self) -> list[str]:
        config = self.folder / "kube-scheduler.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "kubescheduler.config.k8s.io/v1",
                    "kind": "KubeSchedulerConfiguration",
                    "clientConnection": {
                        "kubeconfig": str(self.kubeconfig),
                        "qps": 500,
                        "burst": 1000,
                    },
                    "leaderElection": {"leaderElect": False},
                }
            )
        )
        return [f"--config={config}", "--secure-port=0"]

    def _kwok_flags(self) -> list[str]:
        stages = self.folder / "kwok-stages.yaml"
        text = (Path(__file__).parent / "kwok_stages.yaml.tmpl").read_text()
        # safe_substitute: the stages' own Go templates know `$now`, which is not ours to fill in.
        filled = Template(text).safe_substitute(
            pod_ready_milliseconds=round(self._pod_ready_seconds * 1000)
        )
        if not self._plays_pods:
            parts = filled.split("\n---\n")
            filled = "\n---\n".join(
                part for part in parts if not any(name in part for name in STAGES_OF_LIVE_PODS)
            )
        stages.write_text(filled)
        return [
            f"--kubeconfig={self.kubeconfig}",
            f"--config={stages}",
            "--manage-all-nodes=false",
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
            "--node-ip=127.0.0.1",
            "--cidr=10.244.0.0/16",
            "--node-lease-duration-seconds=40",
        ]

    def _write_kubeconfig(self, authority: Authority) -> None:
        certificate, key = authority.issue_client("admin", group="system:masters")
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "clusters": [
                        {
                            "name": "test",
                            "cluster": {
                                "server": self.url,
                                "certificate-authority-data": _base64(authority.path),
                            },
                        }
                    ],
                    "users": [
                        {
                            "name": "admin",
                            "user": {
                                "client-certificate-data": _base64(certificate),
                                "client-key-data": _base64(key),
                            },
                        }
                    ],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
                }
            )
        )

    async def _wait_served(self, cluster: KubernetesClient, crd: Mapping[str, Any]) -> None:
        spec = crd["spec"]
        for version in spec["versions"]:
            kind = Kind(
                spec["group"],
                version["name"],
                spec["names"]["plural"],
                spec["names"]["kind"],
                is_namespaced=spec["scope"] == "Namespaced",
            )
            if kind not in self._served_kinds:
                self._served_kinds.append(kind)
            deadline = time.monotonic() + READY_SECONDS
            while True:
                try:
                    await cluster.list(kind)
                except ApiError as error:
                    if time.monotonic() > deadline:
                        found = await cluster.get(CRDS, crd["metadata"]["name"])
                        raise RuntimeError(
                            f"{kind.plural} {version['name']} is not served: "
                            f"{json.dumps(found.get('status'))}"
                        ) from error
                    await asyncio.sleep(POLL_SECONDS)
                else:
                    break

    async def _ask_etcd(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
            session.post(self._etcd_url + path, json=body) as response,
        ):
            response.raise_for_status()
            answer: dict[str, Any] = await response.json()
            return answer


async def _create(cluster: KubernetesClient, kind: Kind, body: Mapping[str, Any]) -> None:
    try:
        await cluster.create(kind, body)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
