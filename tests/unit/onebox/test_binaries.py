"""Programs are keyed by what they are made from, and trouble with Go is told with its remedy."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from onebox import binaries
from onebox.binaries import builder, compiler
from onebox.binaries.catalogue import CATALOGUE, FOR_UP, MODULES, Module, required_go
from onebox.errors import OneboxError


class Copied(Module):
    """A module in another folder."""

    @property
    def folder(self) -> Path:
        return Path(self.version)


@pytest.fixture
def copied(tmp_path: Path) -> Copied:
    shutil.copytree(MODULES / "pause", tmp_path / "pause")
    return Copied("pause", str(tmp_path / "pause"))


def test_the_key_changes_with_every_file_and_flag(copied: Copied) -> None:
    before = builder.version_key(copied)
    assert builder.version_key(copied) == before
    (copied.folder / "main.go").write_text("package main\n")
    after = builder.version_key(copied)
    assert after != before
    assert builder.version_key(Copied("pause", copied.version, ("-s",))) != after


def test_a_program_lies_in_the_cache_under_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAITO_CACHE", str(tmp_path))
    where = binaries.path("etcd")
    assert where.parent.parent == tmp_path / "bin"
    assert where.parent.name.startswith("etcd-v3.6.8-")
    assert binaries.missing(["kwok", "etcd"]) == ["etcd", "kwok"]


def test_what_is_there_is_not_built_and_needs_no_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAITO_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    binaries.path("etcd").parent.mkdir(parents=True)
    binaries.path("etcd").touch()
    said: list[str] = []
    binaries.ensure(["etcd"], said.append)
    assert said == ["etcd: already there"]


def test_an_unknown_program_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(OneboxError) as caught:
        binaries.path("nginx")
    assert "etcd" in caught.value.remedy


def test_each_module_pins_the_version_that_the_catalogue_claims() -> None:
    for binary in CATALOGUE.values():
        if binary.module.name == "pause":
            continue
        text = (binary.module.folder / "go.mod").read_text()
        required = re.search(r"^require (\S+) (\S+)$", text, re.MULTILINE)
        assert required is not None, binary.name
        assert required[2] == binary.module.version
        assert f'"{binary.package}"' in (binary.module.folder / "tools.go").read_text()


def test_up_needs_neither_simulated_nodes_nor_a_second_kubectl() -> None:
    assert set(CATALOGUE) - set(FOR_UP) == {"kubectl", "kwok"}


def test_the_compiler_must_suit_the_most_demanding_module() -> None:
    every = [binary.module for binary in CATALOGUE.values()]
    assert required_go(every) >= required_go([CATALOGUE["pause"].module])


@pytest.mark.parametrize(
    ("said", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26)), ("go version devel", (0, 0)), ("", (0, 0))],
)
def test_gos_version_is_read(said: str, version: tuple[int, int]) -> None:
    assert compiler.parse_version(said) == version
