"""What is really there: the nodes, the live Workspace, its ConfigMap and what runs of it.

Everything is read by the same code as for the plan of the worker, and nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from activities.clients.kubernetes import (
    WORKSPACES,
    ApiError,
    KubernetesClient,
    UnusableConfiguration,
)
from activities.context import ActivityContext, ActivitySettings, open_context
from activities.workspace.models import find_model
from activities.workspace.reading import list_revisions, observe_world
from api.errors import ClusterUnavailable, InvalidWorkspace
from api.preset import Catalogue
from api.workspace import Workspace
from planner.preview import Subject
from worker.preview.documents import UnusableInput

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""Annotation by which `kubectl apply` knows what of an object came from its file."""

SERVER_FIELDS: Final = ("uid", "generation", "resourceVersion", "finalizers", "deletionTimestamp")


@dataclass(frozen=True)
class Observed:
    """One manifest in its cluster."""

    after: Subject
    before: Subject | None
    """None when there is no such Workspace."""


async def observe(
    objects: Sequence[Mapping[str, Any]],
    kubeconfig: str | None,
    settings: ActivitySettings,
    catalogue: Catalogue,
) -> list[Observed]:
    """Return what the cluster has of each manifest, in their order.

    Args:
        objects: Manifests that can be read as Workspaces.
        kubeconfig: Path of a file; None for kubectl's default.
        settings: Of the platform.
        catalogue: Knows models and instance types.

    Raises:
        UnusableInput: there is no usable cluster, or it refuses to tell.
    """
    # No provisioner is asked anything, so none needs an address.
    nobody = replace(settings, platform=replace(settings.platform, provisioner="byo"))
    try:
        async with KubernetesClient.connect(kubeconfig) as cluster:
            # Before the informers, which wait long for a server that is not there.
            await cluster.version()
            async with open_context(nobody, cluster, catalogue) as ctx:
                return [await _observe_one(ctx, obj) for obj in objects]
    except (UnusableConfiguration, ClusterUnavailable, ApiError) as error:
        raise UnusableInput(f"the cluster can't be looked at: {error}") from error


async def _observe_one(ctx: ActivityContext, obj: Mapping[str, Any]) -> Observed:
    wanted = Workspace.from_object(obj)
    live = await ctx.cluster.find(WORKSPACES, wanted.name, wanted.namespace)
    if live is None:
        return Observed(await _subject(ctx, wanted), None)
    after = await _subject(ctx, Workspace.from_object(applied(obj, live)))
    # One that is older than the rules may be unreadable; then nothing of it runs either.
    with suppress(InvalidWorkspace):
        return Observed(after, await _subject(ctx, Workspace.from_object(live)))
    return Observed(after, None)


async def _subject(ctx: ActivityContext, workspace: Workspace) -> Subject:
    records = await list_revisions(ctx, workspace.ref()) if workspace.uid else []
    model = await find_model(ctx, workspace, records)
    world = await observe_world(ctx, workspace, model, records)
    return Subject(workspace, model.preset, world, model_problem=model.problem)


def applied(obj: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """Return the live object as `kubectl apply` of the manifest would leave it.

    The spec is the manifest's; labels and annotations that did not come from an earlier manifest
    stay.
    """
    metadata, own = live["metadata"], obj["metadata"]
    merged = {
        **own,
        **{key: metadata[key] for key in SERVER_FIELDS if key in metadata},
        **{key: _merged(key, own, metadata) for key in ("labels", "annotations")},
    }
    return {**obj, "metadata": merged, "status": live.get("status") or {}}


def _merged(key: str, own: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, str]:
    earlier: Any = {}
    with suppress(ValueError):
        earlier = json.loads((metadata.get("annotations") or {}).get(LAST_APPLIED) or "{}")
    gone = (earlier.get("metadata") or {}).get(key) or {} if isinstance(earlier, dict) else {}
    kept = {name: value for name, value in (metadata.get(key) or {}).items() if name not in gone}
    return {**kept, **(own.get(key) or {})}
