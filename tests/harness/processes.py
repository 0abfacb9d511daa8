"""Child processes of a test: their output in a file, and none outlives the test process."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

PORTS = range(20_000, 32_000)
"""Below the kernel's ephemeral range (32768 and up), so that no outgoing connection takes one."""

LOG_TAIL_LINES = 25

_reserved: dict[int, IO[str]] = {}


def reserve_port() -> int:
    """Return a loopback port that no other test process on this machine will be given.

    The reservation is a file lock, which ends with this process.
    """
    folder = Path(tempfile.gettempdir()) / f"kaito-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    # Processes start at different places, so that they seldom try the same port.
    start = os.getpid() * 97 % len(PORTS)
    for offset in range(len(PORTS)):
        port = PORTS[(start + offset) % len(PORTS)]
        if port in _reserved:
            continue
        lock = (folder / str(port)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        if _is_taken(port):
            lock.close()
            continue
        _reserved[port] = lock
        return port
    raise RuntimeError(f"no free port in {PORTS}")


def release_port(port: int) -> None:
    """Give a port back."""
    _reserved.pop(port).close()


def _is_taken(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


class ProcessDied(RuntimeError):
    """A child ended although it should run."""


class Process:
    """One child process; `setpriv --pdeathsig` makes the kernel kill it when its parent dies."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        working_folder: Path | None = None,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.starts_count = 0
        self._command = [str(part) for part in command]
        self._environment = dict(environment) if environment is not None else None
        self._working_folder = working_folder or folder
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the program; the kernel's death signal is bound to this thread, the main one."""
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._working_folder,
                # A group of its own: Ctrl-C in the terminal reaches pytest alone.
                process_group=0,
            )
        self.starts_count += 1

    @property
    def pid(self) -> int:
        return 0 if self._child is None else self._child.pid

    @property
    def exit_code(self) -> int | None:
        return None if self._child is None else self._child.poll()

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def check(self) -> None:
        """Raise with the end of the log when the child has ended."""
        if not self.is_running:
            raise ProcessDied(f"{self.name} ended with {self.exit_code}:\n{self.log_tail()}")

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel has cleared it away."""
        self._end(signal.SIGKILL, seconds=10)

    def terminate(self, *, seconds: float = 20) -> None:
        """SIGTERM, then SIGKILL after `seconds`."""
        self._end(signal.SIGTERM, seconds=seconds)

    async def stop(self, *, seconds: float = 30) -> int:
        """SIGTERM without blocking the event loop; returns the exit code."""
        if self._child is None:
            raise ProcessDied(f"{self.name} was never started")
        self.send(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self._child.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                raise ProcessDied(
                    f"{self.name} did not stop within {seconds} s:\n{self.log_tail()}"
                )
            await asyncio.sleep(0.05)
        return self._child.returncode

    def send(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.send_signal(number)

    def pause(self) -> None:
        """SIGSTOP: the process stays and does nothing, as on a machine that hangs."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.send(signal.SIGCONT)

    def _end(self, how: signal.Signals, *, seconds: float) -> None:
        if self._child is None or self._child.poll() is not None:
            return
        self._child.send_signal(how)
        try:
            self._child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait(timeout=10)
