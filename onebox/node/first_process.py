"""A node's first process: makes the namespaces, starts the node's programs, restarts what dies.

Run as a file, with the standard library only, so that a node costs little: `first_process.py
FOLDER` leaves the namespaces, forks, and writes the child's pid to FOLDER/first_process.json. The
child is PID 1 of the node; killing it ends everything in the node. It sends nothing home: what it
has to say is in FOLDER/boot.log and in the programs' own logs.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MS_SHARED: Final = 1 << 20

NETWORK_DEADLINE_SECONDS: Final = 30.0
"""The host joins the veth pair within a second; a guess above that."""

SOCKET_DEADLINE_SECONDS: Final = 30.0
RESTART_DELAY_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.05

_libc = ctypes.CDLL(None, use_errno=True)


def main(folder: Path) -> None:
    """Leave the host's namespaces and become, in a child, the node's PID 1."""
    plan = json.loads((folder / "boot.json").read_text(encoding="utf-8"))
    for leaf in plan["cgroups"]:
        (Path(leaf) / "cgroup.procs").write_text("0", encoding="ascii")  # 0 is the writer itself
    namespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
    _check(_libc.unshare(namespaces), "unshare")
    pid = os.fork()
    if pid == 0:
        os.setsid()
        _first_process(plan)
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    kept = {"pid": pid, "start_ticks": int(stat[stat.rindex(")") + 1 :].split()[19])}
    unfinished = folder / ".first_process.json"
    unfinished.write_text(json.dumps(kept), encoding="utf-8")
    unfinished.rename(folder / "first_process.json")


def _first_process(plan: dict[str, Any]) -> NoReturn:
    try:
        signal.signal(signal.SIGTERM, _end)
        _mount_everything(plan)
        socket.sethostname(plan["hostname"])
        _await_network()
        _run_programs(plan)
    except Exception as error:  # noqa: BLE001 - PID 1 has nobody to raise to; the log is its voice
        print(f"onebox node: {error!r}", flush=True)
    os._exit(1)


def _end(_signal: int, _frame: FrameType | None) -> None:
    os._exit(0)  # the kernel kills everything else in the node


def _mount_everything(plan: dict[str, Any]) -> None:
    folder, inside = plan["folder"], Path(plan["inside"])
    _mount("none", "/", "", MS_REC | MS_PRIVATE)
    # Pods' mounts must reach containers that share them: a peer group of our own, not the host's.
    _mount("none", "/", "", MS_REC | MS_SHARED)
    _mount("proc", "/proc", "proc", 0)
    _mount("tmpfs", "/run", "tmpfs", 0, "mode=755")
    _mount("tmpfs", "/var/log", "tmpfs", 0, "mode=755")  # the kubelet links pods' logs from here
    _mount("tmpfs", "/var/lib/cni", "tmpfs", 0, "mode=755")
    inside.mkdir(parents=True)
    _mount(folder, str(inside), "", MS_BIND)
    # Logs outlive the node, and /var/log of the host is hidden by now.
    logs = Path("/run/log-of-onebox")
    logs.mkdir()
    _mount(plan["logs"], str(logs), "", MS_BIND)


def _await_network() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=10)
    give_up_at = time.monotonic() + NETWORK_DEADLINE_SECONDS
    while not _has_default_route():
        if time.monotonic() > give_up_at:
            raise TimeoutError("the host did not connect this node's network")
        time.sleep(POLL_SECONDS)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
    bridged = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if bridged.exists():
        # A pod that reaches itself or a neighbour through a Service needs its bridge filtered.
        bridged.write_text("1", encoding="ascii")


def _has_default_route() -> bool:
    lines = Path("/proc/net/route").read_text(encoding="ascii").splitlines()[1:]
    return any(line.split()[1] == "00000000" for line in lines)


def _run_programs(plan: dict[str, Any]) -> NoReturn:
    by_pid: dict[int, dict[str, Any]] = {}
    for program in plan["programs"]:
        by_pid[_start(plan["hostname"], program)] = program
        if program["socket"]:
            _await_socket(program["socket"])
    while True:
        pid, status = os.wait()
        program = by_pid.pop(pid, {})
        if program:
            print(f"onebox node: {program['name']} ended ({status}); starting it again", flush=True)
            time.sleep(RESTART_DELAY_SECONDS)
            by_pid[_start(plan["hostname"], program)] = program


def _start(node: str, program: dict[str, Any]) -> int:
    # os.wait() reaps orphans of every kind, so Popen must not be asked about its child again.
    log_path = Path(f"/run/log-of-onebox/{node}-{program['name']}.log")
    with log_path.open("ab") as log:
        log.write(f"--- onebox starts {program['name']}: {program['command']}\n".encode())
        log.flush()
        pid = os.fork()
        if pid:
            return pid
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            os.execvp(program["command"][0], program["command"])  # noqa: S606 - no shell on purpose
        finally:
            os._exit(127)


def _await_socket(path: str) -> None:
    give_up_at = time.monotonic() + SOCKET_DEADLINE_SECONDS
    while time.monotonic() < give_up_at:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(path)
            except OSError:
                time.sleep(POLL_SECONDS)
            else:
                return
    print(f"onebox node: nothing answers on {path}", flush=True)


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode() or None, flags, data.encode() or None
    )
    _check(result, f"mount {source} on {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
