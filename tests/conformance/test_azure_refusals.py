"""From each of Azure's refusals to what its claim says, and to what happens next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio.client import Client

from activities.clients.kubernetes import NODE_CLAIMS, KubernetesClient
from activities.context import ActivityContext, open_context
from api.errors import PlatformError, ProviderFailed, Remedy
from presets.loader import load_catalogue
from tests.conformance.claim_workflows import tell, workers
from tests.conformance.conftest import claim_object, hasten
from tests.conformance.pool_nodes import PoolNodes
from tests.conformance.subjects import Aks
from tests.emulators.azure import CATALOGUE, AzureEmulator, FailLate, Refuse
from tests.harness.cluster import Cluster
from tests.harness.waiting import eventually
from tests.integration.azure.test_errors import EXPECTED
from tests.workflow.conftest import start_real_server

IS_THERE_ALREADY: Final = 412
"""An answer, and no refusal."""

OPERATION_FAILED: Final = 200

REFUSALS: Final = [
    name
    for name, error in CATALOGUE.items()
    if error.status not in {OPERATION_FAILED, IS_THERE_ALREADY}
]
LATE: Final = [name for name, error in CATALOGUE.items() if error.status == OPERATION_FAILED]

PASSES: Final = [name for name in REFUSALS if EXPECTED[name].remedy is Remedy.FAST_RETRY]
SHOWN: Final = [name for name in (*REFUSALS, *LATE) if name not in PASSES]


def shown_class(name: str) -> type[PlatformError]:
    error = EXPECTED[name]
    # An operation that ended does not pass by looking again, as a refused request does.
    return ProviderFailed if error.remedy is Remedy.FAST_RETRY else error


@pytest_asyncio.fixture
async def aks(full_cluster: Cluster) -> AsyncIterator[Aks]:
    async with AzureEmulator() as azure:
        yield Aks(azure, PoolNodes(azure, full_cluster))


@pytest_asyncio.fixture
async def aks_ctx(aks: Aks, client: KubernetesClient) -> AsyncIterator[ActivityContext]:
    async with open_context(aks.settings(), client, load_catalogue()) as opened:
        hasten(opened.provisioner)
        yield opened


class Tried:
    """One claim whose machine Azure refuses, and its workflow."""

    def __init__(self, aks: Aks, ctx: ActivityContext, temporal: Client, error: str) -> None:
        self.name = f"ws{uuid4().hex[:10]}"
        self._aks, self._kube, self._temporal = aks, ctx.cluster, temporal
        refusal = CATALOGUE[error]
        is_late = refusal.status == OPERATION_FAILED
        effect = FailLate(refusal) if is_late else Refuse(refusal)
        aks.azure.faults.add(effect, pool=self.name, times=None)

    async def begin(self) -> None:
        obj = claim_object(self.name, self._aks.instance_type, "owner", provisioner="aks")
        self._uid = (await self._kube.create(NODE_CLAIMS, obj))["metadata"]["uid"]
        await tell(self._temporal, self.name, self._uid)

    async def end(self) -> None:
        """Delete the claim; nothing may be left of it."""
        await self._kube.delete(NODE_CLAIMS, self.name)
        handle = await tell(self._temporal, self.name, self._uid, is_deleting=True)
        await handle.result()
        assert self.name not in self._aks.alive()

    async def ready(self) -> dict[str, Any]:
        """Return the condition Ready as far as it is written."""
        obj = await self._kube.get(NODE_CLAIMS, self.name)
        found = (obj.get("status") or {}).get("conditions", [])
        return next((one for one in found if one["type"] == "Ready"), {})

    async def attempts_count(self) -> int:
        """Return how often the machine was asked for."""
        return sum(
            call.call == "put-pool" and call.pool == self.name
            for call in self._aks.azure.ledger.calls
        )


async def test_what_does_not_pass_by_itself_is_shown_by_its_reason_and_tried_again_slowly(
    aks: Aks, aks_ctx: ActivityContext
) -> None:
    async with (
        await start_real_server() as temporal,
        workers(temporal.client, aks_ctx),
    ):
        await asyncio.gather(
            *(shown(Tried(aks, aks_ctx, temporal.client, name), name) for name in SHOWN)
        )


async def shown(tried: Tried, name: str) -> None:
    await tried.begin()
    ready = await eventually(
        tried.ready,
        what=f"the reason of {name}",
        accept=lambda one: one.get("reason") not in {None, "Pending"},
    )
    assert (ready["status"], ready["reason"]) == ("False", shown_class(name).reason()), name
    assert await tried.attempts_count() == 1, name
    await tried.end()


@pytest.mark.parametrize("name", PASSES)
async def test_what_passes_by_itself_is_no_failure_of_the_claim(
    aks: Aks, aks_ctx: ActivityContext, name: str
) -> None:
    async with (
        await start_real_server() as temporal,
        workers(temporal.client, aks_ctx),
    ):
        tried = Tried(aks, aks_ctx, temporal.client, name)
        await tried.begin()
        least = 1 if "Retry-After" in CATALOGUE[name].headers else 2
        await eventually(
            tried.attempts_count, what="another attempt", accept=lambda count: count >= least
        )
        assert (await tried.ready()).get("reason") in {None, "Pending"}
        await tried.end()


def test_every_refusal_is_in_one_of_the_tables() -> None:
    others = {name for name, error in CATALOGUE.items() if error.status == IS_THERE_ALREADY}
    assert {*SHOWN, *PASSES} | others == set(CATALOGUE)
    assert others == {"etag-mismatch"}
