"""Reading a Workspace, a recorded revision of it, and the world around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from activities.clients.kubernetes import (
    CONTROLLER_REVISIONS,
    SERVICES,
    STATEFUL_SETS,
    WORKSPACES,
)
from activities.context import ActivityContext
from activities.errors import WorkspaceGone
from activities.workspace.models import FoundModel, preset_in
from activities.workspace.references import missing_secrets, read_config
from api import names
from api.errors import BY_REASON, InvalidWorkspace, MissingReference
from api.payloads import RevisionInput, WorkspaceRef
from api.preset import Preset
from api.workspace import Resource, Workspace
from planner import facts
from planner.options import sizing_for
from planner.render.resources import device_resource
from planner.render.revisions import RENDERING_ANNOTATIONS
from planner.revision import OF_NODES_ONLY
from planner.sizing import Sizing
from planner.world import NodeFacts, World

REVISION_FIELDS: Final = ("resource", "inference", "tuning")

NODE_FIELDS: Final = frozenset(Resource.model_fields[name].alias or name for name in OF_NODES_ONLY)
"""Fields of `resource` that pods do not feel, as manifests name them."""


@dataclass(frozen=True)
class RecordedRevision:
    """Everything that the objects of one revision are made from."""

    workspace: Workspace
    """Its spec and rendering annotations as they were recorded; the rest as it is today."""
    preset: Preset | None
    """The model, recorded or of the catalogue; None for pods of the user's own."""
    config_text: str | None
    """Content of `inference.config` when the revision was recorded."""


def owned_by(ref: WorkspaceRef) -> dict[str, str]:
    """Return the labels that select everything that the platform made for this object."""
    return {names.LABEL_WORKSPACE_UID: ref.uid}


async def find_workspace_object(ctx: ActivityContext, ref: WorkspaceRef) -> dict[str, Any] | None:
    """Return the object of that name, past every cache; None too when it is another uid's."""
    obj = await ctx.cluster.find(WORKSPACES, ref.name, ref.namespace)
    if obj is None or (ref.uid and obj["metadata"]["uid"] != ref.uid):
        return None
    return obj


# --- a recorded revision ----------------------------------------------------------------------


async def read_revision(ctx: ActivityContext, payload: RevisionInput) -> RecordedRevision:
    """Return what was recorded of a revision, with today's metadata of its Workspace.

    A step renders from the revision and not from the live spec, so that an edit in the middle of
    an operation can't mix two specs in one workload.

    Raises:
        WorkspaceGone: the object is gone or was made anew.
        MissingReference: the revision was never recorded, or was removed by hand.
    """
    ref = payload.workspace
    # Only metadata is taken from here, so a cached object does; our finalizer keeps it alive.
    obj = ctx.informers.workspaces.get(ref.name, ref.namespace)
    if obj is None or obj["metadata"]["uid"] != ref.uid:
        obj = await find_workspace_object(ctx, ref)
    if obj is None:
        raise WorkspaceGone(f"Workspace {ref.namespace}/{ref.name} is gone")
    key = (obj["metadata"]["uid"], payload.revision)
    data = ctx.revisions.get(key)
    if data is None:
        data = await _read_record(ctx, payload)
        ctx.revisions.put(key, data)
    return revision_in(ctx, obj, data)


async def _read_record(ctx: ActivityContext, payload: RevisionInput) -> dict[str, Any]:
    namespace = payload.workspace.namespace
    name = names.workload_name(payload.workspace.name, payload.revision)
    recorded = await ctx.cluster.find(CONTROLLER_REVISIONS, name, namespace)
    if recorded is None:
        raise MissingReference(
            f"ControllerRevision {namespace}/{name} is gone; edit the Workspace or send `retry`"
        )
    data: dict[str, Any] = recorded["data"]
    return data


def revision_in(
    ctx: ActivityContext, obj: Mapping[str, Any], data: Mapping[str, Any]
) -> RecordedRevision:
    """Return what a record tells, with today's metadata and policy of its Workspace.

    Args:
        ctx: What all activities share.
        obj: The Workspace as it is in the cluster now.
        data: Of the ControllerRevision.

    Raises:
        InvalidWorkspace: this version can't read the recorded spec.
    """
    workspace = Workspace.from_object(as_recorded(obj, data))
    preset = preset_in({"data": data}) or ctx.catalogue.get(workspace.preset_name)
    return RecordedRevision(workspace, preset, data.get("config"))


