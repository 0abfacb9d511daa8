"""Karpenter: its controllers serve our NodeClaims, so nothing is launched from here.

What is left to do: look after the node class that claims name, since Karpenter deletes claims whose
class is missing or not ready; and find out why a claim that was asked for is gone, since Karpenter
deletes those that it has no capacity for and says why only in an Event.

The claim stands for its machine: Karpenter's finalizer keeps it until the provider says that the
machine is gone. So the proof of deletion counts claims.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from activities.clients.kubernetes import (
    EVENTS,
    HTTP_CONFLICT,
    NODE_CLAIMS,
    ApiError,
    Kind,
    KubernetesClient,
)
from activities.provisioners.base import Machine, MachineRequest
from api import names
from api.errors import BY_REASON, AccessDenied, NotReadyYet, PlatformError, ProviderFailed
from planner.facts import claim_facts
from planner.fields import condition_status, conditions_of, labels_of, text_at, text_map_at
from planner.karpenter_conditions import failure_of_event
from planner.render.node_class import NodeClass, render_node_class

CHECKED_SECONDS: Final = 120.0
"""2 min for which a node class that was ready counts as ready: claims come in groups, and one that
breaks meanwhile shows in the Event of a claim (a guess)."""

READY_SECONDS: Final = 120.0
"""2 min from its creation for a node class to get ready, upstream's wait: Karpenter looks up
images, subnets and security groups first."""

EVENT_NAMESPACE: Final = "default"
"""Where Kubernetes keeps Events of objects that have no namespace."""

EVENT_CLOCK_SKEW: Final = timedelta(seconds=30)
"""30 s by which Karpenter's clock may lag behind ours (a guess)."""

_HTTP_FORBIDDEN: Final = 403
_HTTP_NOT_FOUND: Final = 404


