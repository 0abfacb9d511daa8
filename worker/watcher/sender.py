"""Brings waiting hints to Temporal: so many at a time, again and again until they arrive."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from api import names
from worker.metrics import Metrics
from worker.watcher.hint_queue import HintQueue, Parcel

_logger = logging.getLogger(__name__)

MAX_CONCURRENT_SENDS: Final = 16
"""16 calls at a time: the back-pressure. One call takes about 5 ms, so that this is a few hundred
hints a second, near what a two-core server takes (facts, Temporal 4.1)."""

RPC_TIMEOUT: Final = timedelta(seconds=5)
"""5 s with the SDK's own retries: after that the hint goes back to the queue, where a newer one may
replace it."""

SIGNAL: Final = "desired_changed"

EVERYWHERE: Final = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.DEADLINE_EXCEEDED,
        # The SDK's name for a call that ran into its timeout.
        RPCStatusCode.CANCELLED,
        RPCStatusCode.UNAUTHENTICATED,
        RPCStatusCode.PERMISSION_DENIED,
    }
)
"""Failures that say something about Temporal rather than about one hint."""


class TemporalDelivery:
    """Delivers one parcel by signal-with-start."""

    def __init__(self, client: Client) -> None:
        """Take a connected client."""
        self._client = client

    async def __call__(self, parcel: Parcel) -> None:
        """Return when Temporal has it.

        Raises:
            RPCError: Temporal refused or did not answer.
        """
        hint = parcel.hint
        if not hint.can_start:
            await self._wake(parcel)
            return
        subject = f"{hint.namespace}/{hint.name}" if hint.namespace else hint.name
        await self._client.start_workflow(
            hint.workflow,
            hint.start_input,
            id=hint.workflow_id,
            task_queue=names.TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"{hint.workflow.removesuffix('Workflow')} {subject}",
            start_signal=SIGNAL if parcel.wakes else None,
            start_signal_args=[hint.payload] if parcel.wakes else [],
            rpc_timeout=RPC_TIMEOUT,
        )

    async def _wake(self, parcel: Parcel) -> None:
        if not parcel.wakes:
            return
        handle = self._client.get_workflow_handle(parcel.hint.workflow_id)
        try:
            await handle.signal(SIGNAL, parcel.hint.payload, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            # Nobody runs who could be woken, and nobody is to be started: nothing to do.
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise


class Sender:
    """Takes parcels from the queue as fast as they may go."""

    def __init__(
        self,
        deliver: Callable[[Parcel], Awaitable[None]],
        metrics: Metrics,
        *,
        may_send: Callable[[], bool],
        queue: HintQueue | None = None,
    ) -> None:
        """Take the way to deliver, and the question that is asked before each delivery."""
        self._deliver = deliver
        self._metrics = metrics
        self._may_send = may_send
        self._queue = queue or HintQueue()
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_SENDS)
        self._news = asyncio.Event()

    def put(self, parcel: Parcel) -> None:
        """Queue a parcel; quick, and never raises."""
        self._metrics.hints_received.inc()
        if self._queue.put(parcel, time.monotonic()):
            self._metrics.hints_coalesced.inc()
        self._metrics.hints_waiting.set(len(self._queue))
        self._news.set()

    async def run(self) -> None:
        """Send until cancelled; what is not sent then is forgotten."""
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_SENDS)
        try:
            async with asyncio.TaskGroup() as sending:
                while True:
                    await self._slots.acquire()
                    sending.create_task(self._send(await self._next()))
        finally:
            self._queue.clear()
            self._metrics.hints_waiting.set(0)

    async def _next(self) -> Parcel:
        while True:
            self._news.clear()
            now = time.monotonic()
            parcel = self._queue.take(now) if self._may_send() else None
            if parcel is not None:
                return parcel
            due = self._queue.next_due()
            # Past due and still not taken: this process leads no more and is about to be stopped.
            pause_seconds = None if due is None else max(due - now, 0.01)
            try:
                async with asyncio.timeout(pause_seconds):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _send(self, parcel: Parcel) -> None:
        try:
            await self._deliver(parcel)
        except RPCError as error:
            self._metrics.hints_failed.labels(error.status.name).inc()
            _logger.warning(
                "hint not sent, kept for later: %s: %s",
                error.status.name,
                error.message,
                extra={"facts": {"workflow_id": parcel.hint.workflow_id}},
            )
            self._queue.failed(parcel, time.monotonic(), everywhere=error.status in EVERYWHERE)
        else:
            self._queue.done(parcel, time.monotonic())
            self._metrics.hints_sent.labels(parcel.hint.workflow).inc()
            _logger.debug(
                "hint sent: %s",
                parcel.hint.payload.cause,
                extra={"facts": {"workflow_id": parcel.hint.workflow_id}},
            )
        finally:
            self._slots.release()
            self._metrics.hints_waiting.set(len(self._queue))
            self._news.set()
