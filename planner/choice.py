"""The kind of nodes that a Workspace runs on, and the nodes themselves.

New nodes can be asked for as any kind, so the first offer that will do, and that was not asked for
in vain, is taken. Of existing nodes there are as many as there are: the first kind of which there
are enough is taken. A workload that is at home on some nodes stays on their kind, and on their
offer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from api.payloads import FailedOffer, Offer
from planner.losses import Losses, losses
from planner.node_matching import NodeNeed
from planner.offers import failure_of
from planner.options import Option
from planner.placement import Placement, place
from planner.world import NodeFacts, PlatformSettings, World


@dataclass(frozen=True)
class Choice:
    """One kind of nodes, what is needed of it, and which nodes those are."""

    option: Option
    need: NodeNeed
    placement: Placement
    offer: Offer | None = None
    """What new nodes are asked for as; None where none are made."""
    losses: Losses = field(default_factory=Losses)
    """What became of the nodes that the Workspace had."""
    is_exhausted: bool = False
    """Every offer was asked for in vain; this one is the first."""


@dataclass(frozen=True)
class Chooser:
    """What a choice is made by."""

    world: World
    settings: PlatformSettings
    revision: str
    need_of: Callable[[Option], NodeNeed]
    judge: Callable[[Option, list[NodeFacts]], Option]
    """Returns the option as the nodes that were chosen for it make it."""
    offers_of: Callable[[Option], Iterable[Offer]]
    """Returns what new nodes of the option may be asked for as, in the order of trying."""
    all_offers_of: Callable[[Option], Iterable[Offer]]
    """The same, and those that were once allowed: what runs may run on one of them."""
    failed_offers: Sequence[FailedOffer] = ()
    occupied_requests: Mapping[str, int] = field(default_factory=dict)
    """Devices that an earlier revision keeps until this one answers, by node name."""

    def choose(self, options: Iterable[Option]) -> Choice | None:
        """Return the choice; None when there is a problem with every option."""
        usable = [option for option in options if option.problem is None]
        if not usable:
            return None
        if self.settings.provisions_nodes:
            return self._offered(usable)
        attempts = [
            self._settled(self._attempt(option))
            for option in sorted(usable, key=self._is_elsewhere)
        ]
        enough = (one for one in attempts if one.placement.missing_count <= 0)
        return next(enough, attempts[0])

    def _offered(self, usable: Sequence[Option]) -> Choice:
        offers = [(option, offer) for option in usable for offer in self.offers_of(option)]
        at_home = self._at_home(usable)
        if at_home is not None:
            return at_home
        for option, offer in offers:
            if failure_of(offer, self.failed_offers) is None:
                return self._attempt(option, offer)
        return replace(self._attempt(*offers[0]), is_exhausted=True)

    def _at_home(self, usable: Iterable[Option]) -> Choice | None:
        """Return the choice that keeps most of the nodes that the revision runs on, if any does.

        Another way to pay counts for the next node that is made, so here it does not matter.
        """
        home = _home_of_current(self.world, self.revision)
        if not home:
            return None
        best, most = None, 0
        for option in usable:
            for offer in self.all_offers_of(option):
                choice = self._attempt(option, offer)
                kept = len(home & self._nodes_of(choice))
                if kept == len(home):
                    return choice
                if kept > most:
                    best, most = choice, kept
        return best

    def _nodes_of(self, choice: Choice) -> frozenset[str]:
        taken = {claim.name for claim in choice.placement.claims}
        claimed = (claim.node_name for claim in self.world.claims if claim.name in taken)
        return frozenset([*choice.placement.existing_nodes, *claimed])

    def _attempt(self, option: Option, offer: Offer | None = None) -> Choice:
        need = self.need_of(option)
        provisions = self.settings.provisions_nodes
        found = losses(self.world, need)
        placement = place(
            need,
            self.world,
            self.revision,
            provisions_nodes=provisions,
            offer=offer,
            lost_claims=found.replaced,
            occupied_nodes=self._occupied(need),
        )
        return Choice(option, need, placement, offer, found)

    def _occupied(self, need: NodeNeed) -> frozenset[str]:
        """Return the names of nodes on which pods that go on serving leave too little room."""
        free = {
            node.name: node.capacity_of(need.device) - self.world.gpu_requests.get(node.name, 0)
            for node in self.world.nodes
        }
        return frozenset(name for name in self.occupied_requests if free.get(name, 0) < need.gpus)

    def _settled(self, choice: Choice) -> Choice:
        """Return the choice with what its nodes really have, which may be more than it counts on.

        Manifests are made from what the nodes have; the plan must come to the same.
        """
        while not choice.option.instance_type and choice.option.sizing is not None:
            chosen = set(choice.placement.existing_nodes)
            nodes = [node for node in self.world.nodes if node.name in chosen]
            if not nodes:
                break
            judged = self.judge(choice.option, nodes)
            if judged.problem is not None or judged.span >= choice.option.span:
                return Choice(judged, self.need_of(judged), choice.placement)
            # An instance takes fewer nodes. This ends: the number can't sink below 1.
            choice = self._attempt(judged)
        return choice

    def _is_elsewhere(self, option: Option) -> bool:
        """Return whether the option would make the workload leave the nodes that it is at home on.

        Sorting by it is stable: among the others, the better option stays in front.
        """
        home = home_of(self.world, self.revision)
        if option.instance_type:
            wanted = option.instance_type.casefold()
            types = {
                node.instance_type.casefold() for node in self.world.nodes if node.name in home
            }
            return bool(types) and wanted not in types
        return bool(option.unfit_nodes & home)


def _home_of_current(world: World, revision: str) -> frozenset[str]:
    alive = (one for one in world.workloads if one.has_home and one.revision == revision)
    return frozenset(name for one in alive for name in one.node_names)


def home_of(world: World, revision: str) -> frozenset[str]:
    """Return the names of the nodes that the revision runs on, else those of earlier ones."""
    alive = [one for one in world.workloads if one.has_home]
    current = [one for one in alive if one.revision == revision]
    return frozenset(name for one in current or alive for name in one.node_names)
