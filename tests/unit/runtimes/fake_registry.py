"""A registry of a few lines on loopback, which can also do everything that registries do wrong."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TITLE = "org.opencontainers.image.title"
REPOSITORY = "kaito/weights/tiny"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class FakeRegistry:
    """What it holds, what it does wrong, and what it was asked."""

    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    failures: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Answers given, in order, to the next requests instead of the right ones."""
    cut_after_bytes: list[int] = field(default_factory=list)
    """The next blob answers end after so many bytes, though their length promises more."""
    wrong_content: int = 0
    """So many blob answers have one byte wrong."""
    ignores_range: bool = False
    password: str = ""
    """Basic authentication with user `me`, when set."""
    token: str = ""
    """Bearer authentication; the token is given to user `me` with the password, when set."""
    blobs_elsewhere: str = ""
    """Base URL that blob requests are redirected to, when set."""
    address: str = ""
    repository: str = REPOSITORY

    def push(
        self, files: Mapping[str, bytes], *, tag: str = "1", media_type: str = "text/plain"
    ) -> str:
        layers = [self.layer(content, title, media_type) for title, content in files.items()]
        return self.push_manifest({"layers": layers}, tag=tag)

    def layer(self, content: bytes, title: str = "", media_type: str = "x/y") -> dict[str, Any]:
        self.blobs[digest_of(content)] = content
        entry = {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}
        return entry | ({"annotations": {TITLE: title}} if title else {})

    def push_manifest(self, manifest: Mapping[str, Any], *, tag: str) -> str:
        body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, **manifest}).encode()
        self.manifests[tag] = self.manifests[digest_of(body)] = body
        return digest_of(body)

    def reference(self, tag: str = "1") -> str:
        return f"{self.address}/{self.repository}:{tag}"

    def paths(self, part: str = "") -> list[str]:
        return [path for path, _ in self.requests if part in path]

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        self.requests.append((path, headers))
        if self.failures:
            status, extra = self.failures.pop(0)
            return status, extra, b""
        if path.startswith("/token"):
            is_known = not self.password or headers.get("Authorization") == self._basic()
            body = json.dumps({"token": self.token}).encode()
            return (200, {}, body) if is_known else (401, {}, b"")
        challenge = self._challenge(headers.get("Authorization", ""))
        if challenge:
            return 401, {"WWW-Authenticate": challenge}, b""
        kind, _, name = path.removeprefix(f"/v2/{self.repository}/").partition("/")
        if kind == "blobs" and self.blobs_elsewhere:
            return 307, {"Location": self.blobs_elsewhere + path}, b""
        found = {"manifests": self.manifests, "blobs": self.blobs}.get(kind, {}).get(name)
        return (404, {}, b"") if found is None else self._content(kind, found, headers)

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"me:{self.password}".encode()).decode()

    def _challenge(self, authorisation: str) -> str:
        """Return what a client must answer first, "" where it has."""
        if self.token and authorisation != f"Bearer {self.token}":
            return f'Bearer realm="http://{self.address}/token",service="fake"'
        if self.password and not self.token and authorisation != self._basic():
            return 'Basic realm="fake"'
        return ""

    def _content(
        self, kind: str, content: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        start = int(headers.get("Range", "bytes=0-")[6:].partition("-")[0])
        if kind == "blobs" and self.wrong_content:
            self.wrong_content -= 1
            content = content[:-1] + bytes([content[-1] ^ 1])
        if start and not self.ignores_range:
            return 206, {}, content[start:]
        return 200, {}, content

    @contextmanager
    def running(self) -> Iterator[FakeRegistry]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = registry.answer(self.path, dict(self.headers))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if "/blobs/" in self.path and body and registry.cut_after_bytes:
                    body = body[: registry.cut_after_bytes.pop(0)]
                    self.close_connection = True
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.address = f"127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
