"""What a machine lacks is said before anything is started, with the remedy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from onebox import places, preflight
from onebox.packages import PROGRAM_OF_PACKAGE, which

NOBODY = 65534


@pytest.mark.parametrize("command", ["up", "down"])
def test_a_plain_user_is_told_to_become_root(command: str, tmp_path: Path) -> None:
    code = f"""
import os, sys
if os.geteuid() == 0:
    os.setuid({NOBODY})
from onebox.cli import main
main([{command!r}])
"""
    environment = os.environ | {"KAITO_RUN": str(tmp_path), "KAITO_CACHE": str(tmp_path)}
    preload = "import onebox.cli, onebox.up, onebox.down\n"  # the checkout may be root's alone
    done = subprocess.run(
        [sys.executable, "-c", preload + code],
        cwd=places.REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert f"`onebox {command}` needs root" in done.stderr
    assert f"remedy: run `sudo make {command}`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_with_room_passes(tmp_path: Path) -> None:
    preflight.require_disk(tmp_path / "new", 1)


@pytest.mark.skipif(sys.platform != "linux", reason="onebox runs on Linux only")
def test_this_linux_passes() -> None:
    preflight.require_linux()
    assert all(Path(f"/proc/self/ns/{name}").exists() for name in preflight.NAMESPACES)


def test_programs_are_found_where_only_root_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert which("no-such-program") is None
    if Path("/usr/sbin/ldconfig").exists() or Path("/sbin/ldconfig").exists():
        assert which("ldconfig") is not None


def test_each_package_is_known_by_a_program() -> None:
    assert all(PROGRAM_OF_PACKAGE.values())
    assert {"runc", "containerd", "iproute2"} <= set(PROGRAM_OF_PACKAGE)
