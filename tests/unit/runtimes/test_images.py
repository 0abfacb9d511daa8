"""Layers are made once for their inputs, and an image is pushed when the registry lacks it."""

from __future__ import annotations

import os
import re
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from onebox.errors import OneboxError
from onebox.images import debian, runtime, site_packages, wheels
from onebox.images.layers import (
    ABANDONED_SECONDS,
    forget_stale,
    key_of,
    pack,
    run,
    timed,
    unpacked,
)
from onebox.registry_client import RegistryClient


def silent(_line: str) -> None:
    pass


class Registry(RegistryClient):
    """Keeps what was pushed; speaks to nobody."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.manifests: set[str] = set()
        self.pushed: list[list[str]] = []

    def has_manifest(self, repository: str, tag: str) -> bool:
        return f"{repository}:{tag}" in self.manifests

    def push_image(self, repository: str, tag: str, layers, config, annotations=None) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
        digest = "sha256:" + key_of([*layers, repr(config)])
        self.manifests |= {f"{repository}:{tag}", f"{repository}:{digest}"}
        self.pushed.append([Path(layer).name.partition("-")[0] for layer in layers])
        return digest


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache in which the costly layers are there already, empty."""
    monkeypatch.setenv("KAITO_CACHE", str(tmp_path))
    images = runtime.image_cache()
    debian_key = key_of([debian.SUITE, *debian.PACKAGES, *runtime.sources_of("debian")])
    key = site_packages.key()
    for name in (f"debian-{debian_key}", f"torch-{key}", f"site-packages-{key}"):
        with tarfile.open(images / f"{name}.tar", "w"):
            pass
    return images


@pytest.fixture
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("layers carry owners, which only root can set")


@pytest.mark.usefixtures("as_root")
@pytest.mark.usefixtures("cache")
def test_an_image_is_pushed_once_in_four_layers() -> None:
    registry = Registry()
    for _ in range(2):
        assert runtime.ensure(registry, silent) == "kaito/vllm-cpu:0.32.0-1"
    assert registry.pushed == [["debian", "torch", "site", "programs"]]


@pytest.mark.usefixtures("as_root")
@pytest.mark.usefixtures("cache")
def test_an_emptied_registry_gets_the_image_again() -> None:
    registry = Registry()
    runtime.ensure(registry, silent)
    registry.manifests.clear()
    runtime.ensure(registry, silent)
    assert len(registry.pushed) == 2


@pytest.mark.usefixtures("as_root")
def test_an_image_of_other_inputs_is_replaced(cache: Path) -> None:
    registry = Registry()
    runtime.ensure(registry, silent)
    (note,) = cache.glob("pushed-*")
    note.rename(cache / "pushed-of-earlier-inputs")
    runtime.ensure(registry, silent)
    assert len(registry.pushed) == 2
    assert [path.name for path in cache.glob("pushed-*")] == [note.name]


@pytest.mark.usefixtures("as_root")
def test_the_programs_lie_where_the_pods_call_them(cache: Path) -> None:
    with tarfile.open(runtime._ensure_programs(cache)) as tar:
        names = set(tar.getnames())
        weights = tar.getmember("workspace/weights")
    assert {"workspace/vllm/inference_api.py", "workspace/weights_puller/pull_oci.py"} <= names
    assert weights.uid == debian.USER_ID


def test_the_image_runs_as_a_plain_user_and_reaches_for_no_hub() -> None:
    config = runtime.image_config("x")["config"]
    assert config["User"] == "1000:1000"
    assert "HF_HUB_OFFLINE=1" in config["Env"]


def test_the_dockerfile_makes_the_same_image() -> None:
    text = (runtime.RUNTIMES / "vllm" / "Dockerfile").read_text()
    assert set(re.findall(r"(?:ENV |^    )([A-Z0-9_]+=\S+)", text, re.MULTILINE)) == {
        f"{name}={value}" for name, value in runtime.ENVIRONMENT.items() if name != "PATH"
    }
    assert all(package in text for package in debian.PACKAGES)
    for target, source in runtime.PROGRAMS.items():
        place = str(source.relative_to(runtime.places.REPOSITORY))
        assert f"COPY {place} /{Path(target).parent}/" in text
    assert f"USER {debian.USER_ID}:{debian.USER_ID}" in text


@pytest.mark.parametrize(
    "name",
    [
        "torch/include/a.h",
        "numpy/linalg/tests/test_x.py",
        "torch/bin/protoc",
        "pycountry/locales/x",
    ],
)
def test_headers_and_test_suites_stay_out(name: str) -> None:
    assert site_packages.UNWANTED.search(name)


