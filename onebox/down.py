"""Stops everything and proves that nothing is left, whatever state the machine was left in.

It trusts nothing that an earlier command wrote: processes are found by the mark in their
environment and by their cgroup, links by their names, mounts by their place.
"""

from __future__ import annotations

import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

from onebox import cgroups, firewall, lock, network, packages, places, preflight, processes, residue
from onebox.commands import attempt
from onebox.errors import EXIT_CODE_NOT_WELL
from onebox.node import lifecycle
from onebox.progress import Progress

GRACE_SECONDS: Final = 2.0
"""Nothing has state to save: `.run` goes too. Long enough for a log's last line."""


def down(progress: Progress) -> int:
    """Clean, look, and return the exit code."""
    preflight.require_root("down")
    with lock.hold("down"):
        network.require_ours()
        clean(progress)
        return report(progress)


def clean(progress: Progress, *, keep_state: bool = False) -> None:
    """Remove everything of onebox from this machine; idempotent.

    Args:
        progress: Told what was stopped.
        keep_state: Leave `.run` as it is, so that a later `up` goes on with the same objects.
    """
    say = progress.about("down")
    stopped = stop_processes()
    say(f"stopped {stopped} processes" if stopped else "no process was running")
    text = Path("/proc/self/mounts").read_text(encoding="utf-8")
    for point in residue.mount_points(text, [places.run(), places.cache()]):
        attempt("umount", "--lazy", point)
    for link in residue.our_links(attempt("ip", "-brief", "link", "show") or ""):
        attempt("ip", "link", "delete", link)
    firewall.remove()
    network.delete_bridge()
    cgroups.remove(cgroups.PARENT)
    packages.remove_left_policy()
    with suppress(OSError):  # not empty: somebody else's results
        lifecycle.CNI_RESULTS.rmdir()
    if not keep_state:
        remove_state()


def stop_processes() -> int:
    """End every process of this installation and return how many there were."""
    # Nodes first, and hard: the kernel takes the rest of a node down with its first process.
    for folder in (places.run() / "nodes").glob("*"):
        process = lifecycle.first_process_in(folder)
        if process:
            lifecycle.kill(process)
    found = processes.marked(places.run())
    processes.stop_processes(found, GRACE_SECONDS)
    stragglers = processes.marked(places.run())
    for process in stragglers:
        process.send(signal.SIGKILL)
    return len(found)


def remove_state() -> None:
    """Empty `.run`, except for the logs, which say what happened."""
    for path in places.run().glob("*"):
        if path == places.log():
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def report(progress: Progress) -> int:
    """Print what was looked for and what was found."""
    findings = residue.look()
    for finding in findings:
        if not finding.found:
            progress.say("down", f"no {finding.what} left")
        for line in finding.found:
            progress.say("down", f"LEFT: {finding.what}: {line}")
    return EXIT_CODE_NOT_WELL if any(finding.found for finding in findings) else 0
