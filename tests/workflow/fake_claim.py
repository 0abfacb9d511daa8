"""One NodeClaim and its machine: activities under the contracts' names act on them."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable

from temporalio import activity

from api import payloads as p
from api.errors import PlatformError
from tests.workflow.fake_world import UNTIL_SECONDS, as_activity_error


class FakeClaim:
    """A claim in the cluster and a machine at a provider."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.uid = "claim-uid"
        self.exists = True
        self.is_deleting = False
        self.has_finalizer = True
        self.has_machine = False
        self.is_node_ready = False
        self.launches_count = 0
        self.tokens_seen: list[str] = []
        """Of the provider's operation, as each wait was given it."""
        self.reports: list[p.ReportNodeClaimInput] = []
        self.calls: list[str] = []
        self.joins = asyncio.Event()
        """Cleared by a test that wants a machine to stay on its way."""
        self.joins.set()
        self._faults: dict[str, deque[PlatformError]] = defaultdict(deque)
        self._changed = asyncio.Condition()

    def fail(self, name: str, error: PlatformError, times: int = 1) -> None:
        """Let the next attempts of an activity fail."""
        self._faults[name].extend([error] * times)

    async def until(self, what: Callable[[], bool]) -> None:
        """Wait until something is true of this claim."""
        async with asyncio.timeout(UNTIL_SECONDS), self._changed:
            await self._changed.wait_for(what)

    async def _begin(self) -> None:
        name = activity.info().activity_type
        self.calls.append(name)
        await self._tell()
        if self._faults[name]:
            raise as_activity_error(self._faults[name].popleft())

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    @activity.defn(name="observe_node_claim")
    async def observe_node_claim(self, payload: p.NodeClaimRef) -> p.NodeClaimFacts:
        await self._begin()
        if not self.exists:
            return p.NodeClaimFacts()
        said = self.reports[-1] if self.reports else None
        return p.NodeClaimFacts(
            found=True,
            uid=self.uid,
            deleting=self.is_deleting,
            has_finalizer=self.has_finalizer,
            instance_type="onebox.small",
            launched=bool(said and said.launched),
            ready=bool(said and said.initialized) and self.is_node_ready,
            node_name=said.node_name if said else "",
            provider_id=said.provider_id if said else "",
        )

    @activity.defn(name="launch_node")
    async def launch_node(self, payload: p.LaunchInput) -> p.LaunchResult:
        await self._begin()
        is_new = not self.has_machine
        self.launches_count += is_new
        self.has_machine = True
        await self._tell()
        return p.LaunchResult(
            provider_id=f"onebox:///{self.name}",
            created=is_new,
            # Only the call that began the operation knows its token.
            operation_token=f"token-{self.launches_count}" if is_new else "",
        )

    @activity.defn(name="await_node_initialized")
    async def await_node_initialized(
        self, payload: p.AwaitInitializedInput
    ) -> p.AwaitInitializedResult:
        self.tokens_seen.append(payload.operation_token)
        await self._begin()
        while not self.joins.is_set():
            activity.heartbeat("on its way")
            await asyncio.sleep(0.1)
        self.is_node_ready = True
        return p.AwaitInitializedResult(node_name=self.name)

    @activity.defn(name="report_node_claim")
    async def report_node_claim(self, payload: p.ReportNodeClaimInput) -> p.ReportResult:
        await self._begin()
        self.reports.append(payload)
        await self._tell()
        return p.ReportResult(written=True)

    @activity.defn(name="terminate_node")
    async def terminate_node(self, payload: p.TerminateInput) -> p.TeardownResult:
        await self._begin()
        self.has_machine = self.is_node_ready = False
        return p.TeardownResult(removed=[f"machine/{self.name}"])

    @activity.defn(name="release_node_claim")
    async def release_node_claim(self, payload: p.NodeClaimRef) -> p.TeardownResult:
        await self._begin()
        assert not self.has_machine, "let go of while its machine still runs"
        self.has_finalizer = False
        self.exists = not self.is_deleting
        await self._tell()
        return p.TeardownResult()

    def activities(self) -> list[Callable[..., object]]:
        """Everything to register."""
        found = (getattr(self, name) for name in dir(type(self)))
        return [each for each in found if hasattr(each, "__temporal_activity_definition")]
