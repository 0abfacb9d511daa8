"""A program is built once, whole or not at all, by a stand-in for the compiler."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from onebox import binaries
from onebox.errors import OneboxError

GO = """\
#!/bin/sh
if [ "$1" = version ]; then echo "go version go1.99.0 linux/amd64"; exit 0; fi
echo "$@" >> "$BUILDS"
while [ "$1" != -o ]; do shift; done
sleep 0.2
{then}
"""


def with_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str) -> Path:
    """Put the stand-in on PATH; return the file where it notes its builds."""
    go = tmp_path / "path" / "go"
    go.parent.mkdir()
    go.write_text(GO.format(then=then))
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("BUILDS", str(tmp_path / "builds"))
    return tmp_path / "builds"


def left_beside(program: str) -> list[str]:
    folder = binaries.path(program).parent
    return [path.name for path in folder.iterdir() if path.name not in {".lock", program}]


@pytest.mark.usefixtures("cache_folder")
def test_two_builders_at_once_build_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds = with_compiler(tmp_path, monkeypatch, 'echo program > "$2"')
    lines: list[str] = []
    threads = [Thread(target=binaries.ensure, args=(["pause"], lines.append)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds.read_text().splitlines()) == 1
    outcomes = sorted(line.split(" in ")[0] for line in lines)
    assert outcomes == ["pause: already there", "pause: built"]
    assert binaries.path("pause").read_text() == "program\n"
    assert left_beside("pause") == []


@pytest.mark.usefixtures("cache_folder")
def test_a_failed_build_leaves_nothing_and_shows_the_compilers_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = 'echo half > "$2"; echo "go: downloading x" >&2; echo "no luck" >&2; exit 1'
    with_compiler(tmp_path, monkeypatch, fails)
    with pytest.raises(OneboxError, match="could not build pause") as caught:
        binaries.ensure(["pause"], lambda _: None)
    assert "no luck" in caught.value.message
    assert "downloading" not in caught.value.message
    assert "python -m onebox build pause" in caught.value.remedy
    assert binaries.missing(["pause"]) == ["pause"]
    assert left_beside("pause") == []


@pytest.mark.usefixtures("cache_folder")
def test_each_program_is_told_as_soon_as_it_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_compiler(tmp_path, monkeypatch, 'echo program > "$2"')
    there: list[str] = []

    def on_built(name: str) -> None:
        assert binaries.path(name).exists()
        there.append(name)

    binaries.ensure(["registry", "pause"], lambda _: None, on_built)
    assert there == ["pause", "registry"]  # the catalogue's order, not the caller's
