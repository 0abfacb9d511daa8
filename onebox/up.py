"""Starts everything on this machine, shows it, and ends with one answered question."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from onebox import (
    ask,
    azure_emulator,
    binaries,
    cloud,
    cluster_dns,
    control_plane,
    down,
    firewall,
    follow,
    lock,
    network,
    packages,
    places,
    preflight,
    processes,
    registry,
    system_images,
    temporal,
    weights,
    worker_process,
)
from onebox.agent.store import read_machines
from onebox.binaries.catalogue import FOR_UP
from onebox.errors import OneboxError
from onebox.images import adapter, runtime
from onebox.kube import KubeClient
from onebox.node import lifecycle
from onebox.node.spec import system_node
from onebox.processes import Process, Program
from onebox.progress import Progress
from onebox.registry_client import RegistryClient
from onebox.steps import Step, run

EXAMPLE: Final = (
    places.REPOSITORY / "examples" / "inference" / "workspace-smollm2-135m-instruct.yaml"
)
CRDS: Final = places.REPOSITORY / "charts" / "kaito-temporal-crds" / "templates"

REGISTRY_DEADLINE_SECONDS: Final = 60.0
DNS_DEADLINE_SECONDS: Final = 180.0
"""A node registers and CoreDNS answers within 4 s on an idle machine (2026-11)."""

CRD_DEADLINE_SECONDS: Final = 30.0
AGENT_DEADLINE_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Options:
    """What a person may choose."""

    workspace: bool = True
    worker: bool = True
    images: bool = True
    node_limit: int = 2
    cloud: str | None = None
    """See `onebox.cloud`; None: what this installation began with."""
    azure_quotas: tuple[str, ...] = ()


def up(options: Options, progress: Progress) -> None:
    """Bring everything up; idempotent.

    Raises:
        OneboxError: Something is missing, broken or late. Until the platform is whole, everything
            that this call started is taken down again before it is raised.
    """
    preflight.check(with_model=options.images)
    with lock.hold("up"):
        network.require_ours()
        chosen = cloud.settle(options.cloud, options.azure_quotas)
        if chosen.is_azure:
            azure_emulator.require(places.REPOSITORY)
        platform = Platform(options, progress, chosen)
        platform.start()
        if options.workspace and options.worker:
            asyncio.run(_serve_example(progress))
    print(closing_words(options), flush=True)


class Platform:
    """The steps of one `up`, and the way back."""

    def __init__(self, options: Options, progress: Progress, chosen: cloud.Cloud) -> None:
        """Note what runs already: a failure must not touch that."""
        self._options = options
        self._progress = progress
        self._cancelled = threading.Event()
        self._before = {process.pid for process in processes.marked(places.run())}
        self._had_state = (places.run() / "etcd").exists()
        self._cloud = chosen
        self._made_bridge = False
        self._made_system_node = False

    def start(self) -> None:
        """Run all steps, or take back what they did."""
        previous = signal.signal(signal.SIGTERM, _interrupt)
        try:
            run(self._steps(), self._cancelled)
            self._check_all_alive()
        except BaseException as error:
            # Tidying takes seconds; a second Ctrl-C must not leave half of it behind.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            reason = str(error).partition("\n")[0] or "interrupted"
            self._progress.say("up", f"stops and tidies up: {reason}")
            self._take_back()
            raise
        signal.signal(signal.SIGTERM, previous)

    def _steps(self) -> list[Step]:
        wanted = [*FOR_UP, *([] if packages.which("kubectl") else ["kubectl"])]
        builds, earlier = [], ""
        for name in wanted:  # one after the other: each build takes every core by itself
            needs = (f"build {earlier}",) if earlier else ()
            builds.append(Step(f"build {name}", self._build(name), needs))
            earlier = name
        servers = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
        on_nodes = ("packages", "build kubelet", "build kube-proxy")
        steps = [
            *builds,
            Step("packages", lambda: packages.ensure(self._progress.about("packages"))),
            Step("temporal", self._start_temporal),
            Step("bridge", self._make_bridge, ("packages",)),
            Step("registry", self._start_registry, ("bridge", "build registry")),
            Step(
                "system images",
                self._push_system_images,
                ("registry", "build pause", "build coredns"),
            ),
            Step(
                "control plane",
                self._start_control_plane,
                ("bridge", *(f"build {name}" for name in servers)),
            ),
            Step("crds", self._apply_crds, ("control plane",)),
            Step(
                "system node",
                self._start_system_node,
                ("control plane", "system images", *on_nodes),
            ),
            Step("agent", self._start_agent, ("control plane", *on_nodes)),
        ]
        if self._options.images:
            of_images = ("registry", "packages")
            steps.append(Step("runtime image", self._push_runtime_image, of_images))
            # The image's own libraries convert the weights.
            steps.append(Step("weights", self._push_weights, ("runtime image",)))
        if self._cloud.is_azure:
            steps.append(Step("azure emulator", self._start_azure_emulator, ("agent",)))
        if self._options.worker:
            of_worker = ["temporal", "crds", "agent", "system node"]
            of_worker += ["azure emulator"] if self._cloud.is_azure else []
            steps.append(Step("worker", self._start_worker, tuple(of_worker)))
        return steps

    # --- Steps ----------------------------------------------------------------------------------

    def _build(self, name: str) -> Callable[[], None]:
        def build() -> None:
            if binaries.missing([name]):
                binaries.ensure([name], self._progress.about("build"))

        return build

    def _start_temporal(self) -> None:
        self._launch(
            temporal.server(),
            temporal.is_serving,
            temporal.READY_DEADLINE_SECONDS,
            f"serves on {places.TEMPORAL_ADDRESS}",
        )

    def _make_bridge(self) -> None:
        self._made_bridge = network.ensure_bridge()
        firewall.ensure()

    def _start_registry(self) -> None:
        registry.write_config()
        self._launch(
            registry.registry(),
            _registry_client().is_alive,
            REGISTRY_DEADLINE_SECONDS,
            f"serves on {places.REGISTRY}",
        )

    def _push_system_images(self) -> None:
        system_images.ensure(_registry_client(), self._progress.about("system images"))

    def _start_control_plane(self) -> None:
        with self._progress.timed("control plane", "ready"):
            control_plane.start(lambda _: None, self._cancelled.is_set)

    def _apply_crds(self) -> None:
        kube = _kube()
        kube.apply(cluster_dns.platform_namespace())
        documents = [document for path in sorted(CRDS.glob("*.yaml")) for document in _read(path)]
        if not documents:
            raise OneboxError(f"no CRDs in {CRDS}", "`make generate` writes them")
        for document in documents:
            kube.apply(document)
        self._await(
            "the CRDs to be established",
            lambda: all(_is_established(kube, document) for document in documents),
            CRD_DEADLINE_SECONDS,
        )

    def _start_system_node(self) -> None:
        node = system_node()
        kube = _kube()
        machines = [machine.node for machine in read_machines(places.run() / "machines")]
        with self._progress.timed("system node", "cluster DNS answers"):
            self._made_system_node = lifecycle.start(node, machines)
            network.route_services_through(node.addresses)
            cluster_dns.apply(kube)
            self._await(
                f"CoreDNS on {node.name}",
                cluster_dns.answers,
                DNS_DEADLINE_SECONDS,
            )

    def _start_agent(self) -> None:
        self._launch(
            worker_process.agent(self._options.node_limit),
            lambda: worker_process.answers(f"{places.AGENT_URL}/healthz"),
            AGENT_DEADLINE_SECONDS,
            f"serves on {places.AGENT_URL}",
        )

    def _start_azure_emulator(self) -> None:
        self._launch(
            azure_emulator.program(self._cloud),
            azure_emulator.is_serving,
            azure_emulator.READY_DEADLINE_SECONDS,
            f"serves on {places.AZURE_URL}",
        )

    def _push_runtime_image(self) -> None:
        runtime.ensure(_registry_client(), self._progress.about("runtime image"))

    def _push_weights(self) -> None:
        weights.ensure(_registry_client(), self._progress.about("weights"))
        adapter.ensure(_registry_client(), self._progress.about("adapter"))

    def _start_worker(self) -> None:
        self._launch(
            worker_process.worker(self._cloud),
            lambda: worker_process.answers(f"{places.WORKER_URL}/readyz"),
            worker_process.READY_DEADLINE_SECONDS,
            "is ready",
        )

    # --- Waiting, and the way back --------------------------------------------------------------

    def _launch(
        self, program: Program, is_ready: Callable[[], bool], deadline: float, done: str
    ) -> None:
        if processes.start(program) is None and is_ready():
            return
        with self._progress.timed(program.name, done):
            processes.await_ready(program, is_ready, deadline, self._cancelled.is_set)

    def _await(self, what: str, is_true: Callable[[], bool], deadline_seconds: float) -> None:
        give_up_at = self._progress.seconds() + deadline_seconds
        while not is_true():
            if self._progress.seconds() > give_up_at:
                raise OneboxError(
                    f"waited {deadline_seconds:.0f} s in vain for {what}",
                    f"read the logs in {places.log()}; on a busy machine try again",
                )
            if self._cancelled.wait(POLL_SECONDS):
                raise OneboxError(f"stopped while waiting for {what}")

    def _check_all_alive(self) -> None:
        """A program may end a moment after it was ready; say so now, not at its first use."""
        for path in (places.run() / "pids").glob("*.json"):
            if processes.running(path.stem) is None:
                raise processes.died(Program(path.stem, ()))

    def _take_back(self) -> None:
        self._cancelled.set()
        if not self._before:
            self._end(processes.descendants(os.getpid()))
            down.clean(self._progress, keep_state=self._had_state)
            return
        if self._made_system_node:
            lifecycle.delete(system_node())
        self._end(
            [
                *processes.descendants(os.getpid()),
                *(each for each in processes.marked(places.run()) if each.pid not in self._before),
            ]
        )
        if self._made_bridge:
            firewall.remove()
            network.delete_bridge()
        self._progress.say("up", "took back what this call had started; the rest runs on")

    def _end(self, found: list[Process]) -> None:
        processes.stop_processes(found, down.GRACE_SECONDS)


async def _serve_example(progress: Progress) -> None:
    kube = _kube()
    workspaces = [document for document in _read(EXAMPLE) if document["kind"] == "Workspace"]
    for document in _read(EXAMPLE):
        await asyncio.to_thread(kube.apply, document)
        progress.say("workspace", f"applied {document['kind']} {document['metadata']['name']}")
    for document in workspaces:
        with progress.timed("workspace", f"{document['metadata']['name']} is ready"):
            await follow.follow(kube, document, progress)
    name = workspaces[0]["metadata"]["name"]
    answer = await asyncio.to_thread(ask.ask, kube, name, ask.DEFAULT_QUESTION)
    progress.say("question", ask.DEFAULT_QUESTION)
    progress.say("answer", f"{answer.text}  ({answer.model}, {answer.seconds:.1f} s)")


def closing_words(options: Options) -> str:
    """Return the commands to go on with."""
    lines = [
        "",
        "Everything runs, and goes on running. To go on:",
        f"  export KUBECONFIG={places.kubeconfig()}",
        f"  export PATH={temporal.cli().parent}:{_kubectl_folder()}$PATH",
        "  kubectl get workspace",
        "  temporal workflow list",
        '  python -m onebox ask "Why is the sky blue?"',
        f"  Temporal's UI: {places.TEMPORAL_UI_URL}",
        "  make status; make down",
    ]
    if not options.workspace:
        lines.insert(6, f"  kubectl apply -f {EXAMPLE.relative_to(places.REPOSITORY)}")
    return "\n".join(lines)


def _kubectl_folder() -> str:
    return "" if packages.which("kubectl") else f"{binaries.path('kubectl').parent}:"


def _interrupt(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _registry_client() -> RegistryClient:
    return RegistryClient(places.REGISTRY_URL)


def _kube() -> KubeClient:
    return KubeClient(places.kubeconfig())


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        raise OneboxError(f"{path} is missing", "check out the whole repository")
    text = path.read_text(encoding="utf-8")
    return [document for document in yaml.safe_load_all(text) if document]


def _is_established(kube: KubeClient, crd: dict[str, Any]) -> bool:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
    found = kube.get(path + crd["metadata"]["name"]) or {}
    return any(
        condition["type"] == "Established" and condition["status"] == "True"
        for condition in found.get("status", {}).get("conditions") or []
    )
