"""Under which names a model server lists its adapters beside the model."""

from __future__ import annotations

import re
from typing import Final

from api.preset import Preset, RuntimeName
from api.workspace import Workspace
from planner.render.serving import runtime_of
from planner.render.template import template_of

_OWN_LIST: Final = re.compile(r"\blora[-_]modules\b")
"""Settings that name adapters themselves; the folders are not looked at then."""


def listed_adapters(
    workspace: Workspace, preset: Preset | None, config_text: str | None
) -> tuple[str, ...]:
    """Return the names, in the order of the spec; none where the server lists no adapters.

    vLLM serves adapters beside the model, each as a model of its own. The transformers runtime
    mixes them into the model. Of the user's own pods nothing is known.
    """
    if preset is None or workspace.inference is None or template_of(workspace) is not None:
        return ()
    runtime = runtime_of(workspace, preset)
    if runtime.name is not RuntimeName.VLLM or not runtime.adapters:
        return ()
    if _OWN_LIST.search(config_text or "") or "lora-modules" in runtime.arguments:
        return ()
    found = (one.source.name for one in workspace.inference.adapters if one.source is not None)
    return tuple(name for name in found if name)
