"""Claims that come together are Ready together. `make bench` asks for 100 with nodes of 120 s."""

from __future__ import annotations

from tests.conformance.many_run import many_run
from tests.harness.cluster import Cluster
from tests.workflow.conftest import start_real_server


async def test_claims_that_come_together_are_ready_together_and_gone_without_a_trace(
    full_cluster: Cluster,
) -> None:
    async with await start_real_server() as temporal:
        report = await many_run(full_cluster, temporal.client, claim_count=12, node_seconds=3.0)
    assert report.bought_count == 12
    assert report.alive == []
    assert report.throttled_count == 0
    assert report.ready_seconds < 30