@pytest.mark.parametrize(
    "name",
    [
        "torch/bin/torch_shm_manager",
        "torch/testing/__init__.py",
        "nvidia/cu13/lib/libcudart.so.13",
        "vllm/_C.abi3.so",
        "transformers/models/llama/modeling_llama.py",
    ],
)
def test_what_serving_loads_stays_in(name: str) -> None:
    assert not site_packages.UNWANTED.search(name)


def test_a_key_changes_with_every_input(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("a")
    keys = {
        key_of(["a"]),
        key_of(["a", ""]),
        key_of(["ab"]),
        key_of(["a", "b"]),
        key_of(["b", "a"]),
    }
    assert len(keys) == 5
    assert key_of([file]) == key_of(["a"])


def test_the_same_files_give_the_same_layer(tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        tree = tmp_path / name / "etc"
        tree.mkdir(parents=True)
        for file in ("b", "a") if name == "first" else ("a", "b"):
            (tree / file).write_text(file)
            os.utime(tree / file, (len(name), len(name)))
        pack(tmp_path / name, ["etc"], tmp_path / f"{name}.tar")
        contents.append((tmp_path / f"{name}.tar").read_bytes())
    assert contents[0] == contents[1]


def test_layers_lie_over_each_other_and_leave_nothing(tmp_path: Path) -> None:
    for name in ("low", "high"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "who").write_text(name)
        (tmp_path / name / name).write_text("")
        pack(tmp_path / name, ["who", name], tmp_path / f"{name}.tar")
    with unpacked([tmp_path / "low.tar", tmp_path / "high.tar"], tmp_path / "work") as root:
        assert sorted(path.name for path in root.iterdir()) == ["high", "low", "who"]
        assert (root / "who").read_text() == "high"
    assert list((tmp_path / "work").iterdir()) == []


def test_layers_of_earlier_inputs_are_forgotten(tmp_path: Path) -> None:
    today = tmp_path / f"debian-{key_of(['today'])}.tar"
    earlier = tmp_path / f"debian-{key_of(['earlier'])}.tar"
    other = tmp_path / f"programs-{key_of(['earlier'])}.tar"
    abandoned, running = tmp_path / "kaito-tmp-old", tmp_path / "kaito-tmp-new"
    for path in (today, earlier, other):
        path.write_text("")
    for folder in (abandoned, running):
        folder.mkdir()
    now = running.stat().st_mtime
    os.utime(abandoned, (0, now - ABANDONED_SECONDS - 1))
    forget_stale(tmp_path, [today], now)
    assert {path.name for path in tmp_path.iterdir()} == {today.name, other.name, running.name}


def test_progress_names_what_and_how_much(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(3_000_000))
    lines: list[str] = []
    timed(lines.append, "weights", lambda: tmp_path)
    assert lines == ["weights: 3 MB in 0 s"]


def test_a_failing_program_is_named_with_its_words() -> None:
    with pytest.raises(OneboxError, match=r"sh failed with code 3: no luck"):
        run(["sh", "-c", "echo no luck >&2; exit 3"], timeout_seconds=10)


def test_a_missing_program_is_named() -> None:
    with pytest.raises(OneboxError, match="not on this machine"):
        run(["no-such-program"], timeout_seconds=10)


def wheel(path: Path, members: dict[str, str]) -> Path:
    with ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_wheel_is_unpacked_without_scripts_and_unwanted_files(tmp_path: Path) -> None:
    members = {
        "x/__init__.py": "",
        "x/tests/test_x.py": "",
        "x-1.data/scripts/x": "",
        "x-1.data/platlib/x/native.py": "",
        "x-1.dist-info/METADATA": "Name: x",
    }
    source = wheel(tmp_path / "x-1.whl", members)
    written = wheels.unpack([source], tmp_path / "site", re.compile("/tests/"))
    site = tmp_path / "site"
    found = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}
    assert found == {"x/__init__.py", "x/native.py", "x-1.dist-info/METADATA"}
    assert written == len("Name: x")


def test_a_wheel_that_leads_out_is_refused(tmp_path: Path) -> None:
    source = wheel(tmp_path / "x-1.whl", {"../evil.py": ""})
    with pytest.raises(OneboxError, match="outside of itself"):
        wheels.unpack([source], tmp_path / "site", re.compile("(?!)"))


def test_every_pin_has_a_hash_and_no_address() -> None:
    lines = site_packages.REQUIREMENTS.read_text().splitlines()
    pin = re.compile(r"[A-Za-z0-9._-]+==\S+( --hash=sha256:[0-9a-f]{64})+")
    assert len(lines) > 100
    assert [line for line in lines if not pin.fullmatch(line)] == []
