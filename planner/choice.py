"""The kind of nodes that a Workspace runs on, and the nodes themselves.

New nodes can be had of any kind, so the first that will do is taken. Of existing nodes there are as
many as there are: the first kind of which there are enough is taken, and a workload that is at home
on some nodes stays on their kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from planner.node_matching import NodeNeed
from planner.options import Option
from planner.placement import Placement, place
from planner.world import NodeFacts, PlatformSettings, World


@dataclass(frozen=True)
class Choice:
    """One kind of nodes, what is needed of it, and which nodes those are."""

    option: Option
    need: NodeNeed
    placement: Placement


@dataclass(frozen=True)
class Chooser:
    """What a choice is made by."""

    world: World
    settings: PlatformSettings
    revision: str
    need_of: Callable[[Option], NodeNeed]
    judge: Callable[[Option, list[NodeFacts]], Option]
    """Returns the option as the nodes that were chosen for it make it."""

    def choose(self, options: Iterable[Option]) -> Choice | None:
        """Return the choice; None when there is a problem with every option."""
        usable = [option for option in options if option.problem is None]
        if not usable:
            return None
        if self.settings.provisions_nodes:
            return self._attempt(usable[0])
        attempts = [
            self._settled(self._attempt(option))
            for option in sorted(usable, key=self._is_elsewhere)
        ]
        enough = (one for one in attempts if one.placement.missing_count <= 0)
        return next(enough, attempts[0])

    def _attempt(self, option: Option) -> Choice:
        need = self.need_of(option)
        provisions = self.settings.provisions_nodes
        placement = place(need, self.world, self.revision, provisions_nodes=provisions)
        return Choice(option, need, placement)

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


def home_of(world: World, revision: str) -> frozenset[str]:
    """Return the names of the nodes that the revision runs on, else those of earlier ones."""
    alive = [one for one in world.workloads if not one.is_deleting]
    current = [one for one in alive if one.revision == revision]
    return frozenset(name for one in current or alive for name in one.node_names)
