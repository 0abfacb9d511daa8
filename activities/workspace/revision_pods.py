"""The pods of one revision that serve, and why they can't."""

from __future__ import annotations

from typing import Any

from activities.context import ActivityContext
from activities.workspace.last_words import LastWords
from activities.workspace.reading import owned_by
from api import names
from api import payloads as p
from api.errors import BY_REASON, RuntimeFailed
from planner import facts
from planner.pods import PodsVerdict, diagnose
from planner.world import PodFacts


def pod_objects(ctx: ActivityContext, ref: p.WorkspaceRef, revision: str) -> list[dict[str, Any]]:
    """Return the pods of a revision that serve or are to serve, as the cache knows them."""
    labels = {
        **owned_by(ref),
        names.LABEL_REVISION: revision,
        names.LABEL_ROLE: names.ROLE_INFERENCE,
    }
    return ctx.informers.pods.list(ref.namespace, labels)


def pods_of(ctx: ActivityContext, ref: p.WorkspaceRef, revision: str) -> list[PodFacts]:
    """Return the facts of those pods."""
    return [facts.pod_facts(pod) for pod in pod_objects(ctx, ref, revision)]


class Watched:
    """The pods of a revision during one wait: what happened before it does not count."""

    def __init__(self, ctx: ActivityContext, ref: p.WorkspaceRef, revision: str) -> None:
        """Note how often each pod has restarted; Kubernetes never resets that count."""
        self._ctx, self._ref, self._revision = ctx, ref, revision
        self._restarts = {pod.name: pod.restart_count for pod in pods_of(ctx, ref, revision)}
        self._words = LastWords(ctx.cluster)

    async def judge(self, want: int) -> PodsVerdict:
        """Return how far the pods are.

        Raises:
            PlatformError: they won't become ready by themselves, with the cause.
        """
        objects = pod_objects(self._ctx, self._ref, self._revision)
        pods = [await self._words.facts_of(pod) for pod in objects]
        verdict = diagnose(pods, want, self._restarts)
        if verdict.failure is not None:
            cause = BY_REASON.get(verdict.failure.reason, RuntimeFailed)
            raise cause(verdict.failure.message)
        return verdict
