"""What a Workspace names in its namespace: Secrets and the ConfigMap of the model server.

Everything is looked for before a node is asked for, since a pod that waits for a Secret holds a
GPU that costs money.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from activities.clients.kubernetes import CONFIG_MAPS, SECRETS
from activities.context import ActivityContext
from api.workspace import Workspace
from planner.render import image_pull_secrets_of
from planner.render.config_map import CONFIG_KEY

TOKEN_KEY: Final = "HF_TOKEN"  # noqa: S105 - the name of a key, not a token
"""Key of the Secret that `presetOptions.modelAccessSecret` names (upstream's contract)."""


async def read_config(
    ctx: ActivityContext, workspace: Workspace
) -> tuple[str | None, tuple[str, ...]]:
    """Return the text of `inference.config`, or what of it does not exist."""
    if workspace.inference is None or not workspace.inference.config:
        return None, ()
    name = workspace.inference.config
    config_map = await ctx.cluster.find(CONFIG_MAPS, name, workspace.namespace)
    if config_map is None:
        return None, (f"ConfigMap {workspace.namespace}/{name}",)
    text = (config_map.get("data") or {}).get(CONFIG_KEY)
    if text is None:
        return None, (f"key {CONFIG_KEY} of ConfigMap {workspace.namespace}/{name}",)
    return text, ()


async def read_token(ctx: ActivityContext, workspace: Workspace) -> tuple[str, tuple[str, ...]]:
    """Return the token for the model hub, or what of its Secret does not exist.

    The only Secret whose content the platform reads, and only while a model is looked up.
    """
    name = access_secret_of(workspace)
    if not name:
        return "", ()
    secret = await ctx.cluster.find(SECRETS, name, workspace.namespace)
    if secret is None:
        return "", (f"Secret {workspace.namespace}/{name}",)
    try:
        encoded = (secret.get("data") or {}).get(TOKEN_KEY, "")
        token = base64.b64decode(encoded, validate=True).decode("ascii").strip()
    except (binascii.Error, UnicodeDecodeError):
        token = ""
    # What can't stand in a header is no token.
    if not token.isprintable() or not token:
        return "", (f"key {TOKEN_KEY} of Secret {workspace.namespace}/{name}",)
    return token, ()


async def missing_secrets(ctx: ActivityContext, workspace: Workspace) -> tuple[str, ...]:
    """Return the Secrets that the spec names and that do not exist; none of them is read."""
    found = {
        name: await ctx.cluster.find_metadata(SECRETS, name, workspace.namespace)
        for name in secrets_of(workspace)
    }
    return tuple(f"Secret {workspace.namespace}/{name}" for name, one in found.items() if not one)


def access_secret_of(workspace: Workspace) -> str:
    """Return the name of the Secret with the token for the model hub, or an empty string."""
    for feature in (workspace.inference, workspace.tuning):
        if feature is not None and feature.preset is not None and feature.preset.preset_options:
            return feature.preset.preset_options.model_access_secret
    return ""


def secrets_of(workspace: Workspace) -> list[str]:
    """Return the names of all Secrets that the spec names, sorted."""
    found = {access_secret_of(workspace)}
    if workspace.inference is not None:
        found.update(image_pull_secrets_of(workspace))
        for adapter in workspace.inference.adapters:
            if adapter.source is not None:
                found.update(adapter.source.image_pull_secrets)
    if workspace.tuning is not None:
        found.update(workspace.tuning.input.image_pull_secrets)
        found.add(workspace.tuning.output.image_push_secret)
    return sorted(found - {""})
