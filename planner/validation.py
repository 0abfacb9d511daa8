"""Whether a spec can be carried out as written, and what to do where it can't.

Pure and total: any Workspace that can be read is judged, however odd. The CRD's own rules are
repeated here, because an object may be older than the CRD. Only *creating and changing* is judged:
nothing may make an object undeletable.

A field whose feature is not built yet is refused by name. Ignoring it would be worse: the user
would get something else than what was asked for.
"""

from __future__ import annotations

from typing import Final

from api.preset import Catalogue, Preset
from api.workspace import Workspace
from planner.rules import feature, metadata, nodes
from planner.rules.base import Case, Violation
from planner.world import PlatformSettings

__all__ = ["Violation", "validate"]

_RULES: Final = (
    metadata.check_name,
    feature.check_one_feature,
    feature.check_tuning,
    feature.check_inference,
    feature.check_preset,
    metadata.check_runtime_annotation,
    metadata.check_load_balancer_annotation,
    nodes.check_count,
    nodes.check_selector,
    nodes.check_preferred_nodes,
    nodes.check_instance_type,
    nodes.check_accelerator,
    nodes.check_memory,
)
"""The most fundamental first: the first violation's error becomes the condition's reason."""


def validate(
    workspace: Workspace,
    preset: Preset | None,
    settings: PlatformSettings,
    catalogue: Catalogue | None = None,
) -> list[Violation]:
    """Return what is wrong with the Workspace, the most fundamental first; empty when all is well.

    Args:
        workspace: As the user wrote it.
        preset: Catalogue entry of its model; None when there is none of that name.
        settings: What the operator of the platform decided.
        catalogue: Knows instance types, and names to suggest; without it neither is judged.
    """
    case = Case(workspace, preset, settings, catalogue)
    return [violation for rule in _RULES for violation in rule(case)]
