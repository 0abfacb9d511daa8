"""What onebox pushes, the init container pulls; only what changed goes over the wire."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from pathlib import Path

import pytest

from onebox.registry_client import MEDIA_TYPE_LAYER, RegistryClient, RegistryError
from tests.unit.onebox.fake_distribution import FakeDistribution
from tests.unit.runtimes.loading import load

pull_oci = load("weights/pull_oci.py")

REPOSITORY = "kaito/thing"


@pytest.fixture
def client(registry: FakeDistribution) -> RegistryClient:
    return RegistryClient(registry.url)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_the_init_container_pulls_what_was_pushed(
    client: RegistryClient, registry: FakeDistribution, tmp_path: Path
) -> None:
    contents = {"config.json": b"{}\n", "model.safetensors": os.urandom(3_000_000)}
    files = [
        (written(tmp_path / name, content), "application/octet-stream", name)
        for name, content in contents.items()
    ]
    client.push_artifact(REPOSITORY, "1", "x/weights", files)
    reference = f"{registry.url.removeprefix('http://')}/{REPOSITORY}:1"
    target = tmp_path / "pulled"
    pull_oci.Pull(
        pull_oci.Registry(pull_oci.parse_reference(reference), is_plain_http=True),
        target,
        say=lambda _: None,
    ).run()
    pulled = {path.name: path.read_bytes() for path in target.iterdir() if path.is_file()}
    assert pulled == contents


def test_an_artifact_has_the_empty_config_that_the_specification_names(
    client: RegistryClient, registry: FakeDistribution, tmp_path: Path
) -> None:
    file = written(tmp_path / "file", b"x")
    client.push_artifact(REPOSITORY, "1", "x/weights", [(file, "x/file", "config.json")])
    config = registry.manifest(REPOSITORY, "1")["config"]
    assert config == {
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": digest_of(b"{}"),
        "size": 2,
    }


def test_of_an_edited_image_only_the_edited_layer_is_uploaded(
    client: RegistryClient, registry: FakeDistribution, tmp_path: Path
) -> None:
    kept, edited = written(tmp_path / "kept.tar", b"kept"), written(tmp_path / "top.tar", b"old")
    client.push_image(REPOSITORY, "1", [kept, edited], {})
    registry.requests.clear()
    client.push_image(REPOSITORY, "1", [kept, written(edited, b"new")], {})
    uploaded = [path for verb, path, _ in registry.requests if verb == "PUT" and "blobs" in path]
    assert len(uploaded) == 2  # the edited layer, and the config that names it
    assert any(digest_of(b"new").replace(":", "%3A") in path for path in uploaded)
    assert not any(digest_of(b"kept").replace(":", "%3A") in path for path in uploaded)


def test_a_large_file_is_never_held_in_memory(
    client: RegistryClient, registry: FakeDistribution, tmp_path: Path
) -> None:
    large = tmp_path / "large.tar"
    with large.open("wb") as file:
        for _ in range(24):
            file.write(os.urandom(1_000_000))
    tracemalloc.start()
    try:
        blob = client.push_file(REPOSITORY, large, MEDIA_TYPE_LAYER)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    (headers,) = [headers for verb, _, headers in registry.requests if verb == "PUT"]
    assert (registry.folder / blob.digest).stat().st_size == 24_000_000
    assert headers["Content-Length"] == "24000000"
    assert peak < 12_000_000


def test_a_failing_registry_is_not_taken_for_one_that_lacks_the_tag(
    client: RegistryClient, registry: FakeDistribution
) -> None:
    registry.answers_instead = {"HEAD": 500}
    with pytest.raises(RegistryError, match="500"):
        client.has_manifest(REPOSITORY, "1")


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_refused_upload_names_the_request(
    client: RegistryClient, registry: FakeDistribution, tmp_path: Path, method: str
) -> None:
    registry.answers_instead = {method: 403}
    with pytest.raises(RegistryError, match=rf"refused {method} /v2/{REPOSITORY}.*403.*DENIED"):
        client.push_image(REPOSITORY, "1", [written(tmp_path / "l.tar", b"l")], {})
