"""The life of an operation as a table: step x outcome -> what comes next.

    nodes -> images -> workload -> endpoint -> traffic -> retire -> Ready
    any step that waits  -> Waiting  (time or an operator mends it; it is tried again by itself)
    any step that blocks -> Failed   (an edit or `retry` mends it)
    nodes that can't be had as planned -> planned anew, with the next offer (workflows/operation.py)
    a new revision that fails -> planned anew, for the last good one (workflows/rollout.py)

A plan names only the steps that are not yet as they should be, so `advance` skips the others:
`retire` in all plans but those of a surge, where what served before goes on until traffic moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from api.payloads import LifecyclePhase, Step
from workflows.outcomes import OutcomeKind

Place = Step | LifecyclePhase
"""Where an operation is: in a step, or in a phase in which no step runs."""

ORDER: Final = (
    Step.NODES,
    Step.IMAGES,
    Step.WORKLOAD,
    Step.ENDPOINT,
    Step.TRAFFIC,
    Step.RETIRE,
)

PHASE_WHILE_RUNNING: Final[dict[Step, LifecyclePhase]] = {
    Step.NODES: LifecyclePhase.PROVISIONING,
    Step.IMAGES: LifecyclePhase.PULLING,
    Step.WORKLOAD: LifecyclePhase.DEPLOYING,
    Step.ENDPOINT: LifecyclePhase.VERIFYING,
    Step.TRAFFIC: LifecyclePhase.VERIFYING,
    Step.RETIRE: LifecyclePhase.VERIFYING,
}
"""What people read while a step runs. Moving traffic takes a moment and gets no word of its own;
Ready means that nothing is left to do."""

TABLE: Final[dict[tuple[Place, OutcomeKind], Place]] = {
    (Step.NODES, OutcomeKind.DONE): Step.IMAGES,
    (Step.NODES, OutcomeKind.WAITING): LifecyclePhase.WAITING,
    (Step.NODES, OutcomeKind.BLOCKED): LifecyclePhase.FAILED,
    (Step.IMAGES, OutcomeKind.DONE): Step.WORKLOAD,
    (Step.IMAGES, OutcomeKind.WAITING): LifecyclePhase.WAITING,
    (Step.IMAGES, OutcomeKind.BLOCKED): LifecyclePhase.FAILED,
    (Step.WORKLOAD, OutcomeKind.DONE): Step.ENDPOINT,
    (Step.WORKLOAD, OutcomeKind.WAITING): LifecyclePhase.WAITING,
    (Step.WORKLOAD, OutcomeKind.BLOCKED): LifecyclePhase.FAILED,
    (Step.ENDPOINT, OutcomeKind.DONE): Step.TRAFFIC,
    (Step.ENDPOINT, OutcomeKind.WAITING): LifecyclePhase.WAITING,
    (Step.ENDPOINT, OutcomeKind.BLOCKED): LifecyclePhase.FAILED,
    (Step.TRAFFIC, OutcomeKind.DONE): Step.RETIRE,
    (Step.TRAFFIC, OutcomeKind.WAITING): LifecyclePhase.WAITING,
    (Step.TRAFFIC, OutcomeKind.BLOCKED): LifecyclePhase.FAILED,
    (Step.RETIRE, OutcomeKind.DONE): LifecyclePhase.READY,
    (Step.RETIRE, OutcomeKind.WAITING): LifecyclePhase.WAITING,
    (Step.RETIRE, OutcomeKind.BLOCKED): LifecyclePhase.FAILED,
}


class IllegalTransition(AssertionError):
    """Something ended that was not running: a bug, which stops the workflow task visibly."""


def following(place: Place, outcome: OutcomeKind) -> Place:
    """Return what the table says, or raise on a pair that can't be."""
    try:
        return TABLE[place, outcome]
    except KeyError:
        raise IllegalTransition(f"{place!r} can't end as {outcome!r}") from None


def advance(step: Step, outcome: OutcomeKind, planned: Sequence[Step]) -> Place:
    """Return the next planned step, or the phase in which the operation stops."""
    if step not in planned:
        raise IllegalTransition(f"{step!r} ran without being planned")
    place = following(step, outcome)
    while isinstance(place, Step) and place not in planned:
        place = following(place, OutcomeKind.DONE)
    return place


def first(planned: Sequence[Step]) -> Step:
    """Return where an operation begins, whatever order its plan came in."""
    for step in ORDER:
        if step in planned:
            return step
    raise IllegalTransition("an operation without steps can't begin")
