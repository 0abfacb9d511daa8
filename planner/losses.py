"""Which claims of a Workspace are lost with their nodes, and which of those are replaced now.

How a plan uses it: `losses(world, need)` judges every claim. Placement gives none of `replaced` a
slot, and none of their indices to a new claim; so another claim is asked for in their stead, and
they are among the surplus, which is given back once the workload has moved. The plan lists them
as `lost_claims`. Those of `held` keep their slots, because too many nodes were replaced within the
hour, and `problem` says so. `look_again_at` is when a suspect may be lost: look then.

Where most nodes are silent, none is called lost for its silence: that is an outage of the network
or of the cluster, and new nodes would be silent as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from api import names
from planner.node_health import Healthy, Lost, Suspect, Verdict, is_over, verdict
from planner.node_matching import NodeNeed
from planner.times import LATEST, in_utc, later
from planner.world import ClaimFacts, NodeFacts, NodeFault, World

NODE_GONE_SECONDS: Final = 120.0
"""2 min without a Node object: one that was deleted by mistake is back once its kubelet restarts (a
guess; nothing else brings it back)."""

REPLACEMENTS_PER_HOUR: Final = 3
"""A guess: a cloud that takes a machine back every 20 min is no place to serve from, and a fault
that follows the workload to its fourth node is not the nodes' fault."""

BUDGET_WINDOW_SECONDS: Final = 3600.0

OUTAGE_SHARE: Final = 0.55
OUTAGE_NODES: Final = 3
"""From 3 silent nodes on that are more than 55 % of all, Kubernetes' own node lifecycle controller
speaks of a disruption, too, and stops evicting (--unhealthy-zone-threshold)."""

_BUDGET_SPENT: Final = (
    f"no more than {REPLACEMENTS_PER_HOUR} nodes of a Workspace are replaced within an hour"
)


@dataclass(frozen=True)
class Losses:
    """What became of the claims of one Workspace, by claim name."""

    replaced: Mapping[str, Lost] = field(default_factory=dict)
    """Not to be used any more."""
    held: Mapping[str, Lost] = field(default_factory=dict)
    """Lost as well, but used on: the budget of replacements is spent."""
    problem: str = ""
    """Why some are held; empty when none is. It holds no time, so that it stays the same."""
    look_again_at: datetime | None = None
    """The next moment at which a verdict may change by time alone."""


def losses(world: World, need: NodeNeed) -> Losses:
    """Return which of a Workspace's claims are lost, and which of them may be replaced.

    Args:
        world: What was observed, and what this process remembers of it (`activities/workspace/
            sightings.py`).
        need: What the Workspace needs of its nodes, and how many.
    """
    verdicts = dict(_claim_verdicts(world, need))
    lost = {name: one for name, one in verdicts.items() if isinstance(one, Lost)}
    dues = [one.due_at for one in verdicts.values() if isinstance(one, Suspect)]
    look_again_at = min((due for due in dues if due is not None), default=None)
    living = [one for one in world.claims if not one.is_deleting and one.name not in lost]
    missing_count = max(0, need.count - len(living))
    allowed_count = budget_left(world.claims, need.count, world.now, world.gone_claims)
    # What has a replacement already costs nothing more. First go those that serve nothing any more,
    # and the oldest: of a claim and its lost replacement, the workload moved to the second.
    made = {claim.name: _made_at(claim) for claim in world.claims}
    order = sorted(lost, key=lambda name: (_still_answers(lost[name].fault), made[name], name))
    replaced_count = len(order) - max(0, min(missing_count, len(order)) - allowed_count)
    held = {name: lost[name] for name in order[replaced_count:]}
    return Losses(
        replaced={name: lost[name] for name in order[:replaced_count]},
        held=held,
        problem=_why_held(held.values()),
        look_again_at=look_again_at,
    )


def recent_claims(
    claims: Iterable[ClaimFacts], known: Mapping[str, datetime], now: datetime
) -> dict[str, datetime]:
    """Return when claims were made that came up and count against the budget, by uid.

    Args:
        claims: Of the Workspace, that are there now.
        known: What was returned the last time; of it, those that are gone still count.
        now: When.
    """
    oldest = in_utc(now) - timedelta(seconds=BUDGET_WINDOW_SECONDS)
    made = {uid: in_utc(at) for uid, at in known.items()}
    for claim in claims:
        if claim.created_at is not None and (claim.is_initialized or claim.is_ready):
            made[claim.uid or claim.name] = in_utc(claim.created_at)
    # Sorted, so that the same claims are the same payload.
    return {uid: at for uid, at in sorted(made.items()) if at > oldest}


