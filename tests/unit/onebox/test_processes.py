"""Programs are found again whatever happened, and one that died says why."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from onebox import processes
from onebox.errors import OneboxError
from onebox.processes import Process, Program

SLEEPS = (sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(100)")
STUBBORN = (
    sys.executable,
    "-c",
    """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('ready', flush=True)
time.sleep(100)
""",
)


@pytest.fixture
def program(run_folder: Path) -> Iterator[Program]:
    found = Program("sleeper", SLEEPS)
    yield found
    processes.stop(found.name)


def started(program: Program) -> subprocess.Popen[bytes]:
    child = processes.start(program)
    assert child is not None
    processes.await_ready(program, lambda: "ready" in processes.log_tail(program.log), 20)
    return child


def test_a_program_runs_once(program: Program) -> None:
    child = started(program)
    found = processes.running("sleeper")
    assert found is not None
    assert found.pid == child.pid
    assert processes.start(program) is None
    processes.stop("sleeper")
    child.wait(timeout=10)
    assert processes.running("sleeper") is None
    assert not program.pid_file.exists()


def test_a_later_process_with_the_same_pid_is_neither_taken_for_ours_nor_killed(
    program: Program,
) -> None:
    child = started(program)
    earlier = {"pid": child.pid, "start_ticks": processes.start_ticks(child.pid) - 1}
    kept = program.pid_file.read_text()
    program.pid_file.write_text(json.dumps(earlier))
    assert processes.running("sleeper") is None
    processes.stop_processes([Process(**earlier)])
    assert child.poll() is None
    program.pid_file.write_text(kept)
    processes.stop("sleeper")
    child.wait(timeout=10)


def test_a_program_is_found_by_its_mark_when_its_pid_file_is_lost(
    program: Program, run_folder: Path
) -> None:
    child = started(program)
    program.pid_file.unlink()
    found = processes.marked(run_folder)
    assert [process.pid for process in found] == [child.pid]
    assert processes.marked(run_folder / "of-another") == []
    processes.stop_processes(found)
    child.wait(timeout=10)
    assert processes.marked(run_folder) == []


def test_a_program_that_ignores_the_request_is_killed(run_folder: Path) -> None:
    program = Program("stubborn", STUBBORN)
    child = started(program)
    found = processes.running("stubborn")
    assert found is not None
    processes.stop_processes([found], grace_seconds=0.2)
    assert child.wait(timeout=10) == -signal.SIGKILL


def test_a_program_that_died_is_named_with_the_end_of_its_log(run_folder: Path) -> None:
    failing = "import sys; print('address in use', file=sys.stderr); sys.exit(3)"
    program = Program("etcd", (sys.executable, "-c", failing))
    program.log.parent.mkdir(parents=True)
    program.log.write_text("--- onebox starts etcd: earlier\nthe words of an earlier start\n")
    child = processes.start(program)
    assert child is not None
    child.wait(timeout=20)
    with pytest.raises(OneboxError) as caught:
        processes.await_ready(program, lambda: False, 20)
    assert "etcd ended right after its start" in caught.value.message
    assert "address in use" in caught.value.message
    assert "earlier" not in caught.value.message
    assert str(program.log) in caught.value.remedy


def test_a_late_program_and_a_cancelled_wait_are_told_apart(program: Program) -> None:
    started(program)
    with pytest.raises(OneboxError, match=r"did not get ready within 0 s.*\n.*ready"):
        processes.await_ready(program, lambda: False, 0)
    with pytest.raises(OneboxError, match="stopped while waiting for sleeper"):
        processes.await_ready(program, lambda: False, 20, lambda: True)


def test_a_taken_port_is_named_before_anything_starts(run_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        program = Program("agent", SLEEPS, listens=(("127.0.0.1", port),))
        with pytest.raises(OneboxError, match=f"agent can't listen on 127.0.0.1:{port}"):
            processes.start(program)
    assert processes.running("agent") is None


def test_a_program_that_is_not_built_is_no_traceback(run_folder: Path) -> None:
    with pytest.raises(OneboxError, match="etcd can't be started") as caught:
        processes.start(Program("etcd", (str(run_folder / "nothing"),)))
    assert "python -m onebox build" in caught.value.remedy


def test_a_zombie_does_not_count_as_running() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    give_up_at = time.monotonic() + 20
    while processes.start_ticks(child.pid) and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert Path(f"/proc/{child.pid}").exists()  # nobody has asked for its exit code yet
    assert processes.observe(child.pid) is None
    child.wait()


def test_a_name_with_brackets_does_not_shift_the_fields() -> None:
    fields = " ".join(str(number) for number in range(4, 53))
    assert processes.parse_start_ticks(f"12 (a) b) (c) S {fields}") == 22
    assert processes.parse_start_ticks(f"12 (a) Z {fields}") == 0


def test_children_of_children_are_found() -> None:
    nested = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", nested], start_new_session=True) as child:
        give_up_at = time.monotonic() + 20
        while not processes.descendants(child.pid) and time.monotonic() < give_up_at:
            time.sleep(0.02)
        mine = {process.pid for process in processes.descendants(os.getpid())}
        (grandchild,) = processes.descendants(child.pid)
        assert {child.pid, grandchild.pid} <= mine
        processes.stop_processes([grandchild])
        child.kill()
