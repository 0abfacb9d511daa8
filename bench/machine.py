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


def usage_of(pid: int) -> Usage:
    """Read a process's usage from /proc."""
    # After the command's name, which may hold spaces and brackets: utime and stime are the 12th
    # and 13th field from there (proc(5)).
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu_seconds = (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return Usage(cpu_seconds, int(peak.split()[1]) * 1024 / BYTES_PER_MEBIBYTE)


def describe() -> str:
    """Return one line: machine, versions, load, date."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    program = Path(__file__).resolve().parents[1] / ".venv" / "bin" / "temporal"
    temporal = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=30, check=True
    ).stdout.strip()
    now = datetime.now(tz=UTC)
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB; Python {platform.python_version()}, temporalio "
        f"{version('temporalio')}, {temporal}, Kubernetes 1.34; load before the run "
        f"{os.getloadavg()[0]:.1f}; {now:%Y-%m-%d}"
    )
