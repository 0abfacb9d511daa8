"""A plan as people want to read it before they apply anything: what, where, how and for how much.

The decisions are those of `planner.plan` and `planner.render`, made from the same arguments; here
they are only gathered. So what a preview says is what the platform does.
"""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Final

from api import names
from api.errors import InstanceTypeTooSmall
from api.payloads import InstanceCandidate, MemoryBudget, Problem, WorkspacePlan
from api.preset import Accelerator, AcceleratorVendor, Catalogue, Preset, WeightsKind
from api.workspace import Workspace
from planner.amounts import counted
from planner.availability import unavailable
from planner.edit_effect import Desired, edit_effect
from planner.fields import mapping_at, text_at, texts_at
from planner.hardware import accelerator_for, wanted_instance_type
from planner.options import sizing_for
from planner.plan import plan
from planner.preview_parts import (
    Preview,
    PreviewBudget,
    PreviewEffect,
    PreviewModel,
    PreviewNodes,
    PreviewPod,
    PreviewProblem,
)
from planner.render import images_of, render_service, render_workload
from planner.render.serving import full_reference, private_image
from planner.serving_config import read_serving_config
from planner.sizing import Sizing
from planner.sizing_words import hardware
from planner.suggestions import fitting_types
from planner.validation import Violation, validate, warnings
from planner.world import NodeFacts, PlatformSettings, World

MAX_SUGGESTIONS: Final = 3
"""Instance types to choose from; more would be a catalogue."""

_SHELL: Final = ["/bin/sh", "-c"]
_ORDINARY_RESOURCES: Final = frozenset({"cpu", "memory", "ephemeral-storage"})


@dataclass(frozen=True)
class Subject:
    """One Workspace with everything that its plan is made from."""

    workspace: Workspace
    preset: Preset | None
    world: World = field(default_factory=World)
    training_text: str | None = None
    """Content of `tuning.config`."""
    model_problem: Problem | None = None
    """Why nobody knows the model, when it is one of Hugging Face."""


def preview(
    subject: Subject,
    settings: PlatformSettings,
    catalogue: Catalogue,
    before: Subject | None = None,
) -> Preview:
    """Return what becomes of a Workspace when it is applied.

    Args:
        subject: As it would be.
        settings: What the operator of the platform decided.
        catalogue: Knows instance types and models.
        before: As it is now; None when there is none of that name.
    """
    workspace, preset = subject.workspace, subject.preset
    case = _Case(subject, settings, catalogue)
    effect = edit_effect(
        _Case(before, settings, catalogue).desired if before is not None else None,
        case.desired,
    )
    return Preview(
        namespace=workspace.namespace,
        name=workspace.name,
        problems=case.problems,
        warnings=case.warnings(),
        revision=case.plan.revision,
        model=_model(workspace, preset, settings) if preset is not None else None,
        candidates=case.plan.candidates,
        suggestions=case.suggestions(),
        usd_per_hour=case.plan.usd_per_hour,
        effect=PreviewEffect.model_validate(asdict(effect)),
        **(case.workload() if case.plan.problem is None else {}),
    )


