"""The init container as a process: each way to fail has its own code and one line of its own."""

from __future__ import annotations

import base64
import gzip
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.runtimes.fake_registry import FakeRegistry
from tests.unit.runtimes.loading import RUNTIMES

PROGRAM = RUNTIMES / "weights" / "pull_oci.py"
WORDS = "open sesame"
FILES = {"config.json": b"{}", "model.safetensors": bytes(5000)}


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry().running() as running:
        running.push(FILES)
        yield running


def command(registry: FakeRegistry, destination: Path, *more: str) -> list[str]:
    reference = ["--reference", registry.reference(), "--destination", str(destination)]
    return [sys.executable, "-I", str(PROGRAM), *reference, "--plain-http", *more]


def pull(
    registry: FakeRegistry, destination: Path, *more: str, **environment: str
) -> tuple[int, str]:
    """Return the exit code and the only line on standard error."""
    done = subprocess.run(
        command(registry, destination, *more),
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    lines = done.stderr.splitlines()
    assert len(lines) == (1 if done.returncode else 0), done.stderr
    assert all(line.startswith("pull_oci: ") for line in lines)
    return done.returncode, done.stderr


def docker_config(folder: Path, registry: FakeRegistry, password: str) -> Path:
    auth = base64.b64encode(f"me:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))
    return folder / "config.json"


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_0_when_all_is_there(registry: FakeRegistry, tmp_path: Path) -> None:
    assert pull(registry, tmp_path) == (0, "")
    assert files_in(tmp_path) == set(FILES)


def test_2_for_what_is_no_reference(registry: FakeRegistry, tmp_path: Path) -> None:
    code, said = pull(registry, tmp_path, "--reference", "weights:1")
    assert code == 2
    assert "'weights:1'" in said


def test_2_for_a_secret_that_is_none(registry: FakeRegistry, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("{")
    code, said = pull(registry, tmp_path, f"--docker-config={tmp_path / 'secret'}")
    assert code == 2
    assert "correct the Secret" in said
    code, said = pull(registry, tmp_path, f"--docker-config={tmp_path / 'missing'}")
    assert code == 2
    assert "mount the Secret" in said


def test_2_for_files_that_can_not_lie_side_by_side(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.push({"a": b"a file", "a/b": b"in a folder of the same name"})
    code, said = pull(registry, tmp_path)
    assert code == 2
    assert str(tmp_path) in said


def test_3_for_what_the_registry_does_not_have(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.manifests.clear()
    code, said = pull(registry, tmp_path)
    assert code == 3
    assert registry.reference() in said


def test_4_without_the_right_credentials(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.password = WORDS
    code, said = pull(registry, tmp_path)
    assert code == 4
    assert "no credentials given" in said
    config = docker_config(tmp_path, registry, "wrong")
    code, said = pull(registry, tmp_path / "files", f"--docker-config={config}")
    assert code == 4
    assert "don't allow it" in said


def test_of_several_configurations_the_one_that_knows_the_registry_counts(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.password = WORDS
    known = docker_config(tmp_path, registry, WORDS)
    other = tmp_path / "other.json"
    other.write_text('{"auths": {"other.example": {"auth": "x"}}}')
    several = (f"--docker-config={other}", f"--docker-config={known}")
    assert pull(registry, tmp_path / "files", *several) == (0, "")


@pytest.mark.parametrize("token", ["", "a-token"])
def test_a_docker_configuration_opens_the_registry(
    registry: FakeRegistry, tmp_path: Path, token: str
) -> None:
    registry.password, registry.token = WORDS, token
    config = docker_config(tmp_path, registry, WORDS)
    files = tmp_path / "files"
    assert pull(registry, files, f"--docker-config={config}") == (0, "")
    assert files_in(files) == set(FILES)
    other = tmp_path / "other"
    assert pull(registry, other, DOCKER_CONFIG=str(tmp_path)) == (0, "")
    assert files_in(other) == set(FILES)


def test_5_when_the_volume_is_too_small(registry: FakeRegistry, tmp_path: Path) -> None:
    layer = registry.layer(b"x", "model.safetensors") | {"size": 10**15}
    registry.push_manifest({"layers": [layer]}, tag="1")
    assert pull(registry, tmp_path)[0] == 5


def test_6_when_the_time_is_over(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.failures = [(503, {})] * 9
    code, said = pull(registry, tmp_path, "--deadline-seconds=0")
    assert code == 6
    assert "503" in said


def test_7_for_content_that_is_not_its_digest(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.wrong_content = 99
    code, said = pull(registry, tmp_path)
    assert code == 7
    assert "config.json" in said
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize("keep", [10, 100], ids=["in its header", "in its content"])
def test_7_for_a_packed_folder_that_is_cut_off(
    registry: FakeRegistry, tmp_path: Path, keep: int
) -> None:
    archive = gzip.compress(bytes(range(256)) * 400)[:keep]
    layer = registry.layer(archive, media_type="application/vnd.oci.image.layer.v1.tar+gzip")
    registry.push_manifest({"layers": [layer]}, tag="1")
    code, said = pull(registry, tmp_path)
    assert code == 7
    assert "no readable tar" in said


@pytest.mark.parametrize("name", ["../x", "/x", "a\0b"])
def test_7_for_a_name_to_refuse(registry: FakeRegistry, tmp_path: Path, name: str) -> None:
    registry.push({name: b"x"})
    assert pull(registry, tmp_path / "inside")[0] == 7
    assert not (tmp_path / "x").exists()


def test_a_stopped_container_ends_at_once(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.failures = [(503, {"Retry-After": "60"})]
    with subprocess.Popen(
        command(registry, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stdout is not None
        assert "trying again in 60 s" in running.stdout.readline()
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 128 + signal.SIGTERM


def test_nothing_is_loaded_twice_by_two_starts(registry: FakeRegistry, tmp_path: Path) -> None:
    pull(registry, tmp_path)
    registry.requests.clear()
    assert pull(registry, tmp_path) == (0, "")
    assert len(registry.requests) == 1  # the manifest, which may have changed
