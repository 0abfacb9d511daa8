"""One leader among all watchers, by a Lease of coordination.k8s.io.

    candidate ──Lease free or expired──► leader ──renewed in time──► leader
                                           │ not renewed by the deadline, or taken over
                                           └──► stops its work at once, is a candidate again

Clocks of machines are never compared: a candidate calls a Lease expired when it has itself seen it
unchanged for the Lease's whole duration, and a leader counts its deadline on its own clock from
*before* it asked. As the deadline is shorter than the duration, two never lead at a time; a process
that was frozen sees by its clock, before its next act, that it leads no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from activities.clients.kubernetes import LEASES, ApiError, KubernetesClient
from api.errors import ClusterUnavailable

_logger = logging.getLogger(__name__)

LEASE_NAME: Final = "kaito-watcher"

_HTTP_CONFLICT: Final = 409
_RELEASE_TIMEOUT_SECONDS: Final = 2.0
"""2 s to release on the way out: the Lease expires by itself if the API server is away."""


@dataclass(frozen=True)
class LeaseTiming:
    """The three spans of a Lease, in seconds; client-go's defaults are 15, 10 and 2.

    Shorter, because a cluster without hints waits: 10 s after a leader's sudden death the next one
    begins. One renewal every 2 s is half a write a second, for the whole installation.
    """

    duration_seconds: float = 10.0
    renew_deadline_seconds: float = 7.0
    retry_seconds: float = 2.0


class Elector:
    """Competes for one Lease and runs work while it holds it."""

    def __init__(
        self,
        cluster: KubernetesClient,
        *,
        namespace: str,
        identity: str,
        timing: LeaseTiming | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Describe the candidate; `run` begins."""
        self._cluster = cluster
        self._namespace = namespace
        self._identity = identity
        self._timing = timing or LeaseTiming()
        self._clock = clock
        self._lease: dict[str, Any] | None = None
        """The Lease as last seen."""
        self._seen_changing_at = 0.0
        self._leads_until = 0.0

    @property
    def is_leader(self) -> bool:
        """Whether this process may act as leader at this moment."""
        return self._clock() < self._leads_until

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Run `lead` whenever this process leads; cancel it when it leads no more.

        Returns only by cancellation, and then releases the Lease; or by an error of `lead`.
        """
        try:
            while True:
                await self._acquire()
                _logger.info("leads: lease %s/%s", self._namespace, LEASE_NAME)
                work = asyncio.ensure_future(lead())
                try:
                    await self._hold(work)
                finally:
                    self._leads_until = 0.0
                    await _end(work)
                _logger.warning("leads no more: the lease was not renewed in time or taken over")
        finally:
            await self._release()

    # --- one after the other ----------------------------------------------------------------

    async def _acquire(self) -> None:
        while not await self._try_acquire():  # noqa: ASYNC110 - the event is in the API server
            # Jittered, so that candidates of one rollout do not ask in step.
            await asyncio.sleep(self._timing.retry_seconds * random.uniform(0.8, 1.2))  # noqa: S311

    async def _hold(self, work: asyncio.Future[None]) -> None:
        """Renew until the deadline passes or `work` ends."""
        while self.is_leader:
            pause_seconds = min(self._timing.retry_seconds, self._remaining_seconds())
            finished, _ = await asyncio.wait({work}, timeout=pause_seconds)
            if finished:
                # A leader's work has no end of its own: this raises what broke it.
                work.result()
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._remaining_seconds()):
                    if not await self._renew():
                        return

    def _remaining_seconds(self) -> float:
        return max(0.0, self._leads_until - self._clock())

    async def _try_acquire(self) -> bool:
        try:
            return await self._write_if_free()
        except (ApiError, ClusterUnavailable) as error:
            if not (isinstance(error, ApiError) and error.status == _HTTP_CONFLICT):
                _logger.info("can't ask for the lease now: %s", error)
            return False

    async def _write_if_free(self) -> bool:
        asked_at = self._clock()
        found = await self._cluster.find(LEASES, LEASE_NAME, self._namespace)
        self._note(found, asked_at)
        if found is None:
            created = await self._cluster.create(LEASES, self._body(None), self._namespace)
            self._note_own(created, asked_at)
            return True
        spec = found["spec"]
        holder = spec.get("holderIdentity") or ""
        duration_seconds = float(spec.get("leaseDurationSeconds") or 0)
        is_expired = asked_at - self._seen_changing_at >= duration_seconds
        if holder not in {"", self._identity} and not is_expired:
            return False
        written = await self._cluster.replace(LEASES, self._body(found), self._namespace)
        self._note_own(written, asked_at)
        return True

    async def _renew(self) -> bool:
        """Write a new renewal time; False when another process has taken the Lease."""
        asked_at = self._clock()
        try:
            written = await self._cluster.replace(LEASES, self._body(self._lease), self._namespace)
        except ApiError as error:
            if error.status != _HTTP_CONFLICT:
                _logger.warning("the lease was not renewed: %s", error)
                return True
            # Somebody wrote it: a successor, or a person with kubectl.
            return await self._try_acquire()
        except ClusterUnavailable as error:
            _logger.info("the lease was not renewed yet: %s", error)
            return True
        self._note_own(written, asked_at)
        return True

    async def _release(self) -> None:
        """Give the Lease up, so that the next leader need not wait for it to expire."""
        lease, self._lease, self._leads_until = self._lease, None, 0.0
        if lease is None or lease["spec"].get("holderIdentity") != self._identity:
            return
        freed = {
            **lease,
            "spec": {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1},
        }
        with contextlib.suppress(ApiError, ClusterUnavailable, TimeoutError):
            async with asyncio.timeout(_RELEASE_TIMEOUT_SECONDS):
                await self._cluster.replace(LEASES, freed, self._namespace)

    # --- the object -------------------------------------------------------------------------

    def _note(self, lease: dict[str, Any] | None, now: float) -> None:
        if _version(lease) != _version(self._lease):
            self._seen_changing_at = now
        self._lease = lease

    def _note_own(self, lease: dict[str, Any], asked_at: float) -> None:
        self._note(lease, asked_at)
        self._leads_until = asked_at + self._timing.renew_deadline_seconds

    def _body(self, current: dict[str, Any] | None) -> dict[str, Any]:
        now = datetime.now(tz=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        old: dict[str, Any] = {} if current is None else current["spec"]
        is_renewal = old.get("holderIdentity") == self._identity
        metadata: dict[str, Any] = {"name": LEASE_NAME, "namespace": self._namespace}
        if current is not None:
            # Guards the write: whoever wrote in between has won.
            metadata = current["metadata"]
        transitions_count = int(old.get("leaseTransitions") or 0)
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": round(self._timing.duration_seconds),
                "acquireTime": old.get("acquireTime", now) if is_renewal else now,
                "renewTime": now,
                "leaseTransitions": transitions_count if is_renewal else transitions_count + 1,
            },
        }


def _version(lease: dict[str, Any] | None) -> str:
    return "" if lease is None else str(lease["metadata"]["resourceVersion"])


async def _end(work: asyncio.Future[None]) -> None:
    """Cancel, and wait until it has really stopped; its own error is raised elsewhere."""
    work.cancel()
    await asyncio.wait({work})
    if not work.cancelled():
        work.exception()
