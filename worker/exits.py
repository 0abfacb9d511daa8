"""How the process ends: always, and with everything written."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Final, NoReturn

EXIT_FAILED: Final = 1
EXIT_REFUSED: Final = 2


def leave(code: int) -> NoReturn:
    """End the process now.

    Temporal's SDK now and then crashes or hangs CPython 3.11 while the interpreter is torn down
    (facts, Temporal 2.13), so it is not torn down.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def leave_at_the_latest(seconds: float) -> None:
    """End the process after `seconds`, even if the event loop hangs by then."""
    timer = threading.Timer(seconds, leave, [EXIT_FAILED])
    timer.daemon = True
    timer.start()
