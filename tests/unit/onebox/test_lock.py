"""Two commands never work on one machine at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from onebox import lock, places
from onebox.errors import OneboxError


def test_the_second_is_refused_and_told_who_is_at_work(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock.hold("up", path):
        with pytest.raises(OneboxError) as caught, lock.hold("down", path):
            pytest.fail("two hold the lock")
        assert f"`onebox up` of process {os.getpid()}" in caught.value.message
        assert "Ctrl-C" in caught.value.remedy
        assert caught.value.exit_code == 2


def test_the_lock_is_free_again_afterwards_even_after_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(ValueError, match="failed"), lock.hold("up", path):
        raise ValueError("failed")
    with lock.hold("down", path):
        assert "down" in path.read_text()
    assert path.read_text() == ""


def test_a_killed_holder_leaves_the_lock_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from onebox import lock\n"
        "with lock.hold('up', Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        cwd=places.REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(OneboxError, match=f"process {other.pid}"), lock.hold("down", path):
            pytest.fail("two hold the lock")
        other.kill()
        other.wait(timeout=10)
        with lock.hold("down", path):
            pass
