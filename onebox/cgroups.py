"""One parent cgroup per node, on cgroup v1 (in each hierarchy) and on v2 (the one hierarchy)."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
PARENT: Final = "kaito-onebox"
REMOVE_DEADLINE_SECONDS: Final = 10.0


def hierarchies(root: Path = ROOT) -> list[Path]:
    """Return the top of every mounted hierarchy, each once (v1 has links such as `cpu,cpuacct`)."""
    if (root / "cgroup.procs").exists():
        return [root]
    if not root.is_dir():
        return []
    real = {path.resolve() for path in root.iterdir() if (path / "cgroup.procs").exists()}
    return sorted(real)


def ensure(node: str) -> list[Path]:
    """Make a node's cgroups and return the leaf of each hierarchy for its own processes."""
    leaves = []
    for top in hierarchies():
        path = top
        for part in (PARENT, node, "system"):
            _enable_controllers(path)
            path /= part
            path.mkdir(exist_ok=True)
            _fill_cpuset(path)
        leaves.append(path)
    return leaves


def remove(relative: str) -> None:
    """Remove a cgroup and all below it in every hierarchy; kills what is left in it first."""
    give_up_at = time.monotonic() + REMOVE_DEADLINE_SECONDS
    while True:
        left = [top / relative for top in hierarchies() if (top / relative).exists()]
        if not left or time.monotonic() > give_up_at:
            return
        for path in left:
            _remove_tree(path)
        time.sleep(0.02)


def existing(relative: str = PARENT) -> list[Path]:
    """Return where the cgroup exists."""
    return [top / relative for top in hierarchies() if (top / relative).exists()]


def _remove_tree(path: Path) -> None:
    with suppress(OSError):  # a cgroup may vanish while we look, or still hold a dying process
        for child in path.iterdir():
            if child.is_dir():
                _remove_tree(child)
        for pid in (path / "cgroup.procs").read_text(encoding="ascii").split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        path.rmdir()


def _enable_controllers(path: Path) -> None:
    """On v2 a child gets only those controllers that its parent hands down."""
    control = path / "cgroup.subtree_control"
    if not control.exists():
        return
    for controller in (path / "cgroup.controllers").read_text(encoding="ascii").split():
        with suppress(OSError):  # a controller that can't be handed down is one we can't use
            control.write_text(f"+{controller}", encoding="ascii")


def _fill_cpuset(path: Path) -> None:
    """On v1 a new cpuset is empty, and a process can't join an empty one."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        own, parent = path / name, path.parent / name
        if own.exists() and (path / "tasks").exists() and not own.read_text("ascii").strip():
            own.write_text(parent.read_text("ascii"), encoding="ascii")
