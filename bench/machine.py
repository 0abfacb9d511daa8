"""What was measured on, and what processes cost."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.harness import binaries

TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
BYTES_PER_MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True)
class Usage:
    """CPU seconds and peak memory of one process so far."""

    cpu_seconds: float
    peak_mebibytes: float

    def since(self, earlier: Usage) -> Usage:
        """Return what was used since an earlier look; the peak stays the peak."""
        return Usage(self.cpu_seconds - earlier.cpu_seconds, self.peak_mebibytes)


@dataclass(frozen=True)
class WholeMachine:
    """CPU seconds of all cores since the machine started."""

    total_seconds: float
    idle_seconds: float

    def since(self, earlier: WholeMachine) -> WholeMachine:
        """Return what passed since an earlier look."""
        return WholeMachine(
            self.total_seconds - earlier.total_seconds, self.idle_seconds - earlier.idle_seconds
        )

    @property
    def busy_seconds(self) -> float:
        """Return what anybody used, ourselves included."""
        return self.total_seconds - self.idle_seconds


def usage_of(pid: int) -> Usage:
    """Read a process's usage from /proc."""
    return parse_usage(
        Path(f"/proc/{pid}/stat").read_text(), Path(f"/proc/{pid}/status").read_text()
    )


def parse_usage(stat: str, status: str) -> Usage:
    """Return what /proc/<pid>/stat and /proc/<pid>/status say (proc(5))."""
    # After the command's name, which may hold spaces and brackets: utime and stime are the 12th
    # and 13th field from there.
    fields = stat.rpartition(")")[2].split()
    cpu_seconds = (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return Usage(cpu_seconds, int(peak.split()[1]) * 1024 / BYTES_PER_MEBIBYTE)


def whole_machine() -> WholeMachine:
    """Read the sums of all cores from /proc."""
    # The first eight: guests, the two behind them, are counted in the first two already.
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return WholeMachine(sum(fields) / TICKS_PER_SECOND, idle / TICKS_PER_SECOND)


def load() -> str:
    """Return the load average of the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def describe() -> str:
    """Return the machine, its versions and the date."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    kubernetes = _version_of(binaries.path("kube-apiserver"))
    temporal = _version_of(binaries.installed("temporal"))
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB; Python {platform.python_version()}, temporalio "
        f"{version('temporalio')}, {temporal}, {kubernetes}; {datetime.now(tz=UTC):%Y-%m-%d %H:%M}"
        " UTC"
    )


def _version_of(program: Path) -> str:
    answer = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=30, check=True
    )
    return answer.stdout.strip()
