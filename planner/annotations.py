"""Values of annotations, which people write in any case and with spaces around them."""

from __future__ import annotations

from api.workspace import Workspace


def annotation_word(workspace: Workspace, name: str) -> str:
    """Return an annotation's value in lower case without spaces around it; empty without one."""
    return workspace.annotations.get(name, "").strip().lower()


def is_asked_for(workspace: Workspace, name: str) -> bool:
    """Return whether an annotation that turns something on says `true`."""
    return annotation_word(workspace, name) == "true"
