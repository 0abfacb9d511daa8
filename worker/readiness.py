"""Whether this process could do its work right now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError

from activities.clients.informer import Informer
from activities.clients.kubernetes import ApiError, KubernetesClient
from api.errors import ClusterUnavailable

PING_SECONDS: Final = 2.0
"""2 s for one question to Temporal and one to the API server, asked side by side; kubelet's probe
must wait longer than that (the chart's does)."""

MAX_SILENCE_SECONDS: Final = 150.0
"""150 s without a word on a watch: bookmarks come about once a minute and a silent watch is given
up after 90 s, so that this says that an informer no longer works."""

CACHE_SECONDS: Final = 1.0
"""1 s: many probes cost what one costs."""


class Readiness:
    """Asks Temporal and the API server, and looks at the informers and the webhook."""

    def __init__(
        self,
        client: Client | None,
        cluster: KubernetesClient,
        informers: Sequence[Informer],
        look_at_webhook: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Take what is asked; a process without a role that talks to Temporal has no client."""
        self._client = client
        self._cluster = cluster
        self._informers = informers
        self._look_at_webhook = look_at_webhook
        self._asked_at = float("-inf")
        self._complaints: tuple[str, ...] = ()
        self._lock = asyncio.Lock()

    async def __call__(self) -> Sequence[str]:
        """Return what is not as it should be, a sentence each."""
        async with self._lock:
            if time.monotonic() - self._asked_at > CACHE_SECONDS:
                answers = await asyncio.gather(self._ask_temporal(), self._ask_cluster())
                looks = (*self._look_at_informers(), *self._look_at_webhook())
                self._complaints = tuple(one for one in (*answers, *looks) if one)
                self._asked_at = time.monotonic()
            return self._complaints

    async def _ask_temporal(self) -> str:
        if self._client is None:
            return ""
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._client.workflow_service.get_system_info(
                    GetSystemInfoRequest(), timeout=timedelta(seconds=PING_SECONDS)
                )
        except (RPCError, TimeoutError) as error:
            return f"Temporal does not answer: {str(error) or 'timeout'}"
        return ""

    async def _ask_cluster(self) -> str:
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._cluster.version()
        except (ApiError, ClusterUnavailable, TimeoutError) as error:
            return f"the Kubernetes API server does not answer: {str(error) or 'timeout'}"
        return ""

    def _look_at_informers(self) -> list[str]:
        return [
            f"no word about {informer.kind.plural} for {informer.seconds_since_contact():.0f} s"
            if informer.is_synced
            else f"{informer.kind.plural} are not listed yet"
            for informer in self._informers
            if not informer.is_synced or informer.seconds_since_contact() > MAX_SILENCE_SECONDS
        ]
