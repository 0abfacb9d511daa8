"""The decision of one pass: what of a Workspace is not yet as it should be.

    deleted?           nothing else counts
    spec can't be      problem, nothing is touched; what runs goes on running
    no place for it    problem, likewise
    otherwise          the steps that are not done, in order; none at all when all is well

Every fact is judged afresh; nothing is remembered from an earlier plan. So a plan made twice from
the same world is the same plan, and one whose steps were carried out has none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from api.errors import (
    InsufficientCapacity,
    InvalidWorkspace,
    MissingReference,
    ProviderFailed,
    trim,
)
from api.names import FINALIZER_WORKSPACE, GPU_RESOURCE
from api.payloads import (
    FailedOffer,
    Offer,
    Parallelism,
    Problem,
    RolloutMode,
    Step,
    StepDeadlines,
    WorkspacePlan,
)
from api.preset import Catalogue, Preset
from api.workspace import CapacityType, Workspace
from planner.availability import unavailable
from planner.candidates import candidates_of, capacity_types, price_of
from planner.choice import Choice, Chooser, home_of
from planner.edit_effect import Wish
from planner.node_matching import NodeNeed, explain_shortage, requirements_of
from planner.offers import exhausted, offers_of
from planner.options import Option, Served, wanted_types
from planner.placement import Placement
from planner.pod_facts import gpu_request
from planner.render.resources import device_resource
from planner.render.services import wants_load_balancer
from planner.render.serving import require_preset, runtime_of
from planner.revision import revision_hash
from planner.rollout import Transition, changes_of
from planner.serving_config import read_serving_config
from planner.steps import stale_revisions, steps_left
from planner.times import in_utc
from planner.validation import validate, warnings
from planner.world import NodeFacts, PlatformSettings, World

_NO_CATALOGUE: Final = Catalogue.of((), ())

_WAYS_TO_PAY: Final = (CapacityType.ON_DEMAND, CapacityType.SPOT)


@dataclass(frozen=True)
class Recorded:
    """An earlier revision that is planned in the stead of the one that the spec asks for."""

    revision: str
    """Its name is not made anew: another version of the platform may have recorded it."""
    spec_revision: str
    """The one that the spec asks for."""


def plan(
    workspace: Workspace,
    world: World,
    preset: Preset | None,
    settings: PlatformSettings,
    catalogue: Catalogue | None = None,
    *,
    failed_offers: Sequence[FailedOffer] = (),
    serving: Wish | None = None,
    recorded: Recorded | None = None,
) -> WorkspacePlan:
    """Return what must be done for the Workspace, or why nothing can be.

    Args:
        workspace: As it is in the cluster now, or as `recorded` tells.
        world: Everything that was observed for it.
        preset: Its model, of the catalogue or of Hugging Face; None when it names none or an
            unknown one.
        settings: What the operator of the platform decided.
        catalogue: Knows instance types; without it none is called unknown.
        failed_offers: What the operation asked for in vain; it is not asked for again.
        serving: What the active revision was made from, where that is recorded.
        recorded: Whose spec `workspace` has; None when it has its own.
    """
    base = WorkspacePlan(
        found=True,
        uid=workspace.uid,
        generation=workspace.generation,
        active_revision=_active_revision(workspace, world),
        recorded=list(world.recorded),
    )
    if workspace.is_deleting:
        # Validity does not matter any more: nothing may make an object undeletable.
        is_released = not workspace.has_finalizer(FINALIZER_WORKSPACE)
        return base.model_copy(update={"deleting": True, "released": is_released})
    problem = _refusal(workspace, world, preset, settings, catalogue)
    if problem is not None:
        return base.model_copy(update={"problem": problem})
    try:
        known = catalogue or _NO_CATALOGUE
        case = _Case(
            workspace,
            world,
            preset,
            settings,
            known,
            failed_offers=failed_offers,
            serving=serving,
            recorded=recorded,
        )
    except InvalidWorkspace as error:
        # No rule says so, and still it can't be carried out.
        problem = Problem(reason=error.reason(), message=trim(str(error)))
        return base.model_copy(update={"problem": problem})
    return base.model_copy(update=case.decide(base.active_revision))


def _active_revision(workspace: Workspace, world: World) -> str:
    if world.service is None or world.service.workspace_uid != workspace.uid:
        return ""
    return world.service.active_revision


def _refusal(
    workspace: Workspace,
    world: World,
    preset: Preset | None,
    settings: PlatformSettings,
    catalogue: Catalogue | None,
) -> Problem | None:
    """Return why the spec can't be carried out, whatever nodes there are."""
    violations = validate(workspace, preset, settings, catalogue, config_text=world.config_text)
    violations = violations or unavailable(workspace, settings)
    if violations:
        # One sentence per violation, in the order of the rules, so that the message is stable.
        sentences = (one.sentence for one in violations)
        return Problem(reason=violations[0].error.reason(), message=trim(" | ".join(sentences)))
    if not world.missing:
        return None
    message = (
        f"{', '.join(sorted(world.missing))} does not exist; create it and send the signal "
        "`retry`, or change the Workspace so that it does not name it"
    )
    return Problem(reason=MissingReference.reason(), message=trim(message))


