"""Images and artifacts are pushed whole, once, and refusals are told in the registry's words."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from onebox.registry_client import RegistryClient, RegistryError


class Registry(ThreadingHTTPServer):
    """Keeps blobs and manifests as the distribution protocol says; checks every digest."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.uploads = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Registry

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_GET(self) -> None:
        self.answer(200)

    def do_HEAD(self) -> None:
        kept = {*self.server.blobs, *self.server.manifests}
        self.answer(200 if self.path.rsplit("/", 1)[1] in kept else 404)

    def do_POST(self) -> None:
        self.body()
        self.server.uploads += 1
        self.answer(202, location=f"{self.server.url}/upload/{self.server.uploads}?state=x")

    def do_PUT(self) -> None:
        content = self.body()
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        if self.path.startswith("/upload/"):
            if not self.path.endswith(f"?state=x&digest={digest.replace(':', '%3A')}"):
                self.answer(400, b"digest invalid")
                return
            self.server.blobs[digest] = content
        elif "/refused/" in self.path:
            self.answer(403, b"read-only")
            return
        else:
            self.server.manifests[digest] = content
            self.server.manifests[self.path.rsplit("/", 1)[1]] = content
        self.answer(201)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    path = tmp_path / "layer.tar"
    path.write_bytes(b"x" * 3_000_000)  # more than one piece
    return path


def test_an_image_arrives_whole_and_names_its_layers(registry: Registry, layer: Path) -> None:
    digest = RegistryClient(registry.url).push_image("kaito/x", "1", [layer], {"config": {}})
    manifest = json.loads(registry.manifests["1"])
    assert registry.manifests[digest] == registry.manifests["1"]
    (described,) = manifest["layers"]
    assert registry.blobs[described["digest"]] == layer.read_bytes()
    config = json.loads(registry.blobs[manifest["config"]["digest"]])
    assert config["rootfs"]["diff_ids"] == [described["digest"]]


def test_what_the_registry_has_is_not_uploaded_again(registry: Registry, layer: Path) -> None:
    client = RegistryClient(registry.url)
    client.push_image("kaito/x", "1", [layer], {})
    before = registry.uploads
    client.push_image("kaito/x", "2", [layer], {})
    assert registry.uploads == before
    assert client.has_manifest("kaito/x", "2")
    assert not client.has_manifest("kaito/x", "3")


def test_an_artifact_names_its_files_and_its_type(registry: Registry, layer: Path) -> None:
    files = [(layer, "application/octet-stream", "model.safetensors")]
    RegistryClient(registry.url).push_artifact("kaito/w", "1", "application/x.weights", files)
    manifest = json.loads(registry.manifests["1"])
    assert manifest["artifactType"] == "application/x.weights"
    assert manifest["layers"][0]["annotations"] == {
        "org.opencontainers.image.title": "model.safetensors"
    }


def test_a_compressed_layer_needs_a_config_that_names_its_content(
    registry: Registry, tmp_path: Path
) -> None:
    packed = tmp_path / "layer.tar.gz"
    packed.write_bytes(gzip.compress(b"content"))
    client = RegistryClient(registry.url)
    with pytest.raises(ValueError, match="diff_ids"):
        client.push_image("kaito/x", "1", [packed], {})
    rootfs = {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(b"content").hexdigest()]}
    client.push_image("kaito/x", "1", [packed], {"rootfs": rootfs})
    assert json.loads(registry.manifests["1"])["layers"][0]["mediaType"].endswith("+gzip")


def test_a_refusal_is_told_in_the_registrys_words(registry: Registry, layer: Path) -> None:
    with pytest.raises(RegistryError, match="403 read-only"):
        RegistryClient(registry.url).push_image("refused/x", "1", [layer], {})


def test_a_registry_that_is_not_there_is_named(layer: Path) -> None:
    client = RegistryClient("http://127.0.0.1:1")
    assert not client.is_alive()
    with pytest.raises(RegistryError, match=r"http://127\.0\.0\.1:1 can't be reached"):
        client.push_image("kaito/x", "1", [layer], {})


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="write http://host:port"):
        RegistryClient("10.89.0.1:5000")
