"""etcd, kube-apiserver, controller-manager and scheduler on the bridge's address.

All listen on the bridge and none on loopback: a second cluster of a test, or of somebody else,
keeps the default ports of 127.0.0.1 for itself.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from onebox import binaries, places, processes
from onebox.kube import KubeClient, KubeError
from onebox.pki import CLUSTER_SUBJECTS, Authority, utc_now
from onebox.processes import Program

READY_DEADLINE_SECONDS: Final = 120.0
"""Ready in about 5 s on an idle machine (2026-11); builds beside it slow that down tenfold."""

Running = Callable[[Program], None]
"""Called with each program that was started now, so that a failing `up` can take it back."""


def prepare() -> None:
    """Make certificates and kubeconfigs; idempotent."""
    authority = Authority(places.run() / "pki")
    now = utc_now()
    authority.ensure_authority(now)
    authority.ensure(CLUSTER_SUBJECTS, now)
    authority.write_kubeconfig(places.kubeconfig(), "admin")
    for name in ("controller-manager", "scheduler"):
        authority.write_kubeconfig(places.run() / f"{name}.kubeconfig", name)


def etcd(pki: Path) -> Program:
    """Return etcd; it does not wait for the disk, because its data lives as long as `.run`."""
    client = f"https://{places.HOST_ADDRESS}:{places.PORT_ETCD}"
    peer = f"http://{places.HOST_ADDRESS}:{places.PORT_ETCD_PEER}"
    return Program(
        name="etcd",
        command=[
            str(binaries.path("etcd")),
            "--name=onebox",
            f"--data-dir={places.run() / 'etcd'}",
            "--unsafe-no-fsync",
            "--log-level=warn",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=onebox={peer}",
            f"--cert-file={pki / 'etcd.crt'}",
            f"--key-file={pki / 'etcd.key'}",
            "--client-cert-auth",
            f"--trusted-ca-file={pki / 'ca.crt'}",
            "--auto-compaction-mode=periodic",
            "--auto-compaction-retention=10m",
        ],
        listens=(
            (places.HOST_ADDRESS, places.PORT_ETCD),
            (places.HOST_ADDRESS, places.PORT_ETCD_PEER),
        ),
    )


def api_server(pki: Path) -> Program:
    """Return kube-apiserver."""
    issuer = "https://kubernetes.default.svc.cluster.local"
    return Program(
        name="kube-apiserver",
        command=[
            str(binaries.path("kube-apiserver")),
            f"--etcd-servers=https://{places.HOST_ADDRESS}:{places.PORT_ETCD}",
            f"--etcd-cafile={pki / 'ca.crt'}",
            f"--etcd-certfile={pki / 'etcd.crt'}",
            f"--etcd-keyfile={pki / 'etcd.key'}",
            f"--bind-address={places.HOST_ADDRESS}",
            f"--advertise-address={places.HOST_ADDRESS}",
            f"--secure-port={places.PORT_API_SERVER}",
            f"--tls-cert-file={pki / 'apiserver.crt'}",
            f"--tls-private-key-file={pki / 'apiserver.key'}",
            f"--client-ca-file={pki / 'ca.crt'}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--anonymous-auth=false",
            f"--service-cluster-ip-range={places.SERVICE_NETWORK}",
            "--allow-privileged",
            f"--service-account-issuer={issuer}",
            f"--service-account-key-file={pki / 'service-account.key'}",
            f"--service-account-signing-key-file={pki / 'service-account.key'}",
            f"--kubelet-client-certificate={pki / 'apiserver-kubelet.crt'}",
            f"--kubelet-client-key={pki / 'apiserver-kubelet.key'}",
            f"--kubelet-certificate-authority={pki / 'ca.crt'}",
            "--kubelet-preferred-address-types=InternalIP",
            "--profiling=false",
            "--v=1",
        ],
        listens=((places.HOST_ADDRESS, places.PORT_API_SERVER),),
    )


def controller_manager(pki: Path) -> Program:
    """Return kube-controller-manager."""
    kubeconfig = places.run() / "controller-manager.kubeconfig"
    return Program(
        name="kube-controller-manager",
        command=[
            str(binaries.path("kube-controller-manager")),
            *_component_flags(kubeconfig, places.PORT_CONTROLLER_MANAGER),
            "--use-service-account-credentials",
            f"--service-account-private-key-file={pki / 'service-account.key'}",
            f"--root-ca-file={pki / 'ca.crt'}",
            f"--cluster-signing-cert-file={pki / 'ca.crt'}",
            f"--cluster-signing-key-file={pki / 'ca.key'}",
            "--allocate-node-cidrs=false",
        ],
        listens=((places.HOST_ADDRESS, places.PORT_CONTROLLER_MANAGER),),
    )


def scheduler() -> Program:
    """Return kube-scheduler."""
    return Program(
        name="kube-scheduler",
        command=[
            str(binaries.path("kube-scheduler")),
            *_component_flags(places.run() / "scheduler.kubeconfig", places.PORT_SCHEDULER),
        ],
        listens=((places.HOST_ADDRESS, places.PORT_SCHEDULER),),
    )


def start(running: Running, is_cancelled: Callable[[], bool]) -> KubeClient:
    """Start what does not run, in order, and return a client once all of it works."""
    prepare()
    pki = places.run() / "pki"
    store, server = etcd(pki), api_server(pki)
    _start(store, running)
    _start(server, running)
    client = KubeClient(places.kubeconfig())
    processes.await_ready(
        store, lambda: _handshake(pki) or client.is_ready(), READY_DEADLINE_SECONDS, is_cancelled
    )
    processes.await_ready(server, client.is_ready, READY_DEADLINE_SECONDS, is_cancelled)
    controllers, scheduling = controller_manager(pki), scheduler()
    _start(controllers, running)
    _start(scheduling, running)
    processes.await_ready(
        controllers, lambda: _has_default_account(client), READY_DEADLINE_SECONDS, is_cancelled
    )
    processes.await_ready(scheduling, lambda: True, READY_DEADLINE_SECONDS, is_cancelled)
    return client


def _start(program: Program, running: Running) -> None:
    if processes.start(program) is not None:
        running(program)


def _component_flags(kubeconfig: Path, port: int) -> list[str]:
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={places.HOST_ADDRESS}",
        f"--secure-port={port}",
        "--leader-elect=false",
        "--profiling=false",
        "--v=1",
    ]


def _handshake(pki: Path) -> bool:
    """Say whether etcd completes a TLS handshake."""
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "etcd.crt", pki / "etcd.key")
    address = (places.HOST_ADDRESS, places.PORT_ETCD)
    try:
        with (
            socket.create_connection(address, timeout=1) as plain,
            context.wrap_socket(plain, server_hostname=places.HOST_ADDRESS),
        ):
            return True
    except OSError:
        return False


def _has_default_account(client: KubeClient) -> bool:
    """Say whether controllers work: they make this account, and pods can't start without it."""
    try:
        return client.get("/api/v1/namespaces/default/serviceaccounts/default") is not None
    except KubeError:
        return False
