"""Keeps certificate, server and registration right, for as long as the process runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509

from activities.clients.kubernetes import ApiError
from api.errors import ClusterUnavailable
from worker.webhook.metrics import WebhookMetrics
from worker.webhook.pem import Serving, UnusableCertificate
from worker.webhook.registration import Registration, authorities_of
from worker.webhook.server import WebhookServer
from worker.webhook.sources import CertificateSource

_logger = logging.getLogger(__name__)

STARTING: Final = "the webhook is starting"

_HTTP_FORBIDDEN: Final = 403


@dataclass(frozen=True)
class Timing:
    """The spans of the keeper, in seconds."""

    check_seconds: float = 30.0
    """A registration or Secret that somebody deletes is back within 30 s, at four small reads a
    minute and replica; a certificate is renewed a month early, so nothing waits for this."""
    retry_seconds: float = 5.0
    """After a check that failed: soon, and without pressing an API server that is in trouble."""
    linger_seconds: float = 3.0
    """A stopping replica goes on answering for 3 s, in which the Service's endpoints lose it
    (a guess: they need a second or two)."""


class Webhook:
    """One replica; all of them do the same, without a leader."""

    def __init__(
        self,
        source: CertificateSource,
        server: WebhookServer,
        registration: Registration,
        metrics: WebhookMetrics,
        *,
        timing: Timing | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(tz=UTC),
    ) -> None:
        """Take the parts; `run` begins."""
        self._source = source
        self._server = server
        self._registration = registration
        self._metrics = metrics
        self._timing = timing or Timing()
        self._clock = clock
        self._complaints: tuple[str, ...] = (STARTING,)

    def complaints(self) -> Sequence[str]:
        """Return what is not as it should be, a sentence each; for readiness."""
        return self._complaints

    async def run(self) -> None:
        """Check again and again; ends by cancellation, after a last moment of answering."""
        try:
            while True:
                self._note(await self._check())
                timing = self._timing
                is_well = not self._complaints
                await asyncio.sleep(timing.check_seconds if is_well else timing.retry_seconds)
        finally:
            if self._server.serving is not None:
                await asyncio.sleep(self._timing.linger_seconds)
            await self._server.close()

    async def _check(self) -> list[str]:
        """Bring everything up to date, and return what could not be, a sentence each."""
        now = self._clock()
        complaints: list[str] = []
        found: Mapping[str, Any] | None = None
        try:
            found = await self._registration.find()
        except (ApiError, ClusterUnavailable) as error:
            complaints.append(_sentence(error, "read the webhook's registration"))
        can_register = not complaints
        trusted = authorities_of(found)
        serving = self._server.serving
        try:
            serving = await self._source.current(trusted, now)
            await self._serve_with(serving, trusted, now)
        except UnusableCertificate as error:
            complaints.append(str(error))
        except (ApiError, ClusterUnavailable) as error:
            complaints.append(_sentence(error, "keep the webhook's certificate in its Secret"))
        if can_register and serving is not None:
            try:
                found = await self._registration.ensure(found, serving.authorities, now)
            except (ApiError, ClusterUnavailable) as error:
                complaints.append(_sentence(error, "write the webhook's registration"))
        return complaints or self._look(found, now)

    async def _serve_with(
        self, serving: Serving, trusted: Sequence[x509.Certificate], now: datetime
    ) -> None:
        """Take a certificate into use, once the API server trusts it or nothing can be lost."""
        in_use = self._server.serving
        is_known = in_use is not None and serving.is_issued_by([*trusted, *in_use.authorities])
        if in_use is None or in_use.ends_at <= now or is_known:
            await self._server.serve_with(serving)

    def _look(self, found: Mapping[str, Any] | None, now: datetime) -> list[str]:
        in_use = self._server.serving
        if in_use is None or not in_use.is_issued_by(authorities_of(found)):
            return ["the API server does not trust the webhook's certificate yet"]
        host = self._registration.address.host
        if not in_use.is_good_for(host):
            names = ", ".join(sorted(in_use.hosts)) or "no name"
            return [f"the webhook's certificate is for {names}; it must be for {host}"]
        if in_use.ends_at <= now:
            ended = in_use.ends_at.isoformat()
            return [f"the webhook's certificate ended at {ended}; see who renews it"]
        return []

    def _note(self, complaints: Sequence[str]) -> None:
        self._metrics.is_trusted.set(not complaints)
        if tuple(complaints) == self._complaints:
            return
        self._complaints = tuple(complaints)
        # Said once: a check repeats what still holds every few seconds.
        if complaints:
            _logger.warning("the webhook is not in force: %s", "; ".join(complaints))
        else:
            _logger.info("the webhook is in force")


def _sentence(error: ApiError | ClusterUnavailable, what: str) -> str:
    if isinstance(error, ApiError) and error.status == _HTTP_FORBIDDEN:
        return f"this account may not {what}: {error.message}; give it the chart's webhook role"
    return f"can't {what}: {error}"
