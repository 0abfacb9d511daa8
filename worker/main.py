"""Starts the parts of a worker process in order, and stops them in the opposite one.

HTTP ─► Temporal ─► API server, CRDs ─► informers ─► workers, watcher, webhook ─► ready
SIGTERM: watcher releases its lease; workers end or hand over their activities; the webhook answers
for a moment longer; at most 20 s
"""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from temporalio.client import Client
from temporalio.worker import Worker

from activities.clients.informer import Informer
from activities.clients.kubernetes import KubernetesClient
from activities.context import Informers, open_context
from activities.registry import quick_activities, wait_activities
from api.errors import ClusterUnavailable
from presets.loader import load_catalogue
from worker import start_checks
from worker.exits import leave_at_the_latest
from worker.http_server import HttpServer
from worker.metrics import Metrics
from worker.readiness import Readiness
from worker.schedule import keep_schedule
from worker.settings import Role, Settings
from worker.start_checks import StartRefused
from worker.telemetry import free_loopback_port, start_runtime
from worker.temporal import connect, make_wait_worker, make_worker
from worker.watcher.election import Elector
from worker.watcher.sender import Sender, TemporalDelivery
from worker.watcher.watcher import Watcher
from worker.webhook.wiring import make_webhook
from workflows.registry import WORKFLOWS, workflow_runner

_logger = logging.getLogger(__name__)

STOP_SECONDS: Final = 20.0
"""20 s from SIGTERM to the end, whatever hangs; Kubernetes kills after 30."""

ORDERLY_STOP_SECONDS: Final = 18.0
"""18 s for the parts to stop; what is left is for closing connections and the last log lines."""

Part = Callable[[], Coroutine[Any, Any, None]]
"""Runs until it is cancelled; returning or raising before means that the process has failed."""


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then stop in order.

    Raises:
        StartRefused: a start check failed.
        UnusableConfiguration: no way to reach a cluster is configured.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            HttpServer(
                metrics, host=settings.telemetry.http_host, port=settings.telemetry.http_port
            )
        )
        starting = asyncio.create_task(_start(settings, metrics, server, stack))
        await _first(starting, stop)
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
            return
        workers, parts = starting.result()
        _logger.info("started: %s, on port %d", ", ".join(sorted(settings.roles)), server.port)
        await _serve(workers, parts, stop)


async def _first(task: asyncio.Task[Any], stop: asyncio.Event) -> None:
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()


async def _start(
    settings: Settings, metrics: Metrics, server: HttpServer, stack: AsyncExitStack
) -> tuple[list[Worker], list[Part]]:
    client = await _connect_temporal(settings, server) if settings.needs_temporal else None
    cluster = await stack.enter_async_context(
        KubernetesClient.connect(settings.kubernetes.kubeconfig)
    )
    cluster.observe_requests(metrics.count_api_request)
    # The webhook alone lists nothing, and its account need not be allowed to.
    kinds = start_checks.KINDS if settings.needs_temporal else ()
    version = await start_checks.check_cluster(cluster, kinds)
    _logger.info("Kubernetes %s at %s", version, cluster.host)
    workers: list[Worker] = []
    informers: Sequence[Informer] = ()
    parts: list[Part] = []
    look_at_webhook: Callable[[], Sequence[str]] = tuple
    if Role.WEBHOOK in settings.roles:
        webhook = await make_webhook(settings, cluster, metrics)
        parts.append(webhook.run)
        look_at_webhook = webhook.complaints
    if client is not None:
        try:
            workers, informers = await _make_workers(settings, client, cluster, metrics, stack)
        except ClusterUnavailable as error:
            raise StartRefused(str(error)) from error
        if Role.WATCHER in settings.roles:
            await start_checks.ensure_namespace(
                cluster,
                settings.kubernetes.lease_namespace,
                "the watchers' lease",
                "KAITO_LEASE_NAMESPACE",
            )
            parts.append(_make_watcher(settings, client, cluster, informers, metrics).run)
            parts.append(functools.partial(keep_schedule, client))
    metrics.follow_informers(informers)
    server.set_readiness(Readiness(client, cluster, informers, look_at_webhook))
    return workers, parts


async def _connect_temporal(settings: Settings, server: HttpServer) -> Client:
    sdk_metrics_port = free_loopback_port()
    client = await connect(settings.temporal, start_runtime(sdk_metrics_port))
    server.add_sdk_metrics(f"http://127.0.0.1:{sdk_metrics_port}/metrics")
    await start_checks.ensure_search_attributes(client)
    _logger.info("Temporal at %s", settings.temporal.address)
    return client


async def _make_workers(
    settings: Settings,
    client: Client,
    cluster: KubernetesClient,
    metrics: Metrics,
    stack: AsyncExitStack,
) -> tuple[list[Worker], Sequence[Informer]]:
    """Return the workers that the roles ask for, and the informers of this process."""
    workflows = WORKFLOWS if Role.WORKFLOWS in settings.roles else ()
    make_quick = functools.partial(
        make_worker,
        client,
        settings.temporal,
        identity=settings.identity,
        workflows=workflows,
        workflow_runner=workflow_runner(),
    )
    if Role.ACTIVITIES in settings.roles:
        context = await stack.enter_async_context(
            open_context(settings.activities, cluster, load_catalogue())
        )
        waiter = make_wait_worker(
            client,
            settings.temporal,
            identity=settings.identity,
            activities=wait_activities(context),
        )
        quick = make_quick(activities=quick_activities(context, metrics.sweep))
        return [quick, waiter], context.informers.all
    workers = [make_quick(activities=())] if workflows else []
    if Role.WATCHER not in settings.roles:
        return workers, ()
    informers = Informers(cluster, settings.kubernetes.watch_namespace)
    informers.start()
    stack.push_async_callback(informers.stop)
    await informers.wait_synced()
    return workers, informers.all


def _make_watcher(
    settings: Settings,
    client: Client,
    cluster: KubernetesClient,
    informers: Sequence[Informer],
    metrics: Metrics,
) -> Watcher:
    elector = Elector(
        cluster, namespace=settings.kubernetes.lease_namespace, identity=settings.identity
    )
    sender = Sender(TemporalDelivery(client), metrics, may_send=lambda: elector.is_leader)
    return Watcher(informers, elector, sender, metrics)


async def _serve(workers: Sequence[Worker], parts: Sequence[Part], stop: asyncio.Event) -> None:
    """Run everything until `stop`, or until a part fails; then stop everything."""
    running = [asyncio.create_task(worker.run()) for worker in workers]
    others = [asyncio.create_task(part()) for part in parts]
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({stopping, *running, *others}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    failures = [task.exception() for task in (*running, *others) if task.done()]
    _logger.info("stopping" if stop.is_set() else "a part of the worker failed; stopping")
    leave_at_the_latest(STOP_SECONDS)
    for task in others:
        # The watcher releases its lease, so that another one leads at once.
        task.cancel()
    # A worker that has failed refuses to be shut down; its own error is raised below.
    shutdowns = [asyncio.create_task(worker.shutdown()) for worker in workers]
    _, late = await asyncio.wait({*others, *running, *shutdowns}, timeout=ORDERLY_STOP_SECONDS)
    if late:
        _logger.warning("not all stopped within %.0f s; leaving anyway", ORDERLY_STOP_SECONDS)
    for failure in failures:
        raise failure or RuntimeError("a part of the worker ended by itself")
    _logger.info("stopped")