def gone_claims(
    claims: Iterable[ClaimFacts], recent: Mapping[str, datetime]
) -> tuple[datetime, ...]:
    """Return when those of the recent claims were made that are not there any more."""
    there = {claim.uid or claim.name for claim in claims}
    return tuple(at for uid, at in sorted(recent.items()) if uid not in there)


def budget_left(
    claims: Iterable[ClaimFacts], count: int, now: datetime | None, gone: Sequence[datetime] = ()
) -> int:
    """Return how many claims may still be made as replacements.

    In any hour no more come up than the Workspace needs and `REPLACEMENTS_PER_HOUR` beyond. Those
    that never came up are not counted: they cost nothing, and falling back has its own limits.

    Args:
        claims: Of the Workspace, being deleted or not.
        count: Nodes that the Workspace needs.
        now: None: nothing is judged by time, so nothing is forbidden.
        gone: When claims were made that came up and are gone.
    """
    allowance = max(0, count) + REPLACEMENTS_PER_HOUR
    if now is None:
        return allowance
    made = [one.created_at for one in claims if one.is_initialized or one.is_ready]
    window = timedelta(seconds=BUDGET_WINDOW_SECONDS)
    young = [
        one for one in (*made, *gone) if one is not None and in_utc(now) - in_utc(one) < window
    ]
    return max(0, allowance - len(young))


def _claim_verdicts(world: World, need: NodeNeed) -> Iterator[tuple[str, Verdict]]:
    claims = [one for one in world.claims if one.node_name and not one.is_deleting]
    if not claims:
        return
    nodes = {node.name: node for node in world.nodes}
    silent_count = sum(not node.is_ready for node in world.nodes)
    is_outage = silent_count >= OUTAGE_NODES and silent_count > OUTAGE_SHARE * len(nodes)
    for claim in claims:
        found = _of_claim(claim, nodes, world, need)
        if is_outage and isinstance(found, Lost) and found.fault is NodeFault.UNREACHABLE:
            found = Suspect(found.fault, found.sentence)
        yield claim.name, found


def _of_claim(
    claim: ClaimFacts, nodes: Mapping[str, NodeFacts], world: World, need: NodeNeed
) -> Verdict:
    node = nodes.get(claim.node_name)
    if claim.is_initialized or claim.is_ready:
        if node is not None:
            return verdict(node, world.now, expected=_expected(claim, need))
        # Where no node is known at all, the list of nodes is what is missing.
        return _absent(claim, world) if nodes else Healthy()
    # Until it came up once, its own workflow's deadlines count, and what it will show is open: only
    # what is certain at once is lost, and there is no moment at which to look again.
    found = Healthy() if node is None else verdict(node, None)
    return Suspect(found.fault, found.sentence) if isinstance(found, Suspect) else found


def _expected(claim: ClaimFacts, need: NodeNeed) -> int:
    """Return how many GPUs the claim's node is known to have had; 0 where that is not known."""
    is_of_type = claim.instance_type.casefold() == need.instance_type.casefold()
    return need.gpus if is_of_type and need.device == names.GPU_RESOURCE else 0


def _absent(claim: ClaimFacts, world: World) -> Verdict:
    sentence = f"node {claim.node_name} is gone"
    since = world.absent_nodes.get(claim.node_name)
    if since is None:
        return Suspect(NodeFault.REMOVED, sentence)
    due_at = later(in_utc(since), NODE_GONE_SECONDS)
    if is_over(due_at, world.now):
        return Lost(NodeFault.REMOVED, sentence)
    return Suspect(NodeFault.REMOVED, sentence, since, due_at)


def _why_held(held: Iterable[Lost]) -> str:
    causes = " | ".join(one.sentence for one in held)
    return f"{causes}; kept for now: {_BUDGET_SPENT}" if causes else ""


def _made_at(claim: ClaimFacts) -> datetime:
    return LATEST if claim.created_at is None else in_utc(claim.created_at)


def _still_answers(fault: NodeFault) -> bool:
    return fault not in {NodeFault.REMOVED, NodeFault.PREEMPTED, NodeFault.UNREACHABLE}
