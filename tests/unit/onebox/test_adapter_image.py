"""The demo adapter: files that PEFT's readers take, the same on every machine, pushed once."""

from __future__ import annotations

import json
import math
import struct
import tarfile
from pathlib import Path

import pytest
import yaml

from onebox import places
from onebox.images import adapter
from onebox.registry_client import RegistryClient


class Registry(RegistryClient):
    """Keeps the members of what was pushed; speaks to nobody."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.pushed: dict[str, list[str]] = {}

    def has_manifest(self, repository: str, tag: str) -> bool:
        return f"{repository}:{tag}" in self.pushed

    def push_image(self, repository: str, tag: str, layers, config, annotations=None) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
        (layer,) = layers
        with tarfile.open(layer) as tar:
            self.pushed[f"{repository}:{tag}"] = tar.getnames()
        return "sha256:0"


def test_the_image_holds_the_files_where_pods_look_and_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAITO_CACHE", str(tmp_path))
    registry = Registry()
    lines: list[str] = []
    for _ in range(2):
        assert adapter.ensure(registry, lines.append) == adapter.ADAPTER_IMAGE
    assert len(lines) == 1
    assert set(registry.pushed[adapter.ADAPTER_IMAGE]) == {
        "data",
        "data/adapter_config.json",
        "data/adapter_model.safetensors",
    }
    assert list((tmp_path / "images").iterdir()) == []


def test_the_weights_are_a_safetensors_file_that_adds_up(tmp_path: Path) -> None:
    adapter.write(tmp_path / "data")
    content = (tmp_path / "data" / "adapter_model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    numbers = content[8 + length :]
    assert length % 8 == 0
    assert len(header) == adapter.LAYER_COUNT * len(adapter.TARGETS) * 2
    end = 0
    for name, tensor in header.items():
        start, stop = tensor["data_offsets"]
        rows, columns = tensor["shape"]
        assert start == end, name
        assert stop - start == rows * columns * 4
        values = struct.unpack(f"<{rows * columns}f", numbers[start:stop])
        assert any(values), f"{name} changes nothing"
        assert all(map(math.isfinite, values))
        end = stop
    assert end == len(numbers)


def test_the_same_numbers_come_every_time() -> None:
    shapes = dict(list(adapter.shapes().items())[:2])
    assert adapter.safetensors(shapes) == adapter.safetensors(shapes)


def test_the_example_names_the_image_in_oneboxs_registry() -> None:
    file = places.REPOSITORY / "examples" / "inference" / "workspace-smollm2-adapter.yaml"
    (one,) = yaml.safe_load(file.read_text())["inference"]["adapters"]
    assert one["source"]["image"] == f"{places.REGISTRY}/{adapter.ADAPTER_IMAGE}"
