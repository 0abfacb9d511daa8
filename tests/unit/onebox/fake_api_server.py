"""An API server of a few lines on loopback: TLS, client certificates, and answers by path."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from onebox.pki import CLUSTER_SUBJECTS, Authority, utc_now


@dataclass
class FakeApiServer:
    """What it answers, and what it was asked."""

    folder: Path
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    """By `METHOD path` without the query: a status and a body."""
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    """Request line, content type, body."""

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "admin.kubeconfig"

    def answer(self, line: str, content_type: str, body: bytes) -> tuple[int, Any]:
        self.requests.append((line, content_type, json.loads(body) if body else None))
        missing = {"kind": "Status", "message": "not found"}
        return self.answers.get(line.partition("?")[0], (404, missing))

    @contextmanager
    def running(self) -> Iterator[FakeApiServer]:
        authority = Authority(self.folder / "pki")
        authority.ensure_authority(utc_now())
        authority.ensure(CLUSTER_SUBJECTS, utc_now())
        api = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                status, content = api.answer(
                    f"{self.command} {self.path}",
                    self.headers.get("Content-Type", ""),
                    self.rfile.read(length),
                )
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names that http.server calls

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.certificate("apiserver"), authority.key("apiserver"))
        context.load_verify_locations(authority.certificate("ca"))
        context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self._write_kubeconfig(authority, server.server_address[1])
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def _write_kubeconfig(self, authority: Authority, port: int) -> None:
        authority.write_kubeconfig(self.kubeconfig, "admin")
        config = json.loads(self.kubeconfig.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
        self.kubeconfig.write_text(json.dumps(config))
