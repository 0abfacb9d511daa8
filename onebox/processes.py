"""Starts programs that outlive this one, finds them again, and says why one died at its start.

Two traces lead back to a program: a pid file (with the start time, so that a recycled pid is never
taken for ours) and a mark in its environment, which `down` finds even when `.run` is lost.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from onebox import places, ports
from onebox.errors import OneboxError

MARK: Final = "KAITO_ONEBOX_RUN"
"""Every program of onebox has this in its environment: the `.run` folder that it belongs to."""

POLL_SECONDS: Final = 0.1
STOP_GRACE_SECONDS: Final = 10.0
"""etcd and the API server end within a second when idle; a guess above that."""

LOG_TAIL_LINES: Final = 8


@dataclass(frozen=True)
class Program:
    """One program to run in the background."""

    name: str
    command: Sequence[str]
    listens: tuple[tuple[str, int], ...] = ()
    """Addresses that must be free before it starts."""

    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = places.REPOSITORY

    @property
    def log(self) -> Path:
        """Return where its output goes."""
        return places.log() / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        """Return where its pid is kept."""
        return places.run() / "pids" / f"{self.name}.json"


@dataclass(frozen=True)
class Process:
    """A process, told from a later one with the same pid by when it started."""

    pid: int
    start_ticks: int

    def is_alive(self) -> bool:
        """Say whether exactly this process still runs (a zombie does not)."""
        return start_ticks(self.pid) == self.start_ticks

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process still is the one that we mean."""
        if self.is_alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


def observe(pid: int) -> Process | None:
    """Return the process with this pid, if it runs."""
    ticks = start_ticks(pid)
    return Process(pid, ticks) if ticks else None


def start_ticks(pid: int) -> int:
    """Return when a process started in clock ticks since boot; 0 for a dead one or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return parse_start_ticks(text)


def parse_start_ticks(stat: str) -> int:
    """Read field 22 of /proc/PID/stat; the name in field 2 may hold spaces and brackets."""
    rest = stat[stat.rindex(")") + 1 :].split()
    return 0 if rest[0] in {"Z", "X"} else int(rest[19])


def running(name: str) -> Process | None:
    """Return the process of a named program, if it runs."""
    path = places.run() / "pids" / f"{name}.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        process = Process(int(kept["pid"]), int(kept["start_ticks"]))
    except (OSError, ValueError, KeyError):
        return None
    return process if process.is_alive() else None


def start(program: Program) -> subprocess.Popen[bytes] | None:
    """Start a program in its own session; None when it runs already."""
    if running(program.name):
        return None
    for host, port in program.listens:
        ports.require_free(host, port, program.name)
    program.log.parent.mkdir(parents=True, exist_ok=True)
    program.pid_file.parent.mkdir(parents=True, exist_ok=True)
    with program.log.open("ab") as log:
        log.write(f"--- onebox starts {program.name}: {' '.join(program.command)}\n".encode())
        log.flush()
        try:
            child = subprocess.Popen(
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=program.folder,
                env=os.environ | dict(program.environment) | {MARK: str(places.run())},
                start_new_session=True,
            )
        except OSError as error:
            raise OneboxError(
                f"{program.name} can't be started: {error}",
                "`python -m onebox build` makes missing programs; then run `make up` again",
            ) from error
    kept = {"pid": child.pid, "start_ticks": start_ticks(child.pid)}
    program.pid_file.write_text(json.dumps(kept), encoding="utf-8")
    return child


def await_ready(
    program: Program,
    is_ready: Callable[[], bool],
    deadline_seconds: float,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Wait until a program answers.

    Raises:
        OneboxError: It died or is late: with its name, the last lines of its log and the remedy.
    """
    give_up_at = time.monotonic() + deadline_seconds
    while not is_ready():
        if not running(program.name):
            raise died(program)
        if time.monotonic() > give_up_at:
            raise OneboxError(
                f"{program.name} runs but did not get ready within {deadline_seconds:.0f} s; "
                f"its log ends with:\n{indented(log_tail(program.log))}",
                f"read {program.log}; on a busy machine try again",
            )
        if is_cancelled():
            raise OneboxError(f"stopped while waiting for {program.name}")
        time.sleep(POLL_SECONDS)


def died(program: Program) -> OneboxError:
    """Describe a program that ended by itself."""
    return OneboxError(
        f"{program.name} ended right after its start; its log ends with:\n"
        f"{indented(log_tail(program.log))}",
        f"cure what the log names ({program.log}), then run `make up` again",
    )


def log_tail(path: Path, count: int = LOG_TAIL_LINES) -> list[str]:
    """Return the last lines of a log, of its newest start only."""
    try:
        with path.open("rb") as source:
            source.seek(max(0, path.stat().st_size - 64 * 1024))
            lines = source.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    starts = [index for index, line in enumerate(lines) if line.startswith("--- onebox starts")]
    return lines[starts[-1] + 1 if starts else 0 :][-count:]


def indented(lines: Sequence[str]) -> str:
    """Set lines off from the sentence that introduces them."""
    return "\n".join(f"    {line[:300]}" for line in lines) or "    (the log is empty)"


def stop(name: str) -> None:
    """Stop a named program: TERM, then KILL."""
    process = running(name)
    if process:
        stop_processes([process])
    (places.run() / "pids" / f"{name}.json").unlink(missing_ok=True)


def stop_processes(processes: Sequence[Process], grace_seconds: float = STOP_GRACE_SECONDS) -> None:
    """Stop processes together: TERM, a grace period, then KILL; returns when they are gone."""
    for number, patience in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 10.0)):
        for process in processes:
            process.send(number)
        give_up_at = time.monotonic() + patience
        while any(process.is_alive() for process in processes):
            if time.monotonic() > give_up_at:
                break
            time.sleep(POLL_SECONDS / 2)


def marked(run: Path) -> list[Process]:
    """Return every process that carries our mark, except this one and its ancestors."""
    wanted = f"{MARK}={run}".encode()
    spared = _ancestors(os.getpid())
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in spared:
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if wanted in environment.split(b"\0"):
            process = observe(int(entry.name))
            if process:
                found.append(process)
    return found


def descendants(pid: int) -> list[Process]:
    """Return the living children of a process, and theirs."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            children.setdefault(parent_of(int(entry.name)), []).append(int(entry.name))
    queue, found = [pid], []
    while queue:
        for child in children.get(queue.pop(), []):
            queue.append(child)
            process = observe(child)
            if process:
                found.append(process)
    return found


def parent_of(pid: int) -> int:
    """Return the parent's pid, or 0."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return int(text[text.rindex(")") + 1 :].split()[1])


def _ancestors(pid: int) -> set[int]:
    found = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        pid = parent_of(pid)
    return found


def command_of(pid: int) -> str:
    """Return a process's command line, for messages."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "(gone)"
    return text.replace(b"\0", b" ").decode(errors="replace").strip() or "(no command line)"
