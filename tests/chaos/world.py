"""The servers of a chaos session, shared by all of its runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from tests.chaos.recorder import Recorder
from tests.chaos.variants import GOOD_ADAPTER, write_settings
from tests.harness.platform import Platform
from tests.harness.pod_actor import PodActor
from tests.harness.storm_proxy import StormProxy


@dataclass
class World:
    """A platform whose API server, pods and clocks can be made to misbehave."""

    platform: Platform
    actor: PodActor
    recorder: Recorder

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[World]:
        """Start all of it; at the end nothing is left."""
        async with AsyncExitStack() as stack:
            platform = await stack.enter_async_context(
                Platform.running(boot_seconds=0.4, plays_pods=False, has_proxy=True)
            )
            platform.model.adapters.append(GOOD_ADAPTER)
            await write_settings(platform.kube)
            actor = await stack.enter_async_context(PodActor(platform.kube))
            recorder = await stack.enter_async_context(Recorder(platform.kube))
            yield cls(platform, actor, recorder)

    @property
    def proxy(self) -> StormProxy:
        """Return what stands before the API server."""
        assert self.platform.proxy is not None
        return self.platform.proxy

    def reseed(self, seed: int) -> None:
        """Begin all dice anew, and forget what was recorded."""
        self.proxy.reseed(seed)
        self.actor.reseed(seed)
        self.recorder.forget()
