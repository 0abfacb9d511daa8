"""Pause and CoreDNS are pushed once per build; made weights are not made again."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from api.images import COREDNS_IMAGE, PAUSE_IMAGE, SMOLLM2_WEIGHTS
from onebox import binaries, system_images, weights
from onebox.images.layers import key_of
from onebox.registry_client import RegistryClient
from tests.unit.onebox.fake_distribution import FakeDistribution


@pytest.fixture
def built(cache_folder: Path) -> dict[str, bytes]:
    """Put programs where the builder would."""
    programs = {"pause": b"\x7fELF pause", "coredns": b"\x7fELF dns"}
    for name, content in programs.items():
        binaries.path(name).parent.mkdir(parents=True, exist_ok=True)
        binaries.path(name).write_bytes(content)
    return programs


def test_each_image_is_one_executable_and_starts_it(
    registry: FakeDistribution, built: dict[str, bytes]
) -> None:
    lines: list[str] = []
    system_images.ensure(RegistryClient(registry.url), lines.append)
    assert lines == [f"pushed {PAUSE_IMAGE}", f"pushed {COREDNS_IMAGE}"]
    for reference, program in ((PAUSE_IMAGE, "pause"), (COREDNS_IMAGE, "coredns")):
        repository, _, tag = reference.partition(":")
        (layer,) = registry.manifest(repository, tag)["layers"]
        with tarfile.open(fileobj=io.BytesIO(registry.blob(layer["digest"]))) as tar:
            (member,) = tar.getmembers()
            content = tar.extractfile(member)
            assert content is not None
            assert (member.name, member.mode) == (program, 0o755)
            assert content.read() == built[program]
        assert system_images.image_config(program, "k")["config"]["Entrypoint"] == [f"/{program}"]


@pytest.mark.usefixtures("built")
def test_what_is_there_is_not_pushed_again(registry: FakeDistribution) -> None:
    lines: list[str] = []
    system_images.ensure(RegistryClient(registry.url), lines.append)
    registry.requests.clear()
    system_images.ensure(RegistryClient(registry.url), lines.append)
    assert len(lines) == 2
    assert registry.count("PUT") == registry.count("POST") == 0


@pytest.mark.usefixtures("built")
def test_an_image_of_an_earlier_build_is_replaced(registry: FakeDistribution) -> None:
    client = RegistryClient(registry.url)
    system_images.push(client, PAUSE_IMAGE, "an-earlier-build")
    system_images.push(client, COREDNS_IMAGE, binaries.path("coredns").parent.name)
    lines: list[str] = []
    system_images.ensure(client, lines.append)
    assert lines == [f"pushed {PAUSE_IMAGE}"]


@pytest.mark.usefixtures("cache_folder")
def test_weights_that_the_registry_has_are_not_made_again(
    registry: FakeDistribution, tmp_path: Path
) -> None:
    client = RegistryClient(registry.url)
    repository, _, tag = SMOLLM2_WEIGHTS.partition(":")
    file = tmp_path / "config.json"
    file.write_text("{}")
    made_from = f"{tag}-{key_of([weights.REQUIREMENTS, weights.CONVERTER])}"
    for name in (tag, made_from):
        client.push_artifact(repository, name, "x/y", [(file, "x/y", "config.json")])
    lines: list[str] = []
    assert weights.ensure(client, lines.append) == SMOLLM2_WEIGHTS
    assert lines == []
