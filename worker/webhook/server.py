"""The HTTPS server that API servers call."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import time
from typing import Final

from aiohttp import web

from worker.start_checks import StartRefused
from worker.webhook.judge import Judge
from worker.webhook.metrics import Outcome, WebhookMetrics
from worker.webhook.pem import Serving, UnusableCertificate
from worker.webhook.review import BadReview, Verdict, answer, read_review

_logger = logging.getLogger(__name__)

PATH: Final = "/validate/workspaces"

MAX_BODY_BYTES: Final = 7 * 2**20
"""7 MiB: an API server takes requests of at most 3 MiB, and a review holds two objects."""

BODY_SECONDS: Final = 3.0
"""3 s for a body to arrive: the API server itself waits no longer for an answer."""

KEEP_ALIVE_SECONDS: Final = 120.0
"""120 s: Go's HTTP client gives idle connections up after 90, and the side that gives up first must
be the client, or a request may meet a connection that has just been closed."""

SHUTDOWN_SECONDS: Final = 2.0
"""2 s for answers that are under way."""

BACKLOG: Final = 128


class WebhookServer:
    """Serves from the moment that it has a certificate, and changes it without a pause."""

    def __init__(self, judge: Judge, metrics: WebhookMetrics, *, host: str, port: int) -> None:
        """Describe it; `reserve` takes the port, and `serve_with` begins."""
        self._judge = judge
        self._metrics = metrics
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self._runner = web.AppRunner(
            self._routes(),
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        self._context: ssl.SSLContext | None = None
        """For new connections; those that are open stay as they are."""
        self.serving: Serving | None = None
        """The certificate that is in use."""

    @property
    def port(self) -> int:
        """Return the port that was taken."""
        return self._port if self._socket is None else int(self._socket.getsockname()[1])

    def reserve(self) -> None:
        """Take the port, before anything else of the process begins.

        Raises:
            StartRefused: something else listens there.
        """
        try:
            self._socket = socket.create_server((self._host, self._port), backlog=BACKLOG)
        except OSError as error:
            raise StartRefused(
                f"port {self._port} on {self._host} can't be used ({error.strerror}); stop what "
                "listens there, or set KAITO_WEBHOOK_PORT to another port"
            ) from error

    async def serve_with(self, serving: Serving) -> None:
        """Use this certificate from the next connection on.

        Raises:
            UnusableCertificate: TLS refuses it; the one before stays in use.
        """
        before = self.serving
        if before is not None and before.leaf == serving.leaf:
            self.serving = serving
            return
        self._context = make_context(serving)
        self.serving = serving
        self._metrics.certificate_ends_at(serving.ends_at)
        if before is None:
            await self._listen(make_context(serving))
        _logger.info("serves with a certificate until %s", serving.ends_at.isoformat())

    async def _listen(self, context: ssl.SSLContext) -> None:
        # Chosen anew for each connection. Loading another certificate into one context would keep
        # the first one beside it where the kinds of their keys differ.
        context.sni_callback = self._choose_context
        if self._socket is None:
            self.reserve()
        await self._runner.setup()
        assert self._socket is not None  # noqa: S101
        await web.SockSite(self._runner, self._socket, ssl_context=context).start()

    def _choose_context(
        self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        if self._context is not None:
            connection.context = self._context

    async def close(self) -> None:
        """Finish what is under way and close the port."""
        await self._runner.cleanup()
        if self._socket is not None:
            self._socket.close()

    # --- requests ---------------------------------------------------------------------------

    def _routes(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(PATH, self._review)
        return app

    async def _review(self, request: web.Request) -> web.Response:
        started_at = time.perf_counter()
        outcome = Outcome.FAILED
        try:
            body = await _read(request)
            review = read_review(body)
            verdict = self._judge.judge(review)
            outcome = _outcome(verdict)
            response = web.json_response(answer(review, verdict))
        except BadReview as error:
            outcome = Outcome.MALFORMED
            response = web.Response(status=400, text=f"{error}\n")
        finally:
            # What fails beside that is a bug: the HTTP library logs it with its traceback and
            # answers 500, and the API server goes on without us.
            self._metrics.count(outcome, time.perf_counter() - started_at)
        return response


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise BadReview(f"the body did not arrive within {BODY_SECONDS:.0f} s") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise BadReview(f"the body is longer than {MAX_BODY_BYTES} bytes") from error


def _outcome(verdict: Verdict) -> Outcome:
    if not verdict.is_judged:
        return Outcome.UNREAD
    return Outcome.DENIED if verdict.violations else Outcome.ALLOWED


def make_context(serving: Serving) -> ssl.SSLContext:
    """Return a context that serves with this certificate.

    Raises:
        UnusableCertificate: such as for a key that is shorter than TLS allows.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # OpenSSL reads files only; this one is in memory, so that the key never touches a disk.
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as stream:
            stream.write(serving.key_pem + b"\n" + serving.chain_pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    except ssl.SSLError as error:
        raise UnusableCertificate(f"TLS refuses the certificate ({error.reason})") from error
    finally:
        os.close(descriptor)
    return context
