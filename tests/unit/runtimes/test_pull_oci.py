"""What the init container promises about weights, against a registry on loopback."""

from __future__ import annotations

import base64
import gzip
import io
import json
import signal
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.runtimes.fake_registry import REPOSITORY, FakeRegistry
from tests.unit.runtimes.loading import load

pull_oci = load("weights/pull_oci.py")

WORDS = "open sesame"
FILES = {"config.json": b'{"layers": 2}', "model.safetensors": bytes(range(256)) * 40}


@pytest.fixture(autouse=True)
def _same_signal_handlers() -> Iterator[None]:
    """Undo what `main` does to its process."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry().running() as running:
        yield running


class Time:
    """A clock that only sleeping moves, so that no test waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class Run:
    """One pull and what came of it."""

    def __init__(
        self, registry: FakeRegistry, destination: Path, *, tag: str = "1", credentials: str = ""
    ) -> None:
        self.time, self.lines = Time(), []
        reference = pull_oci.parse_reference(registry.reference(tag))
        self.pull = pull_oci.Pull(
            pull_oci.Registry(reference, is_plain_http=True, credentials=credentials),
            destination,
            deadline_seconds=100.0,
            clock=self.time.clock,
            sleep=self.time.sleep,
            say=self.lines.append,
        )

    lines: list[str]

    def succeed(self) -> Run:
        self.pull.run()
        return self

    def fail(self) -> Any:
        with pytest.raises(pull_oci.PullError) as caught:
            self.pull.run()
        return caught.value


