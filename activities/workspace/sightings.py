"""What this process saw of nodes, and since when: objects alone do not tell.

A Node does not say since when it shows fewer GPUs, a label has no time, and a Node that is gone
says nothing. And what an object does say may be from before the cluster was stopped. So faults
count from when they were seen here, if that is later than what the object says.

It is a memory and no state: whoever forgets it (another worker, a restart) begins to watch anew,
which delays the replacement of a node by at most its deadline, and never makes it earlier. What may
not be forgotten, because forgetting would replace *more*, is in the workflow's state: the claims of
the last hour (`WorkspaceState.recent_claims`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from planner.world import NodeFacts, World

MAX_SUBJECTS: Final = 20_000
"""Nodes and absent nodes that are remembered, about 500 B each; of more, those that
nobody looked at for the longest time are forgotten."""


class Sightings:
    """Remembers since when things are as they are."""

    def __init__(self, max_subjects: int = MAX_SUBJECTS) -> None:
        """Remember nothing yet."""
        self._max_subjects = max_subjects
        self._seen: OrderedDict[str, Mapping[str, datetime]] = OrderedDict()

    def remember(self, world: World) -> World:
        """Return the world with what is remembered of it; without a time, as it is.

        Only nodes that this Workspace's claims or workloads are on are looked at: a cluster may
        have thousands.
        """
        if world.now is None:
            return world
        ours = {claim.node_name for claim in world.claims if claim.node_name}
        of_claims = frozenset(ours)
        ours.update(*(one.node_names for one in world.workloads))
        found = {node.name for node in world.nodes if node.name in ours}
        return replace(
            world,
            nodes=tuple(
                self._node(node, world.now) if node.name in ours else node for node in world.nodes
            ),
            absent_nodes=self._absent(sorted(of_claims - found), found, world.now),
        )

    def _node(self, node: NodeFacts, now: datetime) -> NodeFacts:
        mig = ",".join(f"{device}={count}" for device, count in sorted(node.mig_capacity.items()))
        devices = f"devices {node.gpu_capacity} {mig}"
        keys = [devices, *(signal.source for signal in node.signals)]
        seen = self._since(f"node {node.uid or node.name}", keys, now)
        return replace(
            node,
            gpus_since=seen[devices],
            signals=tuple(
                replace(one, since=max(one.since or seen[one.source], seen[one.source]))
                for one in node.signals
            ),
        )

    def _absent(
        self, absent: list[str], present: set[str], now: datetime
    ) -> Mapping[str, datetime]:
        for name in present:
            self._seen.pop(f"absent {name}", None)
        return {name: self._since(f"absent {name}", [""], now)[""] for name in absent}

    def _since(self, subject: str, keys: list[str], now: datetime) -> Mapping[str, datetime]:
        """Return since when each key is true of the subject; what is true no more is forgotten."""
        before = self._seen.get(subject, {})
        seen = {key: min(before.get(key, now), now) for key in keys}
        self._keep(subject, seen)
        return seen

    def _keep(self, subject: str, seen: Mapping[str, datetime]) -> None:
        self._seen.pop(subject, None)
        if seen:
            self._seen[subject] = seen
        while len(self._seen) > self._max_subjects:
            self._seen.popitem(last=False)
