"""Whether a node is well, suspect or lost.

    notice of its end, deleted, out of service           lost at once
    silent, GPUs gone, GPU fault reported by an agent    suspect, and lost when it stays so
    anything milder                                      suspect for as long as it lasts
    anything that nobody here understands                no matter

Time counts for as long as the fault has lasted *and* this process has watched it
(`activities/workspace/sightings.py`), so a cluster that was stopped for a night, and whose nodes
report a night of silence when it starts, has the whole deadline to come back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from planner.times import LATEST, in_utc, later
from planner.world import NodeFacts, NodeFault, NodeSignal, SignalWeight

NODE_LOST_SECONDS: Final = 600.0
"""10 min of not being ready. Karpenter's provider for Azure waits as long, EKS 30 min; AKS itself
restarts a node that is not ready after some minutes, and has time to succeed
(https://learn.microsoft.com/azure/aks/node-auto-repair)."""

GPU_FAULT_SECONDS: Final = 600.0
"""10 min of a reported GPU fault: what EKS and Karpenter wait for AcceleratedHardwareReady
(https://docs.aws.amazon.com/eks/latest/userguide/node-repair.html)."""

GPUS_MISSING_SECONDS: Final = 600.0
"""10 min of showing fewer GPUs. The kubelet itself gives a device plugin 5 min to come back
(endpointStopGracePeriod in kubelet/cm/devicemanager); an upgrade of the driver takes longer (a
guess)."""

_DEADLINES: Final[Mapping[NodeFault, float]] = {
    NodeFault.UNREACHABLE: NODE_LOST_SECONDS,
    NodeFault.GPU_MISSING: GPUS_MISSING_SECONDS,
}
"""Of all other faults: `GPU_FAULT_SECONDS`."""


@dataclass(frozen=True)
class Healthy:
    """Nothing that is known is wrong with the node."""


@dataclass(frozen=True)
class Suspect:
    """Something is wrong, and the node is used nevertheless."""

    fault: NodeFault
    sentence: str
    since: datetime | None = None
    due_at: datetime | None = None
    """When the node is lost if nothing changes; None: never, or nobody knows since when."""


@dataclass(frozen=True)
class Lost:
    """The node is not to be used any more."""

    fault: NodeFault
    sentence: str


Verdict = Healthy | Suspect | Lost


def verdict(node: NodeFacts, now: datetime | None, *, expected: int = 0) -> Verdict:
    """Return how a node is. Raises nothing, whatever the facts.

    Args:
        node: As it was observed.
        now: When; None judges nothing by time, so that only what is certain at once is lost.
        expected: GPUs that it is known to have had; 0 where nobody knows.
    """
    if node.is_out_of_service:
        return Lost(NodeFault.REMOVED, f"node {node.name} was declared out of service")
    if node.is_deleting:
        return Lost(NodeFault.REMOVED, f"node {node.name} is being deleted")
    worries: list[Suspect] = []
    for signal in (*node.signals, *_shortage(node, expected)):
        if signal.weight is SignalWeight.NOTICE:
            return Lost(signal.fault, f"node {node.name} is taken away: {signal.source}")
        worries.append(_worry(node, signal))
    overdue = [one for one in worries if is_over(one.due_at, now)]
    if overdue:
        return Lost(overdue[0].fault, overdue[0].sentence)
    if not worries and not node.is_ready:
        return Suspect(NodeFault.UNREACHABLE, f"node {node.name} is not ready")
    # Those that may end the node come first, and of them the one that does so first.
    worries.sort(key=lambda one: (one.due_at is None, one.due_at or LATEST))
    return worries[0] if worries else Healthy()


def sickness(node: NodeFacts) -> str:
    """Return what may end a node that is ready, whatever the time; empty when nothing may.

    A workload that is on it waits for the deadline; one that has yet to begin begins elsewhere. So
    it does not matter since when, which nobody knows of nodes that are not in use. Warnings are no
    sickness, and the name of the node is not in the sentence: it groups nodes.
    """
    if node.is_deleting or node.is_out_of_service:
        return "it is going away"
    for signal in (*node.signals, *_shortage(node, 0)):
        if signal.weight is not SignalWeight.WARNING:
            return f"{signal.fault}, {signal.source}"
    return ""


def _shortage(node: NodeFacts, expected: int) -> Iterator[NodeSignal]:
    """Yield a signal where a node that answers shows fewer GPUs than it has."""
    had = max(expected, node.gpu_total)
    if node.is_ready and node.gpu_capacity < had:
        source = f"it shows {node.gpu_capacity} of {had} GPUs"
        yield NodeSignal(NodeFault.GPU_MISSING, SignalWeight.FAULT, source, node.gpus_since)


def _worry(node: NodeFacts, signal: NodeSignal) -> Suspect:
    sentence = f"node {node.name}: {signal.fault}, {signal.source}"
    if signal.fault is NodeFault.UNREACHABLE:
        sentence = f"node {node.name} is not ready"
    since = None if signal.since is None else in_utc(signal.since)
    due_at = None
    if since is not None and signal.weight is SignalWeight.FAULT:
        due_at = later(since, _DEADLINES.get(signal.fault, GPU_FAULT_SECONDS))
    return Suspect(signal.fault, sentence, since, due_at)


def is_over(due_at: datetime | None, now: datetime | None) -> bool:
    """Return whether a deadline has passed, as far as there is one and a time to judge by."""
    return due_at is not None and now is not None and due_at <= in_utc(now)
