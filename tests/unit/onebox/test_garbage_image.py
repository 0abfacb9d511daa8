"""The test image of a server that is healthy and wrong."""

from __future__ import annotations

import tarfile
import threading
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from onebox.images import debian, garbage, garbage_server, runtime
from onebox.images.layers import key_of, sources_of
from onebox.registry_client import RegistryClient


class Registry(RegistryClient):
    """Keeps the members of what was pushed; speaks to nobody."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.pushed: dict[str, list[str]] = {}

    def has_manifest(self, repository: str, tag: str) -> bool:
        return f"{repository}:{tag}" in self.pushed

    def push_image(self, repository: str, tag: str, layers, config, annotations=None) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
        with tarfile.open(layers[-1]) as tar:
            self.pushed[f"{repository}:{tag}"] = tar.getnames()
        return "sha256:0"


def test_its_program_lies_where_pods_start_the_model_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAITO_CACHE", str(tmp_path))
    key = key_of([debian.SUITE, *debian.PACKAGES, *sources_of("debian")])
    with tarfile.open(runtime.image_cache() / f"debian-{key}.tar", "w"):
        pass
    registry = Registry()
    assert garbage.ensure(registry, lambda _: None) == "10.89.0.1:5000/kaito/garbage:1"
    assert garbage.PROGRAM in registry.pushed[garbage.GARBAGE_IMAGE]
    assert garbage.PROGRAM in runtime.PROGRAMS


def test_it_is_healthy_and_no_model() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), garbage_server.Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        with urllib.request.urlopen(f"{base}/health") as answer:  # noqa: S310 - our own server
            assert answer.status == 200
        with urllib.request.urlopen(f"{base}/v1/models") as answer:  # noqa: S310 - likewise
            assert answer.read() == garbage_server.GARBAGE
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
