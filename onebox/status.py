"""Says what runs: every program, every node, and where each answers."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from onebox import azure_emulator, cloud, places, ports, processes
from onebox.agent.store import read_machines
from onebox.errors import EXIT_CODE_NOT_WELL
from onebox.node import lifecycle
from onebox.node.spec import SYSTEM_NODE
from onebox.processes import Process

BRIDGE_ADDRESSES: Final = {
    "etcd": places.PORT_ETCD,
    "kube-apiserver": places.PORT_API_SERVER,
    "kube-controller-manager": places.PORT_CONTROLLER_MANAGER,
    "kube-scheduler": places.PORT_SCHEDULER,
    "registry": places.PORT_REGISTRY,
}
LOOPBACK_ADDRESSES: Final = {
    "temporal": places.PORT_TEMPORAL,
    "agent": places.PORT_AGENT,
    "worker": places.PORT_WORKER,
}
HEADER: Final = ("WHAT", "STATE", "PID", "ANSWERS AT", "MEMORY", "SINCE")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    state: str
    process: Process | None
    address: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the line."""
        if self.process is None:
            return (self.what, self.state, "-", self.address, "-", "-")
        pid = self.process.pid
        memory = f"{resident_megabytes(pid)} MB"
        return (self.what, self.state, str(pid), self.address, memory, age(self.process))


def status() -> int:
    """Print the table; the exit code says whether all of it is well."""
    rows = [*_programs(), *_nodes()]
    print(table([HEADER, *(row.cells() for row in rows)]))
    is_well = all(row.state in {"runs", "running"} for row in rows)
    if not any(row.process for row in rows):
        print("\nonebox does not run; start it: make up")
    return 0 if is_well else EXIT_CODE_NOT_WELL


def table(lines: Sequence[Sequence[str]]) -> str:
    """Align columns."""
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def resident_megabytes(pid: int) -> int:
    """Return a process's resident memory."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000


def age(process: Process) -> str:
    """Return how long a process has run."""
    started = process.start_ticks / os.sysconf("SC_CLK_TCK")
    return duration(time.clock_gettime(time.CLOCK_BOOTTIME) - started)


def duration(seconds: float) -> str:
    """Write seconds as people do."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _programs() -> list[Row]:
    rows = []
    addresses = {name: (places.HOST_ADDRESS, port) for name, port in BRIDGE_ADDRESSES.items()}
    addresses |= {name: ("127.0.0.1", port) for name, port in LOOPBACK_ADDRESSES.items()}
    chosen = cloud.kept()
    if chosen is not None and chosen.is_azure:
        addresses[azure_emulator.NAME] = (azure_emulator.HOST, places.PORT_AZURE)
    for name, (host, port) in addresses.items():
        process = processes.running(name)
        if process is None:
            rows.append(Row(name, "is not there", None, f"{host}:{port}"))
        else:
            state = "runs" if ports.is_open(host, port) else "does not answer"
            rows.append(Row(name, state, process, f"{host}:{port}"))
    return rows


def _nodes() -> list[Row]:
    process = lifecycle.first_process_in(places.run() / "nodes" / SYSTEM_NODE)
    rows = [Row(f"node {SYSTEM_NODE}", "runs" if process else "is not there", process)]
    for machine in read_machines(places.run() / "machines"):
        first = lifecycle.first_process(machine.node)
        rows.append(Row(f"node {machine.name}", machine.state, first, machine.node.addresses.node))
    return rows
