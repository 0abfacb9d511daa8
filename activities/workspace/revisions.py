"""What became of each revision, written on its record; and which records are kept.

A record is more than history: a rollback renders from it, and its workload of no pods is scaled up
again. So both are kept together, and forgotten together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from activities.clients.kubernetes import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    WORKSPACES,
    Kind,
)
from activities.context import ActivityContext
from activities.errors import implements
from activities.workspace.reading import list_revisions, owned_by, revision_of
from activities.workspace.records import rewrite_record
from activities.workspace.revision_pods import pod_objects
from api import contracts, names
from api import payloads as p
from api.errors import trim
from planner.fields import text_at
from planner.image_digests import digests_of
from planner.workload_facts import workload_facts


class Revisions:
    """Keeps the records of a Workspace's revisions."""

    def __init__(self, ctx: ActivityContext) -> None:
        """Take what all activities share."""
        self._ctx = ctx

    @implements(contracts.mark_revision)
    async def mark_revision(self, payload: p.MarkRevisionInput) -> p.MarkRevisionResult:
        """See the contract."""
        records = await list_revisions(self._ctx, payload.workspace)
        known = next((one for one in records if revision_of(one) == payload.revision), None)
        if known is not None:
            await rewrite_record(self._ctx, known, self._marks(payload))
        excess = len(records) - max(payload.history_limit, 1)
        if excess <= 0:
            return p.MarkRevisionResult()
        return p.MarkRevisionResult(pruned=await self._prune(payload, records, excess))

    def _marks(self, payload: p.MarkRevisionInput) -> dict[str, str | None]:
        """Return the annotations; None for one that must not be there."""
        is_good = payload.outcome is p.RevisionOutcome.GOOD
        marks: dict[str, str | None] = {
            names.ANNOTATION_OUTCOME: payload.outcome.value or None,
            # Why it failed once is of no interest any more when it serves.
            names.ANNOTATION_OUTCOME_MESSAGE: trim(payload.message) or None,
        }
        pods = pod_objects(self._ctx, payload.workspace, payload.revision)
        if is_good and (digests := digests_of(pods)):
            marks[names.ANNOTATION_IMAGES] = json.dumps(digests, sort_keys=True)
        return marks

    # --- what is forgotten --------------------------------------------------------------------

    async def _prune(
        self, payload: p.MarkRevisionInput, records: Sequence[Mapping[str, Any]], excess: int
    ) -> list[str]:
        """Remove so many of the oldest records that nothing needs, with all that is of them."""
        ref = payload.workspace
        needed = {payload.revision, *payload.keep} | await self._in_use(ref)
        by_age = sorted(records, key=lambda record: int(record.get("revision") or 0))
        # The newest is what the spec asks for, or asked for last.
        gone = [one for one in by_age[:-1] if revision_of(one) not in needed][:excess]
        if not gone:
            return []
        revisions = {revision_of(one) for one in gone}
        live = await self._ctx.cluster.find(WORKSPACES, ref.name, ref.namespace)
        named = text_at(live or {}, "inference", "config")
        kept = {revision_of(one) for one in records} - revisions
        for obj in await self._ctx.cluster.list(STATEFUL_SETS, ref.namespace, owned_by(ref)):
            if revision_of(obj) in revisions:
                await self._delete(STATEFUL_SETS, obj)
        for obj in await self._ctx.cluster.list(CONFIG_MAPS, ref.namespace, owned_by(ref)):
            # Also those of revisions that went while the spec still named their settings.
            if revision_of(obj) not in kept and obj["metadata"]["name"] != named:
                await self._delete(CONFIG_MAPS, obj)
        # Records last: an attempt that is cut short finds them, and what is of them, again.
        for record in gone:
            await self._delete(CONTROLLER_REVISIONS, record)
        return [revision_of(one) for one in gone]

    async def _in_use(self, ref: p.WorkspaceRef) -> set[str]:
        """Return the revisions that have pods, want some, or get the traffic."""
        cluster, namespace, labels = self._ctx.cluster, ref.namespace, owned_by(ref)
        found = {revision_of(pod) for pod in await cluster.list(PODS, namespace, labels)}
        for obj in await cluster.list(STATEFUL_SETS, namespace, labels):
            if workload_facts(obj).replicas:
                found.add(revision_of(obj))
        service = await cluster.find(SERVICES, ref.name, namespace)
        if service is not None:
            found.add(text_at(service, "spec", "selector", names.LABEL_REVISION))
        return found

    async def _delete(self, kind: Kind, obj: Mapping[str, Any]) -> None:
        metadata = obj["metadata"]
        await self._ctx.cluster.delete(
            kind, metadata["name"], metadata["namespace"], uid=metadata["uid"]
        )
