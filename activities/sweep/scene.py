"""Lists everything that a sweep judges, past every cache, owned things before their owners."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from temporalio.client import Client
from temporalio.service import RPCError

from activities.clients.kubernetes import NODE_CLAIMS, WORKSPACES
from activities.context import ActivityContext
from activities.errors import translate
from activities.sweep import workflow_door
from api import names
from api.errors import trim
from api.payloads import WorkspaceRef
from planner.strays import (
    ClaimSeen,
    Listing,
    MachineSeen,
    Scene,
    WorkspaceSeen,
    claim_seen,
    with_owners,
    workspace_seen,
)

_logger = logging.getLogger(__name__)

_Item = TypeVar("_Item")


async def look(ctx: ActivityContext, client: Client) -> Scene:
    """Return what there is to see; a list that failed is empty and says why."""
    namespace = ctx.settings.watch_namespace
    workflow_ids = await _listing(lambda: workflow_door.list_open(client))
    machine_names = await _listing(lambda: ctx.provisioner.list_owned(_our_tags(namespace)))
    claims = await _objects(lambda: ctx.cluster.list(NODE_CLAIMS), claim_seen)
    workspaces = await _objects(lambda: ctx.cluster.list(WORKSPACES, namespace), workspace_seen)
    return Scene(
        now=datetime.now(tz=UTC),
        workspaces=workspaces,
        claims=claims,
        machines=await _with_owners(ctx, machine_names, claims, workspaces),
        workflow_ids=workflow_ids,
        namespace=namespace,
    )


async def _with_owners(
    ctx: ActivityContext,
    machine_names: Listing[str],
    claims: Listing[ClaimSeen],
    workspaces: Listing[WorkspaceSeen],
) -> Listing[MachineSeen]:
    """Find out which living Workspace a machine without claim belongs to.

    Only for those, as it asks the provider once for each Workspace that stays.
    """
    lists = (machine_names, claims, workspaces)
    problem = next((one.problem for one in lists if not one.is_complete), "")
    lost = set(machine_names.items) - {claim.name for claim in claims.items}
    owners: dict[str, WorkspaceRef] = {}

    async def ask() -> list[str]:
        for workspace in workspaces.items:
            if not lost - owners.keys():
                break
            if not workspace.is_deleting:
                tags = {names.LABEL_WORKSPACE_UID: workspace.ref.uid}
                owned = await ctx.provisioner.list_owned(tags)
                owners.update(dict.fromkeys(lost.intersection(owned), workspace.ref))
        return []

    if not problem:
        problem = (await _listing(ask)).problem
    return Listing(with_owners(machine_names.items, owners), problem)


def _our_tags(namespace: str) -> dict[str, str]:
    tags = {names.LABEL_MANAGED_BY: names.MANAGED_BY}
    return tags | ({names.LABEL_WORKSPACE_NAMESPACE: namespace} if namespace else {})


async def _objects(
    ask: Callable[[], Awaitable[Sequence[dict[str, Any]]]],
    read: Callable[[dict[str, Any]], _Item],
) -> Listing[_Item]:
    found = await _listing(ask)
    return Listing(tuple(read(obj) for obj in found.items), found.problem)


async def _listing(ask: Callable[[], Awaitable[Iterable[_Item]]]) -> Listing[_Item]:
    try:
        return Listing(tuple(await ask()))
    except RPCError as error:
        return Listing(problem=trim(f"Temporal: {error.status.name}: {error.message}"))
    except Exception as error:
        known = translate(error)
        if known is None:
            # A bug in one client must not blind the sweep to everything else.
            _logger.exception("a list of the sweep failed in a way that has no name")
        return Listing(problem=trim(str(known or repr(error))))
