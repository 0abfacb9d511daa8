"""Which nodes a Workspace runs on: those it is at home on, then what it bought, then free ones.

A placement must be stable before it is clever. Slots are taken in this order, so that a workload
that runs is never moved because another node came up, and a claim that was paid for is used:

1. nodes on which this revision's workload is at home, then those of other revisions;
2. claims that exist already;
3. existing nodes that are free: preferred ones first, then by name;
4. claims yet to be made, with the lowest free indices.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from api import names
from api.payloads import ClaimSpec, Offer
from planner.node_matching import NodeNeed, is_lost_to, refusal
from planner.world import ClaimFacts, NodeFacts, WorkloadFacts, World

MAX_CLAIM_INDEX: Final = 1024
"""Indices to try when a claim's name is looked up: a hundred times the largest sensible count."""

_AT_HOME, _AT_HOME_BEFORE, _BOUGHT, _FREE = range(4)


@dataclass(frozen=True)
class Placement:
    """The nodes to run on."""

    claims: tuple[ClaimSpec, ...] = ()
    """Claims to have, by index; some may have to be made."""
    existing_nodes: tuple[str, ...] = ()
    """Nodes that no claim of ours made, sorted."""
    surplus_claims: tuple[str, ...] = ()
    """Claims of this Workspace that the placement does not use, sorted."""
    missing_count: int = 0
    """Nodes that are needed, are not there, and may not be made."""


@dataclass(frozen=True, order=True)
class _Slot:
    """One place for one pod; smaller is taken first."""

    rank: int
    is_not_preferred: bool
    index: int
    name: str


def place(
    need: NodeNeed,
    world: World,
    revision: str,
    *,
    provisions_nodes: bool,
    offer: Offer | None = None,
    lost_claims: Collection[str] = (),
    occupied_nodes: Collection[str] = (),
) -> Placement:
    """Return where `revision` should run.

    Args:
        need: What it needs, of which nodes.
        world: What was observed.
        revision: That is to run.
        provisions_nodes: Nodes may be asked for.
        offer: What new nodes are asked for as; claims of other offers are not used. Without one:
            on demand, in any zone.
        lost_claims: Names of claims that are not to be used any more. Their indices are not free,
            so that what replaces them has another name.
        occupied_nodes: On which an earlier revision answers until this one does, and leaves no
            room. Claims of them are not used; their indices are not free either.
    """
    offer = offer or Offer(instance_type=need.instance_type)
    homes = _Homes.of(world.workloads, revision, need.count)
    indices = _claim_indices(world.claims, need.workspace_uid, offer)
    occupied = {claim.name for claim in world.claims if claim.node_name in occupied_nodes}
    unusable = {*lost_claims, *occupied}
    usable = {name: index for name, index in indices.items() if name not in unusable}
    slots = sorted([*_claim_slots(world, usable, homes), *_node_slots(world, need, homes)])
    taken = slots[: max(need.count, 0)]
    kept = {slot.name: slot.index for slot in taken if slot.index >= 0}
    missing_count = max(need.count, 0) - len(taken)
    used = {index for name, index in indices.items() if name in kept or name in unusable}
    fresh = list(_fresh_indices(used, missing_count)) if provisions_nodes else []
    claims = [
        ClaimSpec(
            name=_claim_name(need.workspace_uid, offer, index),
            instance_type=offer.instance_type,
            index=index,
            capacity_type=offer.capacity_type,
            zone=offer.zone,
        )
        for index in sorted([*kept.values(), *fresh])
    ]
    return Placement(
        claims=tuple(claims),
        existing_nodes=tuple(sorted(slot.name for slot in taken if slot.index < 0)),
        surplus_claims=tuple(
            sorted(
                claim.name
                for claim in world.claims
                if not claim.is_deleting and claim.name not in {spec.name for spec in claims}
            )
        ),
        missing_count=missing_count - len(fresh),
    )


@dataclass(frozen=True)
class _Homes:
    """Nodes that workloads of this Workspace are bound to."""

    current: frozenset[str]
    earlier: frozenset[str]
    is_settled: bool
    """Every pod of the current workload is ready: its nodes need no second opinion."""

    @classmethod
    def of(cls, workloads: tuple[WorkloadFacts, ...], revision: str, count: int) -> _Homes:
        current: frozenset[str] = frozenset()
        earlier: frozenset[str] = frozenset()
        is_settled = False
        for workload in workloads:
            if not workload.has_home:
                continue
            if workload.revision == revision:
                current = workload.node_names
                is_settled = is_running(workload, count)
            else:
                earlier |= workload.node_names
        return cls(current, earlier - current, is_settled)

    def rank(self, node_name: str, otherwise: int) -> int:
        if node_name in self.current:
            return _AT_HOME
        return _AT_HOME_BEFORE if node_name in self.earlier else otherwise


def is_running(workload: WorkloadFacts, count: int) -> bool:
    """Return whether every wanted pod of the workload runs its newest spec and is ready."""
    return (
        not workload.is_deleting
        and workload.is_current
        and workload.replicas == count
        and workload.ready_replicas >= count
    )


def _claim_name(workspace_uid: str, offer: Offer, index: int) -> str:
    return names.node_claim_name(
        workspace_uid, offer.instance_type, index, offer.capacity_type, offer.zone
    )


def _claim_indices(
    claims: tuple[ClaimFacts, ...], workspace_uid: str, offer: Offer
) -> Mapping[str, int]:
    """Return the index from which each living claim got its name.

    Claims of another offer, or with names that we did not give, are in no index.
    """
    wanted = {claim.name for claim in claims if not claim.is_deleting}
    found: dict[str, int] = {}
    for index in range(MAX_CLAIM_INDEX):
        if len(found) == len(wanted):
            break
        name = _claim_name(workspace_uid, offer, index)
        if name in wanted:
            found[name] = index
    return found


def _claim_slots(world: World, indices: Mapping[str, int], homes: _Homes) -> Iterator[_Slot]:
    for claim in world.claims:
        if claim.name in indices and not claim.is_deleting:
            # A claim that failed is kept too: its cause is shown, and it may succeed any moment.
            rank = homes.rank(claim.node_name, _BOUGHT)
            yield _Slot(rank, is_not_preferred=True, index=indices[claim.name], name=claim.name)


def _node_slots(world: World, need: NodeNeed, homes: _Homes) -> Iterator[_Slot]:
    claimed = {claim.node_name for claim in world.claims}
    for node in world.nodes:
        if node.name in claimed or names.LABEL_WORKSPACE_UID in node.labels:
            continue
        if _may_be_used(node, world, need, homes):
            rank = homes.rank(node.name, _FREE)
            is_not_preferred = node.name not in need.preferred_nodes
            yield _Slot(rank, is_not_preferred=is_not_preferred, index=-1, name=node.name)


def _may_be_used(node: NodeFacts, world: World, need: NodeNeed, homes: _Homes) -> bool:
    if node.name in homes.current:
        if homes.is_settled:
            return not node.is_out_of_service
        return not is_lost_to(node, need, world.gpu_requests)
    return not refusal(node, need, world.gpu_requests)


def _fresh_indices(used: set[int], count: int) -> Iterator[int]:
    return islice((index for index in range(MAX_CLAIM_INDEX) if index not in used), count)
