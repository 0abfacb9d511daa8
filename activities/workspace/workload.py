"""The step `workload`: the StatefulSet of a revision, until its pods are ready or can't be."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from activities.clients.kubernetes import CONFIG_MAPS, PODS, SERVICES, STATEFUL_SETS
from activities.context import ActivityContext
from activities.errors import implements
from activities.waiting import Deadline, Done, Still, wait_until
from activities.workspace.owning import ensure_exists
from activities.workspace.reading import owned_by, read_revision, sizing_on
from activities.workspace.revision_pods import Watched, pods_of
from api import contracts, names
from api import payloads as p
from api.errors import InsufficientCapacity
from planner import facts
from planner.pods import failure_of
from planner.render import render_config_map, render_headless_service, render_workload

NO_ROOM_SECONDS: Final = 10.0
"""10 s: the scheduler looks again at each change of a node, so this is no passing state: nodes of
the plan have their GPUs free, as earlier pods are gone before. Planning again finds other nodes, so
a busy scheduler's hesitation costs one pass (a guess)."""


class Workload:
    """Makes, waits for and stops the workloads of revisions."""

    def __init__(self, ctx: ActivityContext) -> None:
        """Take what all activities share."""
        self._ctx = ctx

    @implements(contracts.ensure_workload)
    async def ensure_workload(self, payload: p.EnsureWorkloadInput) -> p.EnsureWorkloadResult:
        """See the contract."""
        revision = await read_revision(self._ctx, payload)
        body = render_workload(
            revision.workspace,
            revision.preset,
            payload.revision,
            payload.node_names,
            self._ctx.settings.platform,
            sizing_on(self._ctx, revision, payload.node_names),
        )
        # What pods mount and how they find each other comes before the first pod.
        if revision.config_text is not None:
            config_map = render_config_map(
                revision.workspace, payload.revision, revision.config_text
            )
            await ensure_exists(self._ctx, CONFIG_MAPS, config_map)
        if body["spec"]["replicas"] > 1:
            headless = render_headless_service(revision.workspace)
            await ensure_exists(self._ctx, SERVICES, headless)
        created = await ensure_exists(self._ctx, STATEFUL_SETS, body)
        if not created:
            await self._match(body)
            await self._restart_failed_pods(payload)
        return p.EnsureWorkloadResult(
            workload_name=body["metadata"]["name"],
            created=created,
            replicas=body["spec"]["replicas"],
        )

    async def _match(self, body: Mapping[str, Any]) -> None:
        """Bring an existing StatefulSet to what may differ within one revision: where, how many."""
        metadata, spec = body["metadata"], body["spec"]
        existing = await self._ctx.cluster.get(
            STATEFUL_SETS, metadata["name"], metadata["namespace"]
        )
        wanted = {
            "replicas": spec["replicas"],
            "template": {"spec": {"affinity": spec["template"]["spec"]["affinity"]}},
        }
        if (
            existing["spec"]["replicas"] == wanted["replicas"]
            and existing["spec"]["template"]["spec"].get("affinity")
            == wanted["template"]["spec"]["affinity"]
        ):
            return
        await self._ctx.cluster.merge_patch(
            STATEFUL_SETS, metadata["name"], {"spec": wanted}, metadata["namespace"]
        )

    async def _restart_failed_pods(self, payload: p.RevisionInput) -> None:
        """Let pods that can't become ready start anew now, not after the kubelet's back-off.

        This runs when the step begins again, by `retry` or after the cause was mended.
        """
        for pod in pods_of(self._ctx, payload.workspace, payload.revision):
            if not pod.is_ready and failure_of(pod, pod.restart_count) is not None:
                await self._ctx.cluster.delete(PODS, pod.name, payload.workspace.namespace)

    @implements(contracts.await_workload)
    async def await_workload(self, payload: p.AwaitWorkloadInput) -> p.AwaitWorkloadResult:
        """See the contract."""
        ref = payload.workspace
        informers = self._ctx.informers
        name = names.workload_name(ref.name, payload.revision)
        room, pods = _Room(), Watched(self._ctx, ref, payload.revision)

        async def check() -> Done[list[str]] | Still:
            obj = informers.stateful_sets.get(name, ref.namespace)
            verdict = await pods.judge(payload.replicas)
            is_current = obj is not None and facts.workload_facts(obj).is_current
            if is_current and len(verdict.ready) >= payload.replicas:
                return Done(sorted(verdict.ready))
            room.look(verdict.unschedulable)
            return Still(verdict.sentence)

        pod_names = await wait_until(
            check,
            deadline=Deadline(
                "starting the model server",
                payload.deadline_seconds,
                f"See kubectl logs -n {ref.namespace} {name}-0.",
            ),
            informers=(informers.pods, informers.stateful_sets),
            index_value=ref.uid,
        )
        return p.AwaitWorkloadResult(pod_names=pod_names)

    @implements(contracts.retire_workloads)
    async def retire_workloads(self, payload: p.RetireWorkloadsInput) -> p.RetireWorkloadsResult:
        """See the contract."""
        ref = payload.workspace
        asked = {
            names.workload_name(ref.name, revision): await self._scale_to_nothing(ref, revision)
            for revision in payload.revisions
        }

        async def check() -> Done[None] | Still:
            pods = [
                pod.name
                for revision in payload.revisions
                for pod in pods_of(self._ctx, ref, revision)
            ]
            if pods:
                return Still(f"waiting until {', '.join(sorted(pods))} ended")
            # Until its controller has seen the order it may be about to make a pod.
            unheard = [
                name
                for name, generation in asked.items()
                if not await self._is_heard(ref, name, generation)
            ]
            if unheard:
                return Still(f"waiting until {', '.join(sorted(unheard))} is scaled to nothing")
            return Done(None)

        await wait_until(
            check,
            deadline=Deadline(
                "removing earlier workloads",
                payload.deadline_seconds,
                "See kubectl describe pod for what keeps them.",
            ),
            informers=(self._ctx.informers.pods, self._ctx.informers.stateful_sets),
            index_value=ref.uid,
        )
        return p.RetireWorkloadsResult(retired=sorted(asked))

    async def _scale_to_nothing(self, ref: p.WorkspaceRef, revision: str) -> int:
        """Return the generation of the workload that wants no pods; 0 when there is no workload."""
        name = names.workload_name(ref.name, revision)
        existing = await self._ctx.cluster.find(STATEFUL_SETS, name, ref.namespace)
        if existing is None or not _is_of(existing, ref):
            return 0
        if existing["spec"].get("replicas") != 0:
            existing = await self._ctx.cluster.merge_patch(
                STATEFUL_SETS,
                name,
                {"metadata": {"uid": existing["metadata"]["uid"]}, "spec": {"replicas": 0}},
                ref.namespace,
            )
        return int(existing["metadata"]["generation"])

    async def _is_heard(self, ref: p.WorkspaceRef, name: str, generation: int) -> bool:
        """Whether a workload's controller has carried out the order of that generation."""
        obj = self._ctx.informers.stateful_sets.get(name, ref.namespace)
        if obj is None:
            # It is gone, or the cache has not seen it come yet.
            obj = await self._ctx.cluster.find(STATEFUL_SETS, name, ref.namespace)
        if not generation or obj is None or not _is_of(obj, ref):
            return True
        status = obj.get("status") or {}
        return status.get("observedGeneration", 0) >= generation and not status.get("replicas")


def _is_of(obj: Mapping[str, Any], ref: p.WorkspaceRef) -> bool:
    return owned_by(ref).items() <= (obj["metadata"].get("labels") or {}).items()


class _Room:
    """Gives up when the scheduler finds no room for a pod, and goes on finding none.

    Two Workspaces may have chosen the same existing node; the one that lost plans again.
    """

    def __init__(self) -> None:
        self._since_seconds: float | None = None

    def look(self, unschedulable: str) -> None:
        now_seconds = time.monotonic()
        if not unschedulable:
            self._since_seconds = None
        elif self._since_seconds is None:
            self._since_seconds = now_seconds
        elif now_seconds - self._since_seconds > NO_ROOM_SECONDS:
            raise InsufficientCapacity(
                f"no node has had room for {NO_ROOM_SECONDS:.0f} s: {unschedulable}"
            )