def files_in(folder: Path) -> dict[str, bytes]:
    """Return what a pull left, without its own notes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".pull" not in path.parts
    }


def tar_of(members: dict[str, bytes], *, link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
    return buffer.getvalue()


def test_every_titled_layer_becomes_a_file_of_that_name(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.push({**FILES, "tokenizer/vocabulary.txt": b"a b"})
    Run(registry, tmp_path / "new").succeed()
    assert files_in(tmp_path / "new") == {**FILES, "tokenizer/vocabulary.txt": b"a b"}


def test_progress_ends_with_all_bytes(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.push({"model.safetensors": b"x" * 2_500_000})
    lines = Run(registry, tmp_path).succeed().lines
    assert "pulling model.safetensors: 2.5 of 2.5 MB (100 %)" in lines
    assert lines[-1].startswith("complete: 2.5 MB")


def test_a_second_pull_loads_nothing_again(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.push(FILES)
    Run(registry, tmp_path).succeed()
    registry.requests.clear()
    Run(registry, tmp_path).succeed()
    assert registry.paths("/blobs/") == []


def test_a_file_that_changed_size_is_loaded_again(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.push(FILES)
    Run(registry, tmp_path).succeed()
    (tmp_path / "config.json").write_bytes(b"")
    Run(registry, tmp_path).succeed()
    assert files_in(tmp_path) == FILES


def test_a_moved_tag_brings_the_new_content(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.push(FILES)
    Run(registry, tmp_path).succeed()
    changed = {**FILES, "config.json": b'{"layers": 3}'}  # as many bytes as before
    registry.push(changed)
    Run(registry, tmp_path).succeed()
    assert files_in(tmp_path) == changed


def test_a_cut_off_download_goes_on_in_the_middle(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.push({"model.safetensors": FILES["model.safetensors"]})
    registry.cut_after_bytes = [4000, 1000]
    Run(registry, tmp_path).succeed()
    ranges = [headers.get("Range") for path, headers in registry.requests if "/blobs/" in path]
    assert ranges == [None, "bytes=4000-", "bytes=5000-"]
    assert files_in(tmp_path)["model.safetensors"] == FILES["model.safetensors"]


def test_a_restarted_pull_goes_on_in_the_middle(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.push({"model.safetensors": FILES["model.safetensors"]})
    registry.cut_after_bytes = [4000]
    first = Run(registry, tmp_path)
    first.pull.deadline_seconds = 0.0  # the container is ended in the middle
    first.fail()
    registry.requests.clear()
    Run(registry, tmp_path).succeed()
    assert [h.get("Range") for p, h in registry.requests if "/blobs/" in p] == ["bytes=4000-"]
    assert files_in(tmp_path)["model.safetensors"] == FILES["model.safetensors"]


def test_a_registry_without_ranges_starts_the_file_over(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.push(FILES)
    registry.ignores_range = True
    registry.cut_after_bytes = [5, 100]
    Run(registry, tmp_path).succeed()
    assert files_in(tmp_path) == FILES


def test_wrong_content_is_loaded_again_and_never_kept(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.push({"config.json": FILES["config.json"]})
    registry.wrong_content = 2
    Run(registry, tmp_path).succeed()
    assert files_in(tmp_path) == {"config.json": FILES["config.json"]}


def test_content_that_stays_wrong_is_refused(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.push({"config.json": FILES["config.json"]})
    registry.wrong_content = 99
    error = Run(registry, tmp_path).fail()
    assert error.exit_code == pull_oci.EXIT_CORRUPT
    assert "config.json" in str(error)
    assert files_in(tmp_path) == {}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failing_registry_is_tried_again_with_growing_pauses(
    registry: FakeRegistry, tmp_path: Path, status: int
) -> None:
    registry.push(FILES)
    registry.failures = [(status, {}), (status, {}), (status, {})]
    pauses = Run(registry, tmp_path).succeed().time.pauses
    assert len(pauses) == 3
    assert pauses[0] < pauses[1] < pauses[2]


def test_a_registry_that_names_a_pause_is_given_it(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.push(FILES)
    registry.failures = [(429, {"Retry-After": "17"})]
    assert Run(registry, tmp_path).succeed().time.pauses == [17.0]


def test_the_deadline_ends_the_trying_and_names_the_cause(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.push(FILES)
    registry.failures = [(503, {})] * 200
    run = Run(registry, tmp_path)
    error = run.fail()
    assert error.exit_code == pull_oci.EXIT_DEADLINE
    assert "503" in str(error)
    assert "100 s" in str(error)
    assert sum(run.time.pauses) == pytest.approx(100.0)


def test_a_registry_that_is_away_is_named(tmp_path: Path) -> None:
    with FakeRegistry().running() as gone:
        pass
    error = Run(gone, tmp_path).fail()
    assert error.exit_code == pull_oci.EXIT_DEADLINE
    assert gone.address in str(error)


def test_an_unknown_tag_is_not_tried_twice(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.push(FILES)
    error = Run(registry, tmp_path, tag="2").fail()
    assert error.exit_code == pull_oci.EXIT_NOT_FOUND
    assert registry.reference("2") in str(error)
    assert len(registry.requests) == 1


def test_basic_authentication_uses_the_credentials(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.push(FILES)
    registry.password = WORDS
    Run(registry, tmp_path, credentials=base64.b64encode(f"me:{WORDS}".encode()).decode()).succeed()
    assert files_in(tmp_path) == FILES


@pytest.mark.parametrize("password", ["", WORDS])
def test_a_token_is_fetched_where_the_registry_asks_for_one(
    registry: FakeRegistry, tmp_path: Path, password: str
) -> None:
    registry.push(FILES)
    registry.token, registry.password = WORDS[::-1], password
    credentials = base64.b64encode(f"me:{password}".encode()).decode() if password else ""
    Run(registry, tmp_path, credentials=credentials).succeed()
    assert files_in(tmp_path) == FILES
    assert f"repository%3A{REPOSITORY.replace('/', '%2F')}%3Apull" in registry.paths("/token")[0]


@pytest.mark.parametrize("credentials", ["", base64.b64encode(b"me:wrong").decode()])
def test_a_refused_pull_asks_for_a_secret(
    registry: FakeRegistry, tmp_path: Path, credentials: str
) -> None:
    registry.push(FILES)
    registry.password = WORDS
    error = Run(registry, tmp_path, credentials=credentials).fail()
    assert error.exit_code == pull_oci.EXIT_UNAUTHORISED
    assert "pull secret" in str(error)


def test_a_redirect_to_another_host_carries_no_authorisation(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    with FakeRegistry().running() as storage:
        registry.push(FILES)
        storage.push(FILES)
        registry.password = WORDS
        registry.blobs_elsewhere = f"http://{storage.address}"
        Run(
            registry, tmp_path, credentials=base64.b64encode(f"me:{WORDS}".encode()).decode()
        ).succeed()
        assert files_in(tmp_path) == FILES
        assert storage.requests
        assert not any("Authorization" in headers for _, headers in storage.requests)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a\\..\\x", ".pull/x"])
def test_a_title_that_leads_out_is_refused(
    registry: FakeRegistry, tmp_path: Path, name: str
) -> None:
    registry.push({name: b"x"})
    error = Run(registry, tmp_path / "inside").fail()
    assert error.exit_code == pull_oci.EXIT_CORRUPT
    assert files_in(tmp_path) == {}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "tar+gzip"])
def test_a_tar_without_a_title_is_unpacked(
    registry: FakeRegistry, tmp_path: Path, pack: Any
) -> None:
    layer = registry.layer(
        pack(tar_of({"a/b.json": b"{}", "c": b"1"})),
        media_type="application/vnd.oci.image.layer.v1.tar",
    )
    registry.push_manifest({"layers": [layer]}, tag="1")
    Run(registry, tmp_path).succeed()
    assert files_in(tmp_path) == {"a/b.json": b"{}", "c": b"1"}


@pytest.mark.parametrize(
    "archive", [tar_of({"../x": b"x"}), tar_of({}, link="/etc/passwd"), b"no tar at all" * 100]
)
def test_a_tar_with_anything_but_files_inside_is_refused(
    registry: FakeRegistry, tmp_path: Path, archive: bytes
) -> None:
    layer = registry.layer(archive, media_type="application/vnd.oci.image.layer.v1.tar")
    registry.push_manifest({"layers": [layer]}, tag="1")
    assert Run(registry, tmp_path / "inside").fail().exit_code == pull_oci.EXIT_CORRUPT
    assert files_in(tmp_path) == {}


def test_an_index_leads_to_this_platform(registry: FakeRegistry, tmp_path: Path) -> None:
    arm = registry.push({"which": b"arm"}, tag="arm")
    amd = registry.push({"which": b"amd"}, tag="amd")
    entries = [
        {"digest": arm, "platform": {"os": "linux", "architecture": "arm64"}},
        {"digest": amd, "platform": {"os": "linux", "architecture": "amd64"}},
    ]
    registry.push_manifest({"manifests": entries}, tag="1")
    Run(registry, tmp_path).succeed()
    assert files_in(tmp_path) == {"which": b"amd"}


def test_a_volume_without_room_is_named_before_anything_is_loaded(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    layer = registry.layer(b"x", "model.safetensors") | {"size": 10**15}
    registry.push_manifest({"layers": [layer]}, tag="1")
    error = Run(registry, tmp_path).fail()
    assert error.exit_code == pull_oci.EXIT_NO_SPACE
    assert str(tmp_path) in str(error)
    assert registry.paths("/blobs/") == []


@pytest.mark.parametrize("text", ["", "weights:1", "host/UPPER:1", "host/a b:1", "host/a@sha256:1"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(pull_oci.PullError, match="no reference") as caught:
        pull_oci.parse_reference(text)
    assert caught.value.exit_code == pull_oci.EXIT_BAD_INPUT


def test_a_reference_may_carry_a_port_a_tag_or_a_digest() -> None:
    digest = "sha256:" + "a" * 64
    for text in ("10.89.0.1:5000/kaito/weights/x:1", f"example.com/x@{digest}"):
        assert str(pull_oci.parse_reference(text)) == text


TAR = "application/vnd.oci.image.layer.v1.tar"


def test_of_an_image_one_folder_can_be_taken(registry: FakeRegistry, tmp_path: Path) -> None:
    archives = (tar_of({"etc/passwd": b"x"}, link="/bin/busybox"), tar_of({"./data/a": b"1"}))
    layers = [registry.layer(archive, media_type=TAR) for archive in archives]
    registry.push_manifest({"layers": layers}, tag="1")
    run = Run(registry, tmp_path)
    run.pull.only = "data"
    run.succeed()
    assert files_in(tmp_path) == {"data/a": b"1"}


def test_an_image_without_the_folder_is_named(registry: FakeRegistry, tmp_path: Path) -> None:
    layer = registry.layer(tar_of({"etc/passwd": b"x"}), media_type=TAR)
    registry.push_manifest({"layers": [layer]}, tag="1")
    run = Run(registry, tmp_path)
    run.pull.only = "data"
    assert "has no folder /data" in str(run.fail())


def test_credentials_come_from_the_entry_of_the_registry(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    auths = {
        "https://other.example/v1/": {"auth": "b3RoZXI="},
        "mine.example:5000": {"username": "me", "password": "p"},
    }
    config.write_text(json.dumps({"auths": auths}))
    assert pull_oci.read_credentials(config, "other.example") == "b3RoZXI="
    assert base64.b64decode(pull_oci.read_credentials(config, "mine.example:5000")) == b"me:p"
    assert pull_oci.read_credentials(config, "third.example") == ""


def test_the_command_line_pulls_and_says_so(
    registry: FakeRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.push(FILES)
    command = ["--reference", registry.reference(), "--destination", str(tmp_path), "--plain-http"]
    assert pull_oci.main(command) == 0
    assert files_in(tmp_path) == FILES
    assert "complete:" in capsys.readouterr().out


def test_the_command_line_fails_with_one_line(
    registry: FakeRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--reference", registry.reference(), "--destination", str(tmp_path), "--plain-http"]
    assert pull_oci.main(command) == pull_oci.EXIT_NOT_FOUND
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("pull_oci: no such reference")


def test_the_program_needs_the_standard_library_only() -> None:
    source = Path(str(pull_oci.__file__)).read_text()
    imported = {
        line.split()[1].split(".")[0]
        for line in source.splitlines()
        if line.startswith(("import ", "from "))
    }
    assert imported <= {*sys.stdlib_module_names, "__future__"}
