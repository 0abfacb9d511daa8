"""Whether a spec can be carried out as written, and what to do where it can't.

Pure and total: any Workspace that can be read is judged, however odd. The CRD's own rules are
repeated here, because an object may be older than the CRD. Only *creating and changing* is judged:
nothing may make an object undeletable, and nobody is stopped at an edit by something else that was
wrong before it.

What the platform understands but does not do yet is no violation: `planner.availability`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from api.preset import Catalogue, Preset
from api.workspace import Workspace
from planner.rules import (
    adapters,
    config,
    feature,
    hardware,
    instance_types,
    metadata,
    model,
    nodes,
    notices,
    partition,
    rollout,
    template,
    tuning,
)
from planner.rules.base import Case, Rule, Violation
from planner.world import PlatformSettings

__all__ = ["RULES", "Rule", "Violation", "validate", "warnings"]

_IN_ORDER: Final[tuple[Rule, ...]] = (
    *metadata.RULES[:2],
    *feature.RULES,
    *model.RULES,
    *tuning.RULES,
    *template.RULES,
    *metadata.RULES[2:],
    *adapters.RULES,
    *config.RULES,
    *nodes.RULES,
    *instance_types.RULES,
    *partition.RULES,
    *rollout.RULES,
    *hardware.RULES,
)
"""The most fundamental first: the first violation's error becomes the condition's reason."""

RULES: Final[Mapping[str, Rule]] = MappingProxyType({one.id: one for one in _IN_ORDER})
"""Every rule by its id, in the order in which they are judged."""


def validate(
    workspace: Workspace,
    preset: Preset | None,
    settings: PlatformSettings,
    catalogue: Catalogue | None = None,
    *,
    old: Workspace | None = None,
    config_text: str | None = None,
    training_text: str | None = None,
) -> list[Violation]:
    """Return what is wrong with the Workspace, the most fundamental first; empty when all is well.

    Args:
        workspace: As the user wrote it; one that is being deleted has nothing wrong with it.
        preset: Catalogue entry of its model; None when there is none of that name. A model on
            Hugging Face that nobody looked up yet is None as well, and is judged by its id only.
        settings: What the operator of the platform decided.
        catalogue: Knows instance types, and names to suggest; without it neither is judged.
        old: The object before an update. What was wrong with it already is not held against the
            update, unless the update makes something else of it.
        config_text: Content of `inference.config`'s key; None when there is none, or nobody looked.
        training_text: Content of `tuning.config`'s key, likewise.
    """
    if workspace.is_deleting:
        return []
    case = Case(workspace, preset, settings, catalogue, old, config_text, training_text)
    violations = _judge(case)
    if old is None or not violations:
        return violations
    before = set(_judge(_before(case, old)))
    return [violation for violation in violations if violation not in before]


def warnings(
    workspace: Workspace,
    preset: Preset | None,
    settings: PlatformSettings,
    catalogue: Catalogue | None = None,
    *,
    config_text: str | None = None,
) -> list[str]:
    """Return what works otherwise than one may think, a sentence each, always in the same order."""
    case = Case(workspace, preset, settings, catalogue, config_text=config_text)
    return list(notices.notices(case))


def _judge(case: Case) -> list[Violation]:
    return [violation for rule in _IN_ORDER for violation in rule.judge(case)]


def _before(case: Case, old: Workspace) -> Case:
    """Return the case of the object before the update, with the same knowledge of the world."""
    preset = case.preset
    if old.preset_name.casefold() != case.workspace.preset_name.casefold():
        preset = case.catalogue.get(old.preset_name) if case.catalogue is not None else None
    # Text of another ConfigMap tells nothing of the one that was named before.
    has_same_config = _config_name(old) == _config_name(case.workspace)
    return replace(
        case,
        workspace=old,
        preset=preset,
        old=None,
        config_text=case.config_text if has_same_config else None,
        training_text=case.training_text if has_same_config else None,
    )


def _config_name(workspace: Workspace) -> tuple[str, str]:
    inference, tuning_spec = workspace.inference, workspace.tuning
    return (
        inference.config if inference is not None else "",
        tuning_spec.config if tuning_spec is not None else "",
    )