class KarpenterProvisioner:
    """Leaves machines to Karpenter."""

    name = "karpenter"

    def __init__(
        self,
        cluster: KubernetesClient,
        node_class: NodeClass,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the cluster whose Karpenter serves, and the class that claims name by default."""
        self._cluster = cluster
        self._node_class = node_class
        self._clock = clock
        self._ready_at: dict[str, float] = {}

    # --- before claims are made -------------------------------------------------------------------

    async def prepare(self, name: str = "") -> None:
        """Return when claims that name this node class can be served.

        Args:
            name: Of the class; empty: the one of the settings, which is made where that is asked.

        Raises:
            ProviderFailed: Karpenter or the class is not there, or the class stays not ready.
            NotReadyYet: the class was made a moment ago.
            AccessDenied: the platform may not read or make it.
        """
        name = name or self._node_class.name
        checked_at = self._ready_at.get(name)
        if checked_at is not None and self._clock() - checked_at < CHECKED_SECONDS:
            return
        self._require_ready(name, await self._find_or_make(name))
        self._ready_at[name] = self._clock()

    async def _find_or_make(self, name: str) -> dict[str, Any]:
        node_class, kind = self._node_class, self._kind
        try:
            return await self._cluster.get(kind, name)
        except ApiError as error:
            if error.status != _HTTP_NOT_FOUND:
                raise self._refusal(error, "read", name) from error
            if not error.reason:
                # Only an unknown kind is answered without a Status object.
                raise ProviderFailed(
                    f"the cluster knows no {kind.kind} of {kind.api_version}; install Karpenter "
                    "with its CRDs, or set KAITO_PROVISIONER to another provisioner"
                ) from error
        if name != node_class.name or not node_class.create:
            raise ProviderFailed(
                f"there is no {kind.kind} {name!r}, which new NodeClaims name; create it, or set "
                "KAITO_NODE_CLASS_NAME to one that exists, or KAITO_NODE_CLASS_CREATE to true"
            )
        problem = node_class.problem()
        if problem:
            raise ProviderFailed(f"{kind.kind} {name!r} can't be created: {problem}")
        try:
            return await self._cluster.create(kind, render_node_class(node_class))
        except ApiError as error:
            if error.status == HTTP_CONFLICT:
                # Another worker was faster.
                return await self._cluster.get(kind, name)
            raise self._refusal(error, "create", name) from error

    def _require_ready(self, name: str, node_class: Mapping[str, Any]) -> None:
        if condition_status(node_class, "Ready") == "True":
            return
        what = f"{self._node_class.kind} {name!r}"
        causes = "; ".join(
            f"{found}: {text_at(condition, 'message') or text_at(condition, 'reason')}"
            for found, condition in conditions_of(node_class)
            if text_at(condition, "status") != "True"
        )
        created_at = _time(text_at(node_class, "metadata", "creationTimestamp"))
        age = datetime.now(tz=UTC) - created_at
        if age.total_seconds() < READY_SECONDS:
            raise NotReadyYet(f"{what} was made a moment ago and is not ready yet: {causes}")
        raise ProviderFailed(
            f"{what} is not ready, so Karpenter would launch nothing: "
            f"{causes or 'it has no conditions; does Karpenter run?'}"
        )

    def _refusal(self, error: ApiError, verb: str, name: str) -> Exception:
        if error.status != _HTTP_FORBIDDEN:
            return error
        kind = self._kind
        return AccessDenied(
            f"the platform may not {verb} {kind.kind} {name!r} ({error.message}); grant its "
            f"account the verb on {kind.plural}.{kind.group}"
        )

    @property
    def _kind(self) -> Kind:
        one = self._node_class
        return Kind(one.group, one.api_version, one.plural, one.kind, is_namespaced=False)

    # --- after a claim is gone --------------------------------------------------------------------

    async def find_refusal(self, name: str, *, since: datetime) -> PlatformError | None:
        """Return why Karpenter deleted the claim `name`, or None when no Event says it (yet).

        Args:
            name: Of the claim.
            since: When it was asked for; older Events tell of earlier claims of the name.
        """
        try:
            events = await self._cluster.list(EVENTS, EVENT_NAMESPACE)
        except ApiError as error:
            if error.status == _HTTP_FORBIDDEN:
                # What happened is plain without; only the words are lost.
                return None
            raise
        newest: tuple[datetime, PlatformError] | None = None
        for event in events:
            if text_at(event, "involvedObject", "kind") != NODE_CLAIMS.kind:
                continue
            if text_at(event, "involvedObject", "name") != name:
                continue
            seen_at = _event_time(event)
            if seen_at < since - EVENT_CLOCK_SKEW:
                continue
            refusal = failure_of_event(text_at(event, "reason"), text_at(event, "message"))
            if refusal is not None and (newest is None or seen_at >= newest[0]):
                newest = (seen_at, refusal)
        return None if newest is None else newest[1]

    # --- the contract of a provisioner ------------------------------------------------------------

    async def launch(self, request: MachineRequest) -> Machine:
        """Refuse: Karpenter launches what names its node class, and nobody the rest."""
        raise ProviderFailed(
            f"NodeClaim {request.name} names a node class that Karpenter does not serve; it was "
            "made under another KAITO_PROVISIONER"
        )

    async def observe(self, name: str, operation: str = "") -> Machine | None:  # noqa: ARG002 - none
        """Return what Karpenter says of the claim's machine; None when the claim is gone."""
        obj = await self._cluster.find(NODE_CLAIMS, name)
        if obj is None:
            return None
        self._require_karpenters(obj)
        claim = claim_facts(obj)
        state = "running" if claim.node_name else "creating"
        if claim.is_deleting:
            state = "deleting"
        elif claim.failure_reason:
            state = "failed"
        cause = BY_REASON.get(claim.failure_reason)
        return Machine(
            name=name,
            provider_id=claim.provider_id,
            state=state,
            message=claim.failure_message,
            error=None if cause is None else cause(claim.failure_message),
        )

    async def terminate(self, name: str) -> None:
        """Delete the claim; Karpenter lets go of it when its machine is gone."""
        obj = await self._cluster.find(NODE_CLAIMS, name)
        if obj is None:
            return
        self._require_karpenters(obj)
        await self._cluster.delete(NODE_CLAIMS, name, uid=obj["metadata"]["uid"])

    async def list_owned(self, tags: Mapping[str, str]) -> list[str]:
        """Return the names of Karpenter's claims that carry `tags`, sorted."""
        # What claims for Karpenter can't carry as a label is an annotation of theirs.
        labels = {key: tag for key, tag in tags.items() if key != names.LABEL_MANAGED_BY}
        return sorted(
            claim["metadata"]["name"]
            for claim in await self._cluster.list(NODE_CLAIMS, "", labels)
            if self._is_karpenters(claim) and tags.items() <= _marks_of(claim).items()
        )

    async def close(self) -> None:
        """Nothing is open; the cluster's connection belongs to the worker."""

    def _is_karpenters(self, claim: Mapping[str, Any]) -> bool:
        return text_at(claim, "spec", "nodeClassRef", "group") == self._node_class.group

    def _require_karpenters(self, claim: Mapping[str, Any]) -> None:
        """Refuse to speak for a machine that Karpenter does not know: "gone" would leak it."""
        if not self._is_karpenters(claim):
            raise ProviderFailed(
                f"the machine of NodeClaim {text_at(claim, 'metadata', 'name')} was made under "
                "another KAITO_PROVISIONER, and only that one can give it back; set it again until "
                "the claim is gone"
            )


def _marks_of(claim: Mapping[str, Any]) -> dict[str, str]:
    return {**text_map_at(claim, "metadata", "annotations"), **labels_of(claim)}


def _event_time(event: Mapping[str, Any]) -> datetime:
    """Return when the Event last happened; when it was written, where it does not say."""
    moments = [
        text_at(event, *path)
        for path in (("lastTimestamp",), ("eventTime",), ("series", "lastObservedTime"))
    ]
    told = [_time(moment) for moment in moments if moment]
    return max(told, default=_time(text_at(event, "metadata", "creationTimestamp")))


def _time(text: str) -> datetime:
    """Return the moment; the beginning of time for an empty or odd text."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
