"""An OCI registry of a few lines on loopback, for pushing and pulling; keeps what it was asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

PIECE_BYTES = 1 << 16


@dataclass
class FakeDistribution:
    """Blobs lie on disk, so that a large one takes no memory."""

    folder: Path
    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    answers_instead: dict[str, int] = field(default_factory=dict)
    """A status for every request of a method, instead of the right answer."""
    url: str = ""

    def count(self, method: str, part: str = "") -> int:
        return sum(1 for verb, path, _ in self.requests if verb == method and part in path)

    def manifest(self, repository: str, tag: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.manifests[repository, tag])
        return found

    def blob(self, digest: str) -> bytes:
        return (self.folder / digest).read_bytes()

    @contextmanager
    def running(self) -> Iterator[FakeDistribution]:
        self.folder.mkdir(parents=True, exist_ok=True)
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry._read(self)

            def do_HEAD(self) -> None:
                registry._read(self)

            def do_POST(self) -> None:
                registry._write(self)

            def do_PUT(self) -> None:
                registry._write(self)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def _note(self, handler: BaseHTTPRequestHandler) -> int:
        self.requests.append((handler.command, handler.path, dict(handler.headers)))
        return self.answers_instead.get(handler.command, 0)

    def _read(self, handler: BaseHTTPRequestHandler) -> None:
        status = self._note(handler)
        parts = urlsplit(handler.path).path.removeprefix("/v2/").split("/")
        content: bytes | None = b"{}"
        if len(parts) > 2:
            repository, kind, name = "/".join(parts[:-2]), parts[-2], parts[-1]
            blob = self.folder / name
            if kind == "manifests":
                content = self.manifests.get((repository, name))
            else:
                content = blob.read_bytes() if blob.exists() else None
        _answer(handler, status or (404 if content is None else 200), content or b"")

    def _write(self, handler: BaseHTTPRequestHandler) -> None:
        status = self._note(handler)
        address = urlsplit(handler.path)
        incoming = self.folder / f"incoming-{len(self.requests)}"
        digest = self._receive(handler, incoming)
        if status:
            _answer(handler, status, b'{"errors":[{"code":"DENIED"}]}')
        elif handler.command == "POST":
            _answer(handler, 202, location=f"{address.path}{len(self.requests)}?_state=opaque")
        elif "/manifests/" in address.path:
            repository, _, tag = address.path.removeprefix("/v2/").partition("/manifests/")
            self.manifests[repository, tag] = incoming.read_bytes()
            self.manifests[repository, digest] = incoming.read_bytes()
            _answer(handler, 201)
        elif parse_qs(address.query).get("digest") == [digest]:
            incoming.rename(self.folder / digest)
            _answer(handler, 201)
        else:
            _answer(handler, 400, b'{"errors":[{"code":"DIGEST_INVALID"}]}')
        incoming.unlink(missing_ok=True)

    @staticmethod
    def _receive(handler: BaseHTTPRequestHandler, target: Path) -> str:
        left = int(handler.headers.get("Content-Length", "0"))
        digest = hashlib.sha256()
        with target.open("wb") as file:
            while left and (piece := handler.rfile.read(min(left, PIECE_BYTES))):
                left -= len(piece)
                digest.update(piece)
                file.write(piece)
        return f"sha256:{digest.hexdigest()}"


def _answer(
    handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", *, location: str = ""
) -> None:
    handler.send_response(status)
    if location:
        handler.send_header("Location", location)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
