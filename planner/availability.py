"""What the platform understands and does not do yet.

It is no fault of the spec: the webhook lets it in with a warning, and the plan waits with
`FeatureNotAvailable`. To ignore such a field would be worse: the user would get something else than
what was asked for. Fields that are harmless to ignore are `planner.validation.warnings`.
"""

from __future__ import annotations

from collections.abc import Iterator

from api import names
from api.errors import FeatureNotAvailable
from api.workspace import Workspace
from planner.annotations import is_asked_for
from planner.rules.base import Violation, annotation
from planner.world import PlatformSettings


def unavailable(workspace: Workspace, settings: PlatformSettings) -> list[Violation]:
    """Return what this version can't carry out, with what to do instead; empty when it can all.

    Args:
        workspace: A valid one.
        settings: What the operator of the platform decided.
    """
    del settings  # every installation can do the same so far
    return list(_unavailable(workspace))


def _unavailable(workspace: Workspace) -> Iterator[Violation]:
    if workspace.tuning is not None:
        yield _violation("tuning", "tuning", "tuning", "set inference to serve a model")
    if is_asked_for(workspace, names.ANNOTATION_USE_LOCAL_WEIGHTS):
        yield _violation(
            "local-weights",
            annotation(names.ANNOTATION_USE_LOCAL_WEIGHTS),
            "serving weights that lie on the nodes already",
            "remove it, and the model is downloaded",
        )


def _violation(rule: str, field: str, feature: str, remedy: str) -> Violation:
    return Violation(
        f"{rule}-not-available",
        field,
        f"{feature} is not available in this version",
        remedy,
        FeatureNotAvailable,
    )
