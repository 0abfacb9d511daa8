"""Runs steps side by side, each as soon as those that it needs are done."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One piece of work."""

    name: str
    action: Callable[[], None]
    needs: tuple[str, ...] = ()


def run(steps: Sequence[Step], cancelled: threading.Event) -> None:
    """Run every step in its order.

    The first failure sets `cancelled`, starts nothing more and is raised at once: the caller ends
    what still runs. Threads are daemons, so a stuck one can't keep the program alive.
    """
    check(steps)
    outcomes: queue.SimpleQueue[tuple[str, BaseException | None]] = queue.SimpleQueue()
    waiting = {step.name: step for step in steps}
    done: set[str] = set()
    running = 0
    while waiting or running:
        for step in startable(waiting.values(), done):
            del waiting[step.name]
            running += 1
            threading.Thread(
                target=_carry_out, args=(step, outcomes), name=step.name, daemon=True
            ).start()
        name, error = outcomes.get()
        running -= 1
        if error is not None:
            cancelled.set()
            raise error
        done.add(name)


def startable(waiting: Iterable[Step], done: set[str]) -> list[Step]:
    """Return the steps whose needs are met."""
    return [step for step in waiting if set(step.needs) <= done]


def check(steps: Sequence[Step]) -> None:
    """Refuse steps that would wait for each other, or for one that is not there."""
    done: set[str] = set()
    waiting = list(steps)
    while waiting:
        ready = startable(waiting, done)
        if not ready:
            raise ValueError(f"these steps can never start: {[step.name for step in waiting]}")
        done |= {step.name for step in ready}
        waiting = [step for step in waiting if step.name not in done]


def _carry_out(step: Step, outcomes: queue.SimpleQueue[tuple[str, BaseException | None]]) -> None:
    try:
        step.action()
    except BaseException as error:  # noqa: BLE001 - handed to the thread that waits, which raises
        outcomes.put((step.name, error))
    else:
        outcomes.put((step.name, None))
