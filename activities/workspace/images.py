"""The step `images`: every image on every node before anything is stopped or started.

The kubelet pulls, so pull secrets, mirrors and policies of the cluster hold; a short-lived pod per
node makes it do so. Nodes that list the image already get no pod.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from activities.clients.kubernetes import HTTP_CONFLICT, PODS, ApiError
from activities.context import ActivityContext
from activities.errors import implements
from activities.waiting import Deadline, Done, Still, wait_until
from activities.workspace.reading import RecordedRevision, owned_by, read_revision
from api import contracts, names
from api import payloads as p
from api.errors import BY_REASON, RuntimeFailed
from planner import facts
from planner.pods import diagnose
from planner.render import images_of, render_pull_pod

_FINISHED: Final = frozenset({"Succeeded", "Failed"})


class Images:
    """Makes the kubelets pull."""

    def __init__(self, ctx: ActivityContext) -> None:
        """Take what all activities share."""
        self._ctx = ctx

    @implements(contracts.pull_images)
    async def pull_images(self, payload: p.PullImagesInput) -> p.PullImagesResult:
        """See the contract."""
        revision = await read_revision(self._ctx, payload)
        images = images_of(revision.workspace, revision.preset, self._ctx.settings.platform)
        lacking = [name for name in payload.node_names if not self._has_all(name, images)]
        if lacking:
            pods = await self._ensure_pods(revision, payload.revision, lacking)
            try:
                await self._await_pods(payload, pods)
            finally:
                # A pull that failed leaves no pod behind either; its cause is in the error.
                namespace = payload.workspace.namespace
                for name in pods:
                    await self._ctx.cluster.delete(PODS, name, namespace, grace_seconds=0)
        return p.PullImagesResult(
            images=images, already_present=len(payload.node_names) - len(lacking)
        )

    def _has_all(self, node_name: str, images: Sequence[str]) -> bool:
        obj = self._ctx.informers.nodes.get(node_name)
        return obj is not None and facts.node_facts(obj).image_names.issuperset(images)

    async def _ensure_pods(
        self, recorded: RecordedRevision, revision: str, node_names: Sequence[str]
    ) -> list[str]:
        pods = []
        for index, node_name in enumerate(node_names):
            body = render_pull_pod(
                recorded.workspace,
                recorded.preset,
                revision,
                node_name,
                index,
                self._ctx.settings.platform,
            )
            pods.append(body["metadata"]["name"])
            try:
                await self._ctx.cluster.create(PODS, body, recorded.workspace.namespace)
            except ApiError as error:
                if error.status != HTTP_CONFLICT:
                    raise
        return pods

    async def _await_pods(self, payload: p.PullImagesInput, pod_names: Sequence[str]) -> None:
        ref = payload.workspace

        async def check() -> Done[None] | Still:
            found = {
                pod["metadata"]["name"]: pod
                for pod in self._ctx.informers.pods.list(ref.namespace, owned_by(ref))
                if pod["metadata"]["labels"].get(names.LABEL_ROLE) == names.ROLE_IMAGE_PULL
            }
            waiting = [name for name in pod_names if not _is_over(found.get(name))]
            if not waiting:
                return Done(None)
            # A pod that the informer has not seen yet is one that is still to be created.
            seen = [facts.pod_facts(found[name]) for name in waiting if name in found]
            verdict = diagnose(seen, len(waiting))
            if verdict.failure is not None:
                cause = BY_REASON.get(verdict.failure.reason, RuntimeFailed)
                raise cause(verdict.failure.message)
            pulled = len(pod_names) - len(waiting)
            return Still(f"images on {pulled} of {len(pod_names)} nodes; {verdict.sentence}")

        await wait_until(
            check,
            deadline=Deadline(
                "pulling images",
                payload.deadline_seconds,
                "Check that the registry is reachable from the nodes.",
            ),
            informers=(self._ctx.informers.pods,),
            index_value=ref.uid,
        )


def _is_over(pod: Mapping[str, Any] | None) -> bool:
    """Whether the kubelet has the images: the pod ended, or its containers got as far as running.

    A pod that can't be found yet is not over.
    """
    if pod is None:
        return False
    status = pod.get("status") or {}
    return status.get("phase") in _FINISHED
