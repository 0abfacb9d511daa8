"""A request to a provider that must end before anything else is done about its machine.

A provider may take a minute to answer. Meanwhile the activity beats, and who cancels it waits: a
request that was left behind could buy a machine after its end was proven.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from temporalio import activity

from activities.waiting import BEAT_SECONDS

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T], sentence: str) -> T:
    """Return what `work` returns, with heartbeats; a cancellation counts once it has ended.

    Args:
        work: The request; it must have a deadline of its own.
        sentence: For the heartbeats.
    """
    task = asyncio.ensure_future(work)
    is_cancelled = False
    while not task.done():
        activity.heartbeat(sentence)
        try:
            await asyncio.wait({task}, timeout=BEAT_SECONDS)
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled:
        await asyncio.gather(task, return_exceptions=True)
        raise asyncio.CancelledError
    return task.result()
