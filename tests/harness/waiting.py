"""Waiting for real processes: by asking again, with a deadline and a message."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

POLL_SECONDS = 0.05

_T = TypeVar("_T")


async def eventually(
    ask: Callable[[], Awaitable[_T]],
    *,
    seconds: float = 30.0,
    what: str,
    accept: Callable[[_T], bool] = bool,
) -> _T:
    """Return the first answer that is accepted; fail with the last one after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = await ask()
        if accept(answer):
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds} s; last: {answer!r}")
        await asyncio.sleep(POLL_SECONDS)
