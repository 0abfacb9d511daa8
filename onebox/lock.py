"""One `up` or `down` at a time on a machine, whatever checkout it comes from."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from onebox.errors import OneboxError

LOCK_FILE: Final = Path("/run/kaito-onebox.lock")


@contextmanager
def hold(command: str, path: Path = LOCK_FILE) -> Iterator[None]:
    """Hold the lock, which the kernel lets go when this process ends, however it ends.

    Raises:
        OneboxError: Another one holds it; the message says who.
    """
    with path.open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            holder = handle.read().strip() or "another command"
            raise OneboxError(
                f"onebox is busy: {holder} is still at work",
                "wait until it has finished, or stop it with Ctrl-C (it tidies up after itself)",
            ) from error
        handle.truncate(0)
        handle.write(f"`onebox {command}` of process {os.getpid()}")
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)