class _Case:
    """A subject and its plan."""

    def __init__(self, subject: Subject, settings: PlatformSettings, catalogue: Catalogue) -> None:
        self.subject, self.settings, self.catalogue = subject, settings, catalogue
        self.plan: WorkspacePlan = plan(
            subject.workspace, subject.world, subject.preset, settings, catalogue
        )

    @property
    def desired(self) -> Desired:
        return Desired(self.subject.workspace, self.plan, self.subject.world.config_text)

    # --- What is said -----------------------------------------------------------------------

    @cached_property
    def problems(self) -> list[PreviewProblem]:
        """What is in the way, with its field where one is at fault."""
        subject = self.subject
        violations = validate(
            subject.workspace,
            subject.preset,
            self.settings,
            self.catalogue,
            config_text=subject.world.config_text,
            training_text=subject.training_text,
        ) or unavailable(subject.workspace, self.settings)
        if violations:
            return [_of_violation(one) for one in violations]
        problem = subject.model_problem or self.plan.problem
        if problem is None:
            return []
        return [PreviewProblem(reason=problem.reason, message=problem.message)]

    def warnings(self) -> list[str]:
        # Of a plan with a problem nobody collected them.
        return self.plan.warnings or warnings(
            self.subject.workspace,
            self.subject.preset,
            self.settings,
            self.catalogue,
            config_text=self.subject.world.config_text,
        )

    def suggestions(self) -> list[InstanceCandidate]:
        """Return instance types of the same provider that would do, where the wanted one won't."""
        preset, workspace = self.subject.preset, self.subject.workspace
        if preset is None or workspace.inference is None:
            return []
        wanted = self.catalogue.instance_type(wanted_instance_type(workspace, self.settings))
        runtime = preset.runtime(workspace.annotations.get(names.ANNOTATION_RUNTIME, ""))
        reasons = {problem.reason for problem in self.problems}
        is_too_small = InstanceTypeTooSmall.reason() in reasons
        if wanted is None or runtime is None or not is_too_small:
            return []
        found = fitting_types(
            preset,
            runtime,
            self.catalogue,
            wanted.provider,
            max_nodes=self.settings.max_nodes_per_instance,
            config=read_serving_config(self.subject.world.config_text),
        )
        return found[:MAX_SUGGESTIONS]

    # --- What would be made -----------------------------------------------------------------

    def workload(self) -> dict[str, Any]:
        """Return the fields that tell of nodes and pods."""
        subject, planned = self.subject, self.plan
        workspace, preset = subject.workspace, subject.preset
        sizing = self._sizing()
        stateful_set = render_workload(
            workspace, preset, planned.revision, [], self.settings, sizing
        )
        service = render_service(workspace, planned.revision, sizing)["spec"]
        return {
            "runtime": planned.runtime,
            "nodes": self._nodes(sizing),
            "parallelism": planned.parallelism if sizing is not None else None,
            "budget": self._budget(),
            "images": images_of(workspace, preset, self.settings),
            "pod": _pod(stateful_set["spec"]["template"]["spec"]["containers"][0]),
            "service": service["type"],
        }

    def _budget(self) -> PreviewBudget | None:
        budget, accelerator = self.plan.budget, self._accelerator
        if budget is None or accelerator is None or _is_emulated(accelerator):
            # Emulated GPUs have no memory to spend.
            return None
        return _budget(budget)

    @cached_property
    def _accelerator(self) -> Accelerator | None:
        return accelerator_for(
            self.subject.workspace, self.settings, self.catalogue, self._chosen()
        )

    def _nodes(self, sizing: Sizing | None) -> PreviewNodes:
        planned, world = self.plan, self.subject.world
        there = {claim.name for claim in world.claims if not claim.is_deleting}
        claims = [claim.name for claim in planned.claims]
        return PreviewNodes(
            instance_type=planned.instance_type,
            accelerator=_words(self._accelerator) if self._accelerator is not None else "",
            count=planned.node_count,
            per_instance=sizing.nodes_per_instance if sizing is not None else 1,
            new=[name for name in claims if name not in there],
            bought=[name for name in claims if name in there],
            existing=planned.existing_nodes,
            released=planned.surplus_claims,
        )

    def _sizing(self) -> Sizing | None:
        if self.subject.preset is None:
            return None
        found = sizing_for(
            self.subject.workspace,
            self.subject.preset,
            self.settings,
            self.catalogue,
            config_text=self.subject.world.config_text,
            nodes=self._chosen(),
        )
        return found if isinstance(found, Sizing) else None

    def _chosen(self) -> list[NodeFacts]:
        """Return the nodes of the plan; those that are yet to be made have but their type."""
        planned, world = self.plan, self.subject.world
        known = {node.name: node for node in world.nodes}
        of_claims = {claim.name: claim.node_name for claim in world.claims}
        labels = {names.LABEL_INSTANCE_TYPE: planned.instance_type}
        return [
            *(known[name] for name in planned.existing_nodes if name in known),
            *(
                known.get(of_claims.get(claim.name, ""), NodeFacts(claim.name, labels))
                for claim in planned.claims
            ),
        ]


def _is_emulated(accelerator: Accelerator) -> bool:
    return accelerator.vendor is AcceleratorVendor.EMULATED


def _words(accelerator: Accelerator) -> str:
    if _is_emulated(accelerator):
        return counted(accelerator.count, "emulated GPU")
    return hardware(accelerator)


def _of_violation(violation: Violation) -> PreviewProblem:
    return PreviewProblem(
        reason=violation.error.reason(),
        message=violation.message,
        field=violation.field,
        remedy=violation.remedy,
    )


def _budget(budget: MemoryBudget) -> PreviewBudget:
    return PreviewBudget(
        total_bytes=budget.total,
        usable_bytes=budget.usable,
        weights_bytes=budget.weights,
        kv_cache_bytes=budget.kv_cache,
        overhead_bytes=budget.overhead,
        free_bytes=budget.free,
        context_tokens=budget.context_tokens,
        kv_cache_bytes_per_token=budget.kv_cache_bytes_per_token,
        cache_tokens=_cache_tokens(budget),
    )


def _cache_tokens(budget: MemoryBudget) -> int | None:
    if not budget.kv_cache:
        return None
    room_bytes = max(budget.kv_cache + budget.free, 0)
    return room_bytes * budget.context_tokens // budget.kv_cache


def _model(workspace: Workspace, preset: Preset, settings: PlatformSettings) -> PreviewModel:
    model = preset.model
    return PreviewModel(
        name=preset.name,
        hugging_face_id=model.hugging_face_id,
        revision=model.revision,
        license=model.license,
        weights_bytes=model.weights_bytes,
        weights_from=_weights_from(workspace, preset, settings),
        max_model_length=model.max_model_length,
    )


def _weights_from(workspace: Workspace, preset: Preset, settings: PlatformSettings) -> str:
    if image := private_image(workspace):
        return f"the image {image}"
    match preset.weights.kind:
        case WeightsKind.OCI:
            return full_reference(preset.weights.reference, settings)
        case WeightsKind.HUGGING_FACE:
            return "Hugging Face"
        case WeightsKind.IMAGE:
            return "the image"


def _pod(container: object) -> PreviewPod:
    # A template is the user's own, and nobody has looked at the shapes in it yet.
    requests = mapping_at(container, "resources", "requests")
    devices = {**requests, **mapping_at(container, "resources", "limits")}
    return PreviewPod(
        devices={
            str(name): str(count)
            for name, count in devices.items()
            if name not in _ORDINARY_RESOURCES
        },
        cpu=str(requests.get("cpu", "")),
        memory=str(requests.get("memory", "")),
        image=text_at(container, "image"),
        command=_command(container),
    )


def _command(container: object) -> str:
    words = [*texts_at(container, "command"), *texts_at(container, "args")]
    return words[-1] if words[:-1] == _SHELL else shlex.join(words)