def as_recorded(obj: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object with the spec and the rendering annotations of a recorded revision.

    What chooses nodes and is no part of a revision stays as it is today.
    """
    annotations = {
        key: value
        for key, value in (obj["metadata"].get("annotations") or {}).items()
        if key not in RENDERING_ANNOTATIONS
    }
    annotations.update(data.get("annotations") or {})
    rest = {key: value for key, value in obj.items() if key not in REVISION_FIELDS}
    spec = {key: data[key] for key in REVISION_FIELDS if data.get(key)}
    spec["resource"] = {
        **{key: value for key, value in data["resource"].items() if key not in NODE_FIELDS},
        **{key: value for key, value in (obj.get("resource") or {}).items() if key in NODE_FIELDS},
    }
    return {**rest, **spec, "metadata": {**obj["metadata"], "annotations": annotations}}


def sizing_on(
    ctx: ActivityContext, revision: RecordedRevision, node_names: Sequence[str]
) -> Sizing | None:
    """Return how a revision's model is laid over these nodes; None for pods of the user's own.

    Raises:
        InvalidWorkspace: it does not fit on them.
    """
    if revision.preset is None:
        return None
    found = sizing_for(
        revision.workspace,
        revision.preset,
        ctx.settings.platform,
        ctx.catalogue,
        config_text=revision.config_text,
        nodes=nodes_named(ctx, node_names),
    )
    if isinstance(found, Sizing):
        return found
    raise BY_REASON.get(found.reason, InvalidWorkspace)(found.message)


async def sizing_of_workload(
    ctx: ActivityContext, revision: RecordedRevision, name: str
) -> Sizing | None:
    """Return how the model of a workload is laid over the nodes that the workload may run on."""
    namespace = revision.workspace.namespace
    workload = ctx.informers.stateful_sets.get(name, namespace)
    if workload is None:
        # Made a moment ago, it may not be in the cache yet.
        workload = await ctx.cluster.find(STATEFUL_SETS, name, namespace)
    node_names = facts.workload_facts(workload).node_names if workload is not None else ()
    return sizing_on(ctx, revision, sorted(node_names))


def nodes_named(ctx: ActivityContext, node_names: Sequence[str]) -> list[NodeFacts]:
    """Return the facts of these nodes, as far as they exist."""
    found = [ctx.informers.nodes.get(name) for name in node_names]
    return [facts.node_facts(node) for node in found if node is not None]


# --- the world --------------------------------------------------------------------------------


async def observe_world(
    ctx: ActivityContext,
    workspace: Workspace,
    model: FoundModel,
    records: Sequence[Mapping[str, Any]],
) -> World:
    """Gather every fact that a plan is made from: caches for the many, live reads for the few."""
    ref = workspace.ref()
    labels = owned_by(ref)
    informers = ctx.informers
    # What serves and what runs decides whether anything is stopped, so it is read past the caches:
    # while a watch is late, the revision that gets the traffic looks as if nobody needed it. By
    # name: the headless Service of several nodes carries the same labels.
    service = await ctx.cluster.find(SERVICES, ref.name, ref.namespace)
    workloads = await ctx.cluster.list(STATEFUL_SETS, ref.namespace, labels)
    config_text: str | None = None
    missing: tuple[str, ...] = ()
    if not workspace.is_deleting:
        # What an object names does not matter any more when it goes, and can't hinder it.
        config_text, missing = await read_config(ctx, workspace)
        missing = (*missing, *await missing_secrets(ctx, workspace), *model.missing)
    return World(
        nodes=tuple(facts.node_facts(node) for node in informers.nodes.list()),
        claims=tuple(facts.claim_facts(claim) for claim in informers.node_claims.list("", labels)),
        workloads=tuple(facts.workload_facts(workload) for workload in workloads),
        service=facts.service_facts(service) if service is not None else None,
        config_text=config_text,
        missing=tuple(sorted(set(missing))),
        recorded=facts.revision_records(records),
        **_requests(ctx, workspace),
    )


async def in_its_world(ctx: ActivityContext, world: World, recorded: RecordedRevision) -> World:
    """Return the world as a recorded revision meets it: with its settings and its references."""
    return replace(
        world,
        config_text=recorded.config_text,
        missing=tuple(sorted(set(await missing_secrets(ctx, recorded.workspace)))),
        **_requests(ctx, recorded.workspace),
    )


def _requests(ctx: ActivityContext, workspace: Workspace) -> dict[str, Any]:
    """Return who holds devices of the kind that the Workspace wants."""
    informers, device = ctx.informers, device_resource(workspace)
    labels = owned_by(workspace.ref())
    return {
        "gpu_requests": facts.gpu_requests_by_node(
            informers.pods.list(), workspace.uid, informers.stateful_sets.list(), device
        ),
        "own_gpu_requests": facts.own_gpu_requests(
            informers.pods.list(workspace.namespace, labels),
            informers.stateful_sets.list(workspace.namespace, labels),
            device,
        ),
    }


async def list_revisions(ctx: ActivityContext, ref: WorkspaceRef) -> list[dict[str, Any]]:
    """Return the revisions that the platform recorded.

    Kubernetes records revisions of StatefulSets in the same kind, with the labels of their pods,
    so the name decides.
    """
    return [
        item
        for item in await ctx.cluster.list(CONTROLLER_REVISIONS, ref.namespace, owned_by(ref))
        if item["metadata"]["name"] == names.workload_name(ref.name, revision_of(item))
    ]


def revision_of(obj: Mapping[str, Any]) -> str:
    """Return the hash in the object's revision label, or an empty string."""
    return str((obj["metadata"].get("labels") or {}).get(names.LABEL_REVISION, ""))
