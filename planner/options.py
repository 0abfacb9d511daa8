"""The kinds of nodes that a Workspace could run on, in the order of preference.

    an instance type is wanted        that type, then the fallback types
    existing nodes of any type        what the matching nodes have, fewest nodes first

Each kind is judged by itself: how the model is laid over it, or why it can't be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from api import names
from api.errors import FeatureNotAvailable, InstanceTypeTooSmall, InvalidWorkspace, trim
from api.payloads import Problem
from api.preset import Accelerator, Catalogue, Preset, Runtime
from api.workspace import Workspace
from planner.fit import fit_model
from planner.hardware import (
    accelerator_for,
    accelerator_of,
    least_of,
    matching_nodes,
    partitioned,
    wanted_instance_type,
)
from planner.node_kinds import NodeKinds
from planner.render.serving import runtime_of
from planner.serving_config import ServingConfig, read_serving_config
from planner.sizing import Sizing, size_anyway
from planner.sizing_words import hardware
from planner.world import NodeFacts, PlatformSettings


@dataclass(frozen=True)
class Option:
    """One kind of nodes."""

    instance_type: str
    """Empty for existing nodes of any type."""
    node_count: int
    sizing: Sizing | None = None
    """None when there is a problem, and for pods of the user's own."""
    problem: Problem | None = None
    unfit_nodes: frozenset[str] = frozenset()
    """Names of matching nodes that have less than what was planned with."""
    warnings: tuple[str, ...] = ()

    @property
    def span(self) -> int:
        """Return the nodes that one instance of the model takes."""
        return self.sizing.nodes_per_instance if self.sizing is not None else 1


