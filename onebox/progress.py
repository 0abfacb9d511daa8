"""Says what happens, one line per event with the seconds since the start."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

NAME_CHARACTERS: Final = 16


class Progress:
    """Prints lines from several threads without mixing them."""

    def __init__(self, output: TextIO | None = None) -> None:
        """Start the clock."""
        self._output = output or sys.stdout
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def seconds(self) -> float:
        """Return how long this has run."""
        return time.monotonic() - self._started

    def say(self, name: str, text: str) -> None:
        """Print one line about a named step."""
        with self._lock:
            for line in text.splitlines() or [""]:
                print(
                    f"[{self.seconds():6.1f} s] {name:<{NAME_CHARACTERS}} {line}",
                    file=self._output,
                    flush=True,
                )

    def about(self, name: str) -> Callable[[str], None]:
        """Return a function that prints lines about one step."""
        return lambda text: self.say(name, text)

    @contextmanager
    def timed(self, name: str, done: str) -> Iterator[None]:
        """Print how long a block took, once it is done."""
        started = time.monotonic()
        yield
        self.say(name, f"{done} in {time.monotonic() - started:.1f} s")
