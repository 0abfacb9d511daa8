"""The decision of one pass: what of a Workspace is not yet as it should be.

    deleted?           nothing else counts
    spec can't be      problem, nothing is touched; what runs goes on running
    no place for it    problem, likewise
    otherwise          the steps that are not done, in order; none at all when all is well

Every fact is judged afresh; nothing is remembered from an earlier plan. So a plan made twice from
the same world is the same plan, and one whose steps were carried out has none.
"""

from __future__ import annotations

from collections.abc import Iterator

from api.errors import InsufficientCapacity, MissingReference, trim
from api.names import FINALIZER_WORKSPACE
from api.payloads import Problem, Step, StepDeadlines, WorkspacePlan
from api.preset import Catalogue, Preset
from api.workspace import Workspace
from planner.node_matching import LabelRequirement, NodeNeed, explain_shortage
from planner.placement import Placement, is_running, place
from planner.revision import revision_hash
from planner.validation import validate
from planner.world import NodeFacts, PlatformSettings, World


def plan(
    workspace: Workspace,
    world: World,
    preset: Preset | None,
    settings: PlatformSettings,
    catalogue: Catalogue | None = None,
) -> WorkspacePlan:
    """Return what must be done for the Workspace, or why nothing can be.

    Args:
        workspace: As it is in the cluster now.
        world: Everything that was observed for it.
        preset: Catalogue entry of its model; None when it names none or an unknown one.
        settings: What the operator of the platform decided.
        catalogue: Knows instance types; without it none is called unknown.
    """
    base = WorkspacePlan(
        found=True,
        uid=workspace.uid,
        generation=workspace.generation,
        active_revision=_active_revision(workspace, world),
    )
    if workspace.is_deleting:
        # Validity does not matter any more: nothing may make an object undeletable.
        is_released = not workspace.has_finalizer(FINALIZER_WORKSPACE)
        return base.model_copy(update={"deleting": True, "released": is_released})
    problem = _invalid(workspace, preset, settings, catalogue) or _missing_reference(world)
    if problem is not None:
        return base.model_copy(update={"problem": problem})
    return _plan_valid(base, workspace, world, preset, settings)


def _active_revision(workspace: Workspace, world: World) -> str:
    if world.service is None or world.service.workspace_uid != workspace.uid:
        return ""
    return world.service.active_revision


def _invalid(
    workspace: Workspace,
    preset: Preset | None,
    settings: PlatformSettings,
    catalogue: Catalogue | None,
) -> Problem | None:
    violations = validate(workspace, preset, settings, catalogue)
    if not violations:
        return None
    # One sentence per violation, in the order of the rules, so that the message is stable.
    sentences = (f"{one.field}: {one.message}; {one.remedy}" for one in violations)
    return Problem(reason=violations[0].error.reason(), message=trim(" | ".join(sentences)))


def _missing_reference(world: World) -> Problem | None:
    if not world.missing:
        return None
    message = (
        f"{', '.join(sorted(world.missing))} does not exist; create it and send the signal "
        "`retry`, or change the Workspace so that it does not name it"
    )
    return Problem(reason=MissingReference.reason(), message=trim(message))


def _plan_valid(
    base: WorkspacePlan,
    workspace: Workspace,
    world: World,
    preset: Preset | None,
    settings: PlatformSettings,
) -> WorkspacePlan:
    revision = str(revision_hash(workspace, preset, world.config_text, settings))
    need = _need(workspace, world)
    placement = place(need, world, revision, provisions_nodes=settings.provisions_nodes)
    shortage = _shortage(need, world, placement)
    return base.model_copy(
        update={
            "revision": revision,
            "adopted": workspace.has_finalizer(FINALIZER_WORKSPACE)
            and revision in world.adopted_revisions,
            "stale_revisions": sorted(
                {one.revision for one in world.workloads if one.revision not in {revision, ""}}
            ),
            "problem": shortage,
            "steps": [] if shortage else list(_steps(base, world, revision, placement)),
            "preset": preset.name if preset else "",
            "instance_type": need.instance_type,
            "node_count": need.count,
            "claims": list(placement.claims),
            "existing_nodes": list(placement.existing_nodes),
            "surplus_claims": list(placement.surplus_claims),
            "served_model_name": preset.name if preset else "",
            "replicas": need.count,
            "deadlines": _deadlines(preset),
        }
    )


def _need(workspace: Workspace, world: World) -> NodeNeed:
    resource = workspace.resource
    selector = resource.label_selector
    requirements = [
        LabelRequirement(key, "In", (value,)) for key, value in selector.match_labels.items()
    ]
    requirements += [
        LabelRequirement(one.key, one.operator, tuple(one.values))
        for one in selector.match_expressions
    ]
    return NodeNeed(
        workspace_uid=workspace.uid,
        count=resource.count,
        instance_type=resource.instance_type,
        requirements=tuple(requirements),
        preferred_nodes=frozenset(resource.preferred_nodes),
        # Where nobody knows the instance type, one GPU is the least that a model server needs.
        gpus=max(world.gpus_per_node, 1),
    )


def _shortage(need: NodeNeed, world: World, placement: Placement) -> Problem | None:
    if placement.missing_count <= 0:
        return None
    chosen = [*placement.existing_nodes, *(claim.name for claim in placement.claims)]
    message = explain_shortage(world.nodes, need, world.gpu_requests, chosen)
    return Problem(reason=InsufficientCapacity.reason(), message=trim(message))


def _steps(
    base: WorkspacePlan, world: World, revision: str, placement: Placement
) -> Iterator[Step]:
    """Yield the steps that are not as they should be, in the order in which they run."""
    node_names, are_nodes_ready = _look_at_nodes(world, placement)
    count = len(placement.claims) + len(placement.existing_nodes)
    workload = next((one for one in world.workloads if one.revision == revision), None)
    is_serving = (
        workload is not None and workload.node_names == node_names and is_running(workload, count)
    )
    if not are_nodes_ready:
        yield Step.NODES
    if workload is None:
        yield Step.IMAGES
    if not is_serving:
        yield Step.WORKLOAD
    has_traffic = base.active_revision == revision
    if not is_serving or not has_traffic:
        yield Step.ENDPOINT
    if not has_traffic:
        yield Step.TRAFFIC


def _look_at_nodes(world: World, placement: Placement) -> tuple[frozenset[str], bool]:
    """Return the nodes of the placement as far as they are known, and whether all are ready.

    What counts as ready is what the step `nodes` waits for; if the two differed, a plan would ask
    for ever for a step that has nothing to do.
    """
    nodes = {node.name: node for node in world.nodes}
    claims = {claim.name: claim for claim in world.claims if not claim.is_deleting}
    found: set[str] = set(placement.existing_nodes)
    are_ready = all(_is_ready(nodes.get(name), 1) for name in placement.existing_nodes)
    for spec in placement.claims:
        claim = claims.get(spec.name)
        if claim is None or not claim.node_name:
            are_ready = False
            continue
        found.add(claim.node_name)
        is_node_ready = _is_ready(nodes.get(claim.node_name), world.gpus_per_node)
        are_ready = are_ready and claim.is_ready and is_node_ready
    return frozenset(found), are_ready


def _is_ready(node: NodeFacts | None, gpus: int) -> bool:
    return node is not None and node.is_ready and node.gpu_capacity >= gpus


def _deadlines(preset: Preset | None) -> StepDeadlines:
    if preset is None:
        return StepDeadlines()
    return StepDeadlines(workload_seconds=preset.ready_deadline_seconds)