@dataclass(frozen=True)
class Served:
    """A Workspace's model and the server that is to serve it."""

    workspace: Workspace
    preset: Preset
    runtime: Runtime
    config: ServingConfig
    settings: PlatformSettings
    catalogue: Catalogue

    def options(
        self, nodes: Iterable[NodeFacts], home: frozenset[str] = frozenset()
    ) -> list[Option]:
        """Return every kind of nodes that the spec allows, the best first; at least one.

        Args:
            nodes: All of the cluster.
            home: Names of those that it runs on.
        """
        found = tuple(nodes)
        types = wanted_types(self.workspace, self.settings)
        if not types:
            return self._options_of_nodes(matching_nodes(self.workspace, found), home)
        return [self._option_of_type(one, found) for one in types]

    def option_on(
        self, option: Option, chosen: Iterable[NodeFacts], nodes: Iterable[NodeFacts]
    ) -> Option:
        """Return the option as the chosen nodes make it: they may have more than it counts on.

        Args:
            option: For which they were chosen.
            chosen: Nodes that have at least what it counts on.
            nodes: All of the cluster; those that have less than the chosen ones become unfit.
        """
        least = least_of(chosen, self.catalogue)
        unfit = option.unfit_nodes
        if least is not None:
            found = NodeKinds.of(matching_nodes(self.workspace, nodes), self.catalogue)
            unfit |= found.smaller_than(least)
        return replace(self._option("", self._cut(least)), unfit_nodes=unfit)

    def _option_of_type(self, instance_type: str, nodes: tuple[NodeFacts, ...]) -> Option:
        accelerator = accelerator_of(instance_type, self.catalogue, nodes)
        option = self._option(instance_type, self._cut(accelerator))
        if accelerator is None or self.catalogue.instance_type(instance_type) is not None:
            return option
        warning = (
            f"the catalogue does not know {instance_type}: by the labels of its nodes, each has "
            f"{hardware(accelerator)}"
        )
        return replace(option, warnings=(warning, *option.warnings))

    def _options_of_nodes(self, nodes: list[NodeFacts], home: frozenset[str]) -> list[Option]:
        found = NodeKinds.of(nodes, self.catalogue)
        options = [
            replace(self._option("", self._cut(kind)), unfit_nodes=found.smaller_than(kind))
            for kind in found.kinds(home)
        ]
        options.sort(key=lambda one: (one.problem is not None, one.span))
        if found.unknown or not options:
            options.append(replace(self._option("", None), unfit_nodes=frozenset(found.known)))
        return options

    def _cut(self, accelerator: Accelerator | None) -> Accelerator | None:
        return partitioned(accelerator, self.workspace.resource.partition)

    def _option(self, instance_type: str, accelerator: Accelerator | None) -> Option:
        outcome = self.size_on(accelerator, instance_type)
        if isinstance(outcome, Problem):
            count = self.workspace.resource.count
            return Option(instance_type, count, problem=outcome)
        count = node_count(self.workspace, outcome)
        return Option(instance_type, count, outcome, warnings=outcome.warnings)

    def size_on(self, accelerator: Accelerator | None, called: str = "") -> Sizing | Problem:
        """Return how the model is laid over nodes with these accelerators, or why it can't be."""
        if accelerator is not None and accelerator.vendor not in self.runtime.accelerators:
            message = (
                f"{called or 'the node'} has {accelerator.vendor} accelerators, and "
                f"{self.preset.name} has no {self.runtime.name} image for them in this version"
            )
            return Problem(reason=FeatureNotAvailable.reason(), message=message)
        sizing = fit_model(
            self.workspace,
            self.preset,
            self.runtime,
            accelerator,
            config=self.config,
            settings=self.settings,
        )
        if isinstance(sizing, Sizing):
            return sizing
        if names.ANNOTATION_BYPASS_RESOURCE_CHECKS not in self.workspace.annotations:
            error = InvalidWorkspace if sizing.is_of_settings else InstanceTypeTooSmall
            where = f"{called}: " if called else ""
            message = trim(f"{where}{sizing.message}; {sizing.remedy}")
            return Problem(reason=error.reason(), message=message)
        forced = size_anyway(self.preset, self.runtime, accelerator, self.config)
        if self.catalogue.instance_type(called) is not None:
            # Validation knows the type as well, and warns of it.
            return forced
        bypassed = (
            f"{sizing.message}: it is tried all the same, as the annotation "
            f"{names.ANNOTATION_BYPASS_RESOURCE_CHECKS} asks for"
        )
        return replace(forced, warnings=(bypassed, *forced.warnings))


def sizing_for(
    workspace: Workspace,
    preset: Preset,
    settings: PlatformSettings,
    catalogue: Catalogue,
    *,
    config_text: str | None,
    nodes: Iterable[NodeFacts],
) -> Sizing | Problem:
    """Return how the model is laid over nodes that are chosen: what manifests are made from.

    Args:
        workspace: As the revision recorded it.
        preset: Its model.
        settings: What the operator of the platform decided.
        catalogue: Knows instance types.
        config_text: Content of `inference.config`, as the revision recorded it.
        nodes: Those that the workload runs on, and no others.

    Raises:
        FeatureNotAvailable: the model has no such runtime.
    """
    runtime = runtime_of(workspace, preset)
    config = read_serving_config(config_text)
    accelerator = accelerator_for(workspace, settings, catalogue, nodes)
    return Served(workspace, preset, runtime, config, settings, catalogue).size_on(accelerator)


def wanted_types(workspace: Workspace, settings: PlatformSettings) -> list[str]:
    """Return the instance types in the order of trying; none where any will do."""
    wanted = wanted_instance_type(workspace, settings)
    if not wanted:
        return []
    types = {wanted.casefold(): wanted}
    for fallback in workspace.resource.fallback_instance_types:
        types.setdefault(fallback.casefold(), fallback)
    return list(types.values())


def node_count(workspace: Workspace, sizing: Sizing | None) -> int:
    """Return the nodes that are needed: one a replica, or the parts of the only instance."""
    if sizing is not None and sizing.nodes_per_instance > 1:
        return sizing.nodes_per_instance
    return workspace.resource.count
