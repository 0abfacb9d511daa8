"""Keeps machines on disk, one file each, so that an agent that was killed finds them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from onebox import places
from onebox.agent.machine import Machine
from onebox.node.spec import SYSTEM_INDEX

HIGHEST_INDEX: Final = 200
"""The index is the third byte of the pod network and 10 less than the last byte of the address."""


class Store:
    """The machines of one installation."""

    def __init__(self, folder: Path | None = None) -> None:
        """Read what is on disk."""
        self._folder = folder or places.run() / "machines"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._machines = {machine.name: machine for machine in read_machines(self._folder)}

    def all(self) -> list[Machine]:
        """Return every machine, oldest first."""
        return sorted(self._machines.values(), key=lambda machine: machine.created_at)

    def find(self, name: str) -> Machine | None:
        """Return one machine."""
        return self._machines.get(name)

    def keep(self, machine: Machine) -> Machine:
        """Write a machine to disk, whole or not at all."""
        path = self._folder / f"{machine.name}.json"
        unfinished = path.with_suffix(".new")
        unfinished.write_text(json.dumps(machine.to_record(), indent=1), encoding="utf-8")
        unfinished.rename(path)
        self._machines[machine.name] = machine
        return machine

    def forget(self, name: str) -> None:
        """Remove a machine that is gone."""
        (self._folder / f"{name}.json").unlink(missing_ok=True)
        self._machines.pop(name, None)

    def free_index(self) -> int:
        """Return the lowest index that no machine has."""
        taken = {machine.index for machine in self._machines.values()}
        first = SYSTEM_INDEX + 1
        return next(index for index in range(first, HIGHEST_INDEX) if index not in taken)


def read_machines(folder: Path) -> list[Machine]:
    """Read every machine's file; one that was cut off by a power loss is skipped."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(Machine.from_record(json.loads(path.read_text(encoding="utf-8"))))
        except (ValueError, KeyError, OSError):
            continue
    return found
