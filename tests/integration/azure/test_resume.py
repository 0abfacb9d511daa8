"""An operation outlives the process that began it: whoever has its token goes on."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from activities.clients.azure import AgentPools, OperationState
from tests.emulators.azure import AzureEmulator, Call, Slow
from tests.integration.azure.parts import NAME, Clients, spec

OTHER_PROCESS = Path(__file__).with_name("other_process.py")
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("service", ["aks", "arc"])
async def test_a_new_process_goes_on_and_sends_no_second_request(
    clients: Clients, azure: AzureEmulator, service: str
) -> None:
    azure.faults.add(Slow(1.5))
    pools: AgentPools = getattr(clients, service)()
    begun = await pools.begin_create(spec(), key="claim")
    await pools.close()

    other = await asyncio.create_subprocess_exec(
        sys.executable,
        str(OTHER_PROCESS),
        service,
        azure.base_url,
        begun.token,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    seen, _ = await asyncio.wait_for(other.communicate(), timeout=30)

    assert seen.decode().split()[-1] == "succeeded"
    assert len(azure.ledger.calls_of(Call.PUT_POOL)) == 1
    assert azure.ledger.accepted_creates() == {NAME: 1}
    # The request that began it and the looks of both processes are one line of thought in the logs.
    ids = {
        record.client_request_id
        for record in azure.ledger.calls_of(Call.PUT_POOL, Call.GET_OPERATION)
    }
    assert len(ids) == 1


async def test_a_delete_is_resumed_as_well(clients: Clients, azure: AzureEmulator) -> None:
    first = clients.aks()
    await first.begin_create(spec(), key="claim")
    await asyncio.sleep(2 * azure.knobs.create_seconds)
    ending = await first.begin_delete(NAME, key="claim")
    await first.close()

    second = clients.aks()
    await asyncio.sleep(2 * azure.knobs.delete_seconds)

    ended = await second.poll(ending.token, key="claim")
    assert ended.state is not OperationState.RUNNING
    assert len(azure.ledger.calls_of(Call.DELETE_POOL)) == 1
    assert azure.ledger.alive() == []


async def test_a_token_is_small_enough_for_a_heartbeat(clients: Clients) -> None:
    begun = await clients.aks().begin_create(spec(), key="claim")

    # Heartbeat details and workflow state carry it; Temporal warns from 512 KiB, and 1000 claims of
    # 4 KiB are nothing. Measured 2026-11-25: 3.4 kB.
    assert len(begun.token) < 8 * 1024
    assert begun.token.isascii()
