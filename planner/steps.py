"""The steps of an operation that are not as they should be, judged from what is there."""

from __future__ import annotations

from collections.abc import Iterator

from api.payloads import RolloutMode, Step
from planner.node_matching import NodeNeed
from planner.placement import Placement, is_running
from planner.rollout import Transition
from planner.world import NodeFacts, World


def steps_left(
    world: World,
    transition: Transition,
    active_revision: str,
    need: NodeNeed,
    placement: Placement,
    *,
    has_endpoint: bool,
    is_public: bool = False,
) -> Iterator[Step]:
    """Yield them in the order in which they run; none when all is well.

    Args:
        world: What was observed.
        transition: To the revision that is to serve.
        active_revision: That the Service selects now.
        need: What is needed of each node.
        placement: The nodes to run on.
        has_endpoint: The pods are known to answer as a model server does.
        is_public: The Service is to have an address outside the cluster.
    """
    node_names, are_nodes_ready = _look_at_nodes(world, need, placement)
    revision = transition.revision
    count = len(placement.claims) + len(placement.existing_nodes)
    workload = next((one for one in world.workloads if one.revision == revision), None)
    is_serving = (
        workload is not None and workload.node_names == node_names and is_running(workload, count)
    )
    if not are_nodes_ready:
        yield Step.NODES
    if workload is None or workload.is_at_rest:
        # A node may have dropped images that nothing used; to look costs a moment.
        yield Step.IMAGES
    if not is_serving:
        yield Step.WORKLOAD
    has_traffic = active_revision == revision
    if has_endpoint and not (is_serving and has_traffic):
        yield Step.ENDPOINT
    is_service_as_wanted = world.service is not None and world.service.is_public == is_public
    if not (has_traffic and is_service_as_wanted):
        yield Step.TRAFFIC
    are_stopped_before = not is_serving and transition.mode is not RolloutMode.SURGE
    if stale_revisions(world, revision) and not are_stopped_before:
        yield Step.RETIRE


def stale_revisions(world: World, revision: str) -> list[str]:
    """Return the other revisions that have pods, or want some, sorted.

    One that was stopped is kept to go back to, and is in nobody's way.
    """
    return sorted(
        {
            one.revision
            for one in world.workloads
            if one.revision not in {revision, ""} and not one.is_at_rest
        }
    )


def _look_at_nodes(
    world: World, need: NodeNeed, placement: Placement
) -> tuple[frozenset[str], bool]:
    """Return the nodes of the placement as far as they are known, and whether all are ready.

    What counts as ready is what the step `nodes` waits for, or less; if it were more, a plan would
    ask for ever for a step that has nothing to do.
    """
    nodes = {node.name: node for node in world.nodes}
    claims = {claim.name: claim for claim in world.claims if not claim.is_deleting}
    found: set[str] = set(placement.existing_nodes)
    # An existing node was chosen because it has enough; one that runs a workload may show less.
    least = min(need.gpus, 1)
    are_ready = all(
        _is_ready(nodes.get(name), need.device, least) for name in placement.existing_nodes
    )
    for spec in placement.claims:
        claim = claims.get(spec.name)
        if claim is None or not claim.node_name:
            are_ready = False
            continue
        found.add(claim.node_name)
        is_node_ready = _is_ready(nodes.get(claim.node_name), need.device, need.gpus)
        are_ready = are_ready and claim.is_ready and is_node_ready
    return frozenset(found), are_ready


def _is_ready(node: NodeFacts | None, device: str, count: int) -> bool:
    return node is not None and node.is_ready and node.capacity_of(device) >= count
