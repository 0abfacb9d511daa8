"""Reading a Workspace, a recorded revision of it, and the world around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from activities.clients.kubernetes import CONFIG_MAPS, CONTROLLER_REVISIONS, WORKSPACES
from activities.context import ActivityContext
from activities.errors import WorkspaceGone
from api import names
from api.errors import MissingReference
from api.payloads import RevisionInput, WorkspaceRef
from api.preset import Preset
from api.workspace import Workspace
from planner import facts
from planner.world import World

CONFIG_KEY: Final = "inference_config.yaml"
"""Key of the ConfigMap that `inference.config` names (upstream's contract)."""

REVISION_FIELDS: Final = ("resource", "inference", "tuning")


def owned_by(ref: WorkspaceRef) -> dict[str, str]:
    """Return the labels that select everything that the platform made for this object."""
    return {names.LABEL_WORKSPACE_UID: ref.uid}


async def find_workspace_object(ctx: ActivityContext, ref: WorkspaceRef) -> dict[str, Any] | None:
    """Return the object of that name, past every cache; None too when it is another uid's."""
    obj = await ctx.cluster.find(WORKSPACES, ref.name, ref.namespace)
    if obj is None or (ref.uid and obj["metadata"]["uid"] != ref.uid):
        return None
    return obj


async def read_revision(ctx: ActivityContext, payload: RevisionInput) -> Workspace:
    """Return the Workspace as it was recorded in a revision, with today's metadata.

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
    spec = ctx.revisions.get(key)
    if spec is None:
        spec = await _read_recorded_spec(ctx, payload)
        ctx.revisions.put(key, spec)
    rest = {key: value for key, value in obj.items() if key not in REVISION_FIELDS}
    return Workspace.from_object({**rest, **spec})


async def _read_recorded_spec(ctx: ActivityContext, payload: RevisionInput) -> dict[str, Any]:
    namespace = payload.workspace.namespace
    name = names.workload_name(payload.workspace.name, payload.revision)
    recorded = await ctx.cluster.find(CONTROLLER_REVISIONS, name, namespace)
    if recorded is None:
        raise MissingReference(
            f"ControllerRevision {namespace}/{name} is gone; edit the Workspace or send `retry`"
        )
    return spec_of(recorded)


def spec_of(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec that a ControllerRevision of ours records."""
    return {key: recorded["data"][key] for key in REVISION_FIELDS if recorded["data"].get(key)}


def preset_of(ctx: ActivityContext, workspace: Workspace) -> Preset | None:
    """Return the catalogue's entry for the Workspace's model, if it names one."""
    for feature in (workspace.inference, workspace.tuning):
        if feature is not None and feature.preset is not None:
            return ctx.catalogue.get(feature.preset.name)
    return None


def gpus_per_node(ctx: ActivityContext, workspace: Workspace) -> int:
    """Return the GPUs of one node: by catalogue, else as nodes of that type show; 0 if unknown."""
    instance_type = workspace.resource.instance_type
    known = ctx.catalogue.instance_type(instance_type)
    if known is not None:
        return known.gpu_count
    return facts.gpus_of_instance_type(
        [facts.node_facts(node) for node in ctx.informers.nodes.list()], instance_type
    )


async def observe_world(ctx: ActivityContext, workspace: Workspace) -> World:
    """Gather every fact that a plan is made from: caches for the many, live reads for the few."""
    ref = WorkspaceRef(namespace=workspace.namespace, name=workspace.name, uid=workspace.uid)
    labels = owned_by(ref)
    informers = ctx.informers
    # By name: the headless Service of several nodes carries the same labels.
    service = informers.services.get(ref.name, ref.namespace)
    config_text, missing = await read_config(ctx, workspace)
    recorded = await list_revisions(ctx, ref)
    return World(
        nodes=tuple(facts.node_facts(node) for node in informers.nodes.list()),
        claims=tuple(facts.claim_facts(claim) for claim in informers.node_claims.list("", labels)),
        workloads=tuple(
            facts.workload_facts(workload)
            for workload in informers.stateful_sets.list(ref.namespace, labels)
        ),
        service=facts.service_facts(service) if service is not None else None,
        gpu_requests=facts.gpu_requests_by_node(
            informers.pods.list(), workspace.uid, informers.stateful_sets.list()
        ),
        config_text=config_text,
        missing=missing,
        adopted_revisions=frozenset(revision_of(item) for item in recorded),
        gpus_per_node=gpus_per_node(ctx, workspace),
    )


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
