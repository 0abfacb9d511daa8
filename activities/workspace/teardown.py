"""Teardown: delete, wait until gone, prove it past every cache, and only then let go."""

from __future__ import annotations

from typing import Final

from activities.clients.kubernetes import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    NODE_CLAIMS,
    NODES,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    WORKSPACES,
    ApiError,
    Kind,
)
from activities.context import ActivityContext
from activities.errors import implements
from activities.waiting import Deadline, Done, Still, wait_until
from activities.workspace.reading import find_workspace_object, owned_by
from api import contracts, names
from api import payloads as p

NAMESPACED_KINDS: Final = (SERVICES, STATEFUL_SETS, PODS, CONFIG_MAPS, CONTROLLER_REVISIONS)
"""Kinds that the platform makes in a Workspace's namespace, in the order of removal: traffic
first, so that nobody is sent to a server that is about to end. Revisions last: they are the record
from which a step that still runs renders."""

POLL_SECONDS: Final = 1.0
"""1 s between live lists: a deletion takes seconds, and only Workspaces being deleted poll."""


class Teardown:
    """Removes everything that carries a Workspace's uid."""

    def __init__(self, ctx: ActivityContext) -> None:
        """Take what all activities share."""
        self._ctx = ctx

    @implements(contracts.delete_workloads)
    async def delete_workloads(self, payload: p.TeardownInput) -> p.TeardownResult:
        """See the contract."""
        removed: set[str] = set()

        async def check() -> Done[None] | Still:
            # Live lists: a workload that was made a moment ago may not be in a cache yet.
            left: list[str] = []
            refused: ApiError | None = None
            for kind in NAMESPACED_KINDS:
                try:
                    left += await self._delete_all(kind, payload.workspace)
                except ApiError as error:
                    # What can be removed is, whatever one kind's trouble is.
                    refused = refused or error
            removed.update(left)
            if refused is not None:
                raise refused
            return Still(f"waiting until {_enumerate(left)} are gone") if left else Done(None)

        await wait_until(check, deadline=_deadline(payload), beat_seconds=POLL_SECONDS)
        return p.TeardownResult(removed=sorted(removed))

    @implements(contracts.delete_node_claims)
    async def delete_node_claims(self, payload: p.TeardownInput) -> p.TeardownResult:
        """See the contract."""
        removed: set[str] = set()

        async def check() -> Done[None] | Still:
            left = await self._delete_all(NODE_CLAIMS, payload.workspace)
            removed.update(left)
            return Still(f"waiting until {_enumerate(left)} are gone") if left else Done(None)

        await wait_until(check, deadline=_deadline(payload), beat_seconds=POLL_SECONDS)
        return p.TeardownResult(removed=sorted(removed))

    async def _delete_all(self, kind: Kind, ref: p.WorkspaceRef) -> list[str]:
        namespace = ref.namespace if kind.is_namespaced else ""
        left = []
        for obj in await self._ctx.cluster.list(kind, namespace, owned_by(ref)):
            metadata = obj["metadata"]
            left.append(f"{kind.kind}/{metadata['name']}")
            if not metadata.get("deletionTimestamp"):
                await self._ctx.cluster.delete(
                    kind, metadata["name"], namespace, uid=metadata["uid"]
                )
        return left

    @implements(contracts.prove_deleted)
    async def prove_deleted(self, payload: p.TeardownInput) -> p.ProofResult:
        """See the contract."""
        ref = payload.workspace
        leftovers = []
        for kind in (*NAMESPACED_KINDS, NODE_CLAIMS, NODES):
            namespace = ref.namespace if kind.is_namespaced else ""
            leftovers += [
                f"{kind.kind}/{obj['metadata']['name']}"
                for obj in await self._ctx.cluster.list(kind, namespace, owned_by(ref))
            ]
        machines = await self._ctx.provisioner.list_owned(owned_by(ref))
        leftovers += [f"{self._ctx.provisioner.name} machine/{name}" for name in machines]
        return p.ProofResult(leftovers=sorted(leftovers))

    @implements(contracts.release_workspace)
    async def release_workspace(self, payload: p.TeardownInput) -> p.TeardownResult:
        """See the contract."""
        obj = await find_workspace_object(self._ctx, payload.workspace)
        if obj is None:
            return p.TeardownResult()
        metadata = obj["metadata"]
        finalizers = metadata.get("finalizers") or []
        if names.FINALIZER_WORKSPACE not in finalizers:
            return p.TeardownResult()
        await self._ctx.cluster.merge_patch(
            WORKSPACES,
            metadata["name"],
            {
                "metadata": {
                    "resourceVersion": metadata["resourceVersion"],
                    "finalizers": [one for one in finalizers if one != names.FINALIZER_WORKSPACE],
                }
            },
            metadata["namespace"],
        )
        return p.TeardownResult(removed=[f"finalizer/{names.FINALIZER_WORKSPACE}"])


def _deadline(payload: p.TeardownInput) -> Deadline:
    return Deadline(
        "removing the Workspace's resources",
        payload.deadline_seconds,
        "What stays has a finalizer or a node that does not answer; see kubectl describe.",
    )


def _enumerate(things: list[str]) -> str:
    shown = ", ".join(sorted(things)[:5])
    return shown if len(things) <= 5 else f"{shown} and {len(things) - 5} more"  # noqa: PLR2004
