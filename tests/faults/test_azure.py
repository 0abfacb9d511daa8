"""The whole platform on an emulated AKS: what happens when the first choice can't be had."""

from __future__ import annotations

import asyncio

import pytest

from activities.clients.kubernetes import NODE_CLAIMS
from tests.emulators.azure import Knobs
from tests.harness.azure_platform import azure_platform, model_on
from tests.harness.fallback_times import seconds_to_next_request
from tests.harness.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

FIRST, SECOND = "Standard_NC24ads_A100_v4", "Standard_NC40ads_H100_v5"
QUOTA_OF_FIRST = {"standardNCADSA100v4Family": 0}
MAX_SECONDS_TO_NEXT_REQUEST = 2.0
"""From the refusal to the request for the second type (issue 5)."""


async def test_a_quota_that_is_used_up_leads_to_a_ready_node_of_the_second_type() -> None:
    async with azure_platform(Knobs(quotas=QUOTA_OF_FIRST)) as running:
        platform = running.platform
        await platform.apply(model_on("llm", FIRST, fallback=[SECOND]))
        found = await platform.until_phase("llm", "Ready")
        assert [pool.vm_size for pool in running.azure.ledger.alive()] == [SECOND]
        assert found["status"]["instanceType"] == SECOND
        told = [line for line in found["status"]["history"] if line["outcome"] == "FellBack"]
        assert len(told) == 1
        assert told[0]["reason"] == "QuotaExceeded"
        assert FIRST in told[0]["message"]
        assert await seconds_to_next_request(platform, "llm") < MAX_SECONDS_TO_NEXT_REQUEST
        await platform.assert_no_task_failed()


async def test_a_delete_in_the_middle_of_creating_leaves_an_empty_subscription() -> None:
    async with azure_platform(Knobs(create_seconds=60.0)) as running:
        platform = running.platform
        await platform.apply(model_on("llm", FIRST))
        await eventually(
            lambda: asyncio.sleep(0, running.azure.ledger.alive()),
            accept=bool,
            what="a pool being created",
        )
        await platform.delete("llm")
        await platform.until_gone("llm", seconds=120)
        assert running.azure.ledger.alive() == []
        assert await platform.owned(NODE_CLAIMS) == []
        await platform.assert_no_task_failed()