class _Case:
    """A Workspace that is as it may be, and what its plan is made from."""

    def __init__(
        self,
        workspace: Workspace,
        world: World,
        preset: Preset | None,
        settings: PlatformSettings,
        catalogue: Catalogue,
        *,
        failed_offers: Sequence[FailedOffer],
        serving: Wish | None,
        recorded: Recorded | None,
    ) -> None:
        """Look at everything that does not depend on nodes.

        Raises:
            InvalidWorkspace: the model, or the way to serve it, is not known.
        """
        self.workspace, self.world, self.settings = workspace, world, settings
        self.catalogue, self.preset, self.failed_offers = catalogue, preset, failed_offers
        self.served: Served | None = None
        if workspace.inference is None or workspace.inference.template is None:
            known = require_preset(workspace, preset)
            runtime = runtime_of(workspace, known)
            config = read_serving_config(world.config_text)
            self.served = Served(workspace, known, runtime, config, settings, catalogue)
        self.serving, self.recorded = serving, recorded
        if recorded is not None:
            self.revision = recorded.revision
        else:
            self.revision = str(revision_hash(workspace, preset, world.config_text, settings))
        active_revision = _active_revision(workspace, world)
        self.transition = Transition.of(workspace, world, self.revision, active_revision)
        taken = self.transition.others_requests(world)
        self.room = replace(world, gpu_requests=taken)
        """The world as it is for new pods: what serves beside them has its devices."""

    def decide(self, active_revision: str) -> dict[str, Any]:
        """Return the fields of the plan."""
        options = self._options()
        is_surge = self.transition.mode is RolloutMode.SURGE
        active = self.transition.active_revision
        chooser = Chooser(
            self.room,
            self.settings,
            self.revision,
            self._need,
            self._judge,
            self._offers,
            self._all_offers,
            self.failed_offers,
            self.world.own_gpu_requests.get(active, {}) if is_surge else {},
        )
        choice = chooser.choose(options)
        candidates = candidates_of(
            options, self.workspace, self.settings, self.catalogue, self.failed_offers
        )
        if choice is None:
            return {
                "problem": _why_no_option(options),
                "candidates": candidates,
                "spec_revision": self.spec_revision,
            }
        steps = list(
            steps_left(
                self.world,
                self.transition,
                active_revision,
                choice.need,
                choice.placement,
                has_endpoint=self.served is not None,
                is_public=wants_load_balancer(self.workspace),
            )
        )
        problem = choice.option.problem or self._shortage(choice) or _why_held(choice, steps)
        if choice.is_exhausted:
            problem = exhausted(candidates, self.failed_offers)
        return {
            **self._said(choice),
            "candidates": candidates,
            "problem": problem,
            "steps": [] if problem else steps,
            "instance_type": choice.option.instance_type,
            "node_count": choice.option.node_count,
            "replicas": choice.option.node_count,
            "claims": list(choice.placement.claims),
            "existing_nodes": list(choice.placement.existing_nodes),
            "surplus_claims": list(choice.placement.surplus_claims),
            "lost_claims": sorted(choice.losses.replaced),
            "look_again_at": choice.losses.look_again_at,
            "offer": choice.offer if choice.placement.claims else None,
            "may_fall_back": choice.offer is not None and self._is_nobody_at_home(choice.placement),
        }

    @property
    def spec_revision(self) -> str:
        """Return the revision that the spec asks for, whichever is planned."""
        return self.recorded.spec_revision if self.recorded is not None else self.revision

    def _is_nobody_at_home(self, placement: Placement) -> bool:
        """Return whether claims are planned, and no pod is bound to a node of the placement."""
        world, planned = self.world, {claim.name for claim in placement.claims}
        nodes = {claim.node_name for claim in world.claims if claim.name in planned}
        nodes |= set(placement.existing_nodes)
        homes = {name for one in world.workloads if one.has_home for name in one.node_names}
        return bool(planned) and not nodes & homes

    def _offers(self, option: Option) -> Iterator[Offer]:
        paid = capacity_types(self.workspace, self.settings)
        return offers_of(option.instance_type, paid, self.catalogue)

    def _all_offers(self, option: Option) -> Iterator[Offer]:
        paid = dict.fromkeys([*capacity_types(self.workspace, self.settings), *_WAYS_TO_PAY])
        return offers_of(option.instance_type, tuple(paid), self.catalogue)

    def _said(self, choice: Choice) -> dict[str, Any]:
        """Return what the plan says of the revision and of the model on its nodes."""
        workspace, preset, world = self.workspace, self.preset, self.world
        sizing = choice.option.sizing
        new_nodes = len(choice.placement.claims)
        paid = capacity_types(workspace, self.settings)[0]
        if choice.offer is not None:
            paid = CapacityType(choice.offer.capacity_type)
        return {
            "revision": self.revision,
            "spec_revision": self.spec_revision,
            "adopted": self._is_adopted(),
            "stale_revisions": stale_revisions(world, self.revision),
            **self._rollout(choice),
            "preset": preset.name if preset else "",
            "served_model_name": preset.name if preset else "",
            "runtime": self.served.runtime.name if self.served else "",
            "deadlines": self._deadlines(choice),
            "parallelism": sizing.parallelism if sizing else Parallelism(),
            "budget": sizing.budget if sizing else None,
            "usd_per_hour": price_of(choice.option.instance_type, paid, new_nodes, self.catalogue),
            "warnings": list(dict.fromkeys(self._warnings(choice))),
        }

    def _is_adopted(self) -> bool:
        """Return whether finalizer and record are in place.

        A revision that is asked for again is recorded as the newest one. One that is brought back
        is not: the spec asks for another.
        """
        names = [one.revision for one in self.world.recorded]
        known = names if self.recorded is not None else names[:1]
        return self.workspace.has_finalizer(FINALIZER_WORKSPACE) and self.revision in known

    def _rollout(self, choice: Choice) -> dict[str, Any]:
        wanted = Wish(self.workspace, self.world.config_text)
        changes = changes_of(self.serving, wanted) if self.transition.replaces else []
        found = self.transition.said(
            self.workspace, self.world.recorded, self._deadlines(choice), changes
        )
        if self.recorded is not None:
            # Nobody needs to agree to what was agreed to once.
            found["requires_approval"] = False
        return found

    def _options(self) -> list[Option]:
        if self.served is not None:
            return self.served.options(self.world.nodes, home_of(self.world, self.revision))
        # Pods of the user's own say themselves what they need of a node.
        count = self.workspace.resource.count
        types = wanted_types(self.workspace, self.settings) or [""]
        return [Option(instance_type, count) for instance_type in types]

    def _judge(self, option: Option, nodes: Sequence[NodeFacts]) -> Option:
        if self.served is None:
            return option
        return self.served.option_on(option, nodes, self.world.nodes)

    def _need(self, option: Option) -> NodeNeed:
        resource, inference = self.workspace.resource, self.workspace.inference
        template = inference.template if inference is not None else None
        return NodeNeed(
            workspace_uid=self.workspace.uid,
            count=option.node_count,
            instance_type=option.instance_type,
            requirements=requirements_of(self.workspace),
            preferred_nodes=frozenset(resource.preferred_nodes),
            gpus=option.sizing.gpus_per_pod if option.sizing else gpu_request(template or {}),
            device=device_resource(self.workspace) if option.sizing else GPU_RESOURCE,
            unfit_nodes=option.unfit_nodes,
        )

    def _shortage(self, choice: Choice) -> Problem | None:
        placement, world = choice.placement, self.room
        if placement.missing_count <= 0:
            return None
        chosen = [*placement.existing_nodes, *(claim.name for claim in placement.claims)]
        message = explain_shortage(world.nodes, choice.need, world.gpu_requests, chosen)
        if self.transition.mode is RolloutMode.SURGE:
            serving = self.transition.active_revision
            message = (
                f"rollout.strategy: Surge needs nodes beside those of revision {serving}; set it "
                f"to InPlace, or: {message}"
            )
        return Problem(reason=InsufficientCapacity.reason(), message=trim(message))

    def _warnings(self, choice: Choice) -> Iterator[str]:
        option = choice.option
        if choice.losses.problem:
            yield choice.losses.problem
        count = self.workspace.resource.count
        if option.node_count != count:
            yield (
                f"resource.count is {count}, and one instance of the model takes "
                f"{option.node_count} nodes: so many are taken"
            )
        yield from option.warnings
        yield from warnings(
            self.workspace,
            self.preset,
            self.settings,
            self.catalogue,
            config_text=self.world.config_text,
        )

    def _deadlines(self, choice: Choice) -> StepDeadlines:
        found: dict[str, int] = {}
        rollout = self.workspace.rollout
        if rollout is not None and rollout.progress_deadline_seconds:
            found["workload_seconds"] = rollout.progress_deadline_seconds
        elif self.preset is not None:
            found["workload_seconds"] = self.preset.ready_deadline_seconds
        now, look_again_at = self.world.now, choice.losses.look_again_at
        if now is not None and look_again_at is not None and look_again_at > in_utc(now):
            # Whoever waits for a node that may be lost must not wait longer than until it is.
            left = math.ceil((look_again_at - in_utc(now)).total_seconds())
            found["nodes_seconds"] = min(StepDeadlines().nodes_seconds, left + 1)
        return StepDeadlines(**found)


def _why_held(choice: Choice, steps: Sequence[Step]) -> Problem | None:
    """Return why nothing goes on while lost nodes are kept; None where they serve all the same."""
    if not choice.losses.problem or Step.NODES not in steps:
        return None
    return Problem(reason=ProviderFailed.reason(), message=trim(choice.losses.problem))


def _why_no_option(options: Sequence[Option]) -> Problem | None:
    """Return the first option's problem: it is the one that the user wants."""
    problems = [option.problem for option in options if option.problem is not None]
    if len(problems) < 2:  # noqa: PLR2004 - nothing to join
        return problems[0] if problems else None
    message = " | ".join(problem.message for problem in problems)
    return Problem(reason=problems[0].reason, message=trim(message))
