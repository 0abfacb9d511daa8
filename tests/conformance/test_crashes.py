"""Nothing is bought twice and nothing is left behind, wherever a worker dies.

`make bench` runs the same with 200 deaths.
"""

from __future__ import annotations

from tests.conformance.crash_run import crash_run
from tests.harness.cluster import Cluster
from tests.workflow.conftest import start_real_server

CRASH_COUNT = 40


async def test_workers_die_at_random_points_and_the_books_are_clean(full_cluster: Cluster) -> None:
    async with await start_real_server() as temporal:
        report = await crash_run(full_cluster, temporal.client, crash_count=CRASH_COUNT)

    assert len(report.crash_points) >= CRASH_COUNT
    assert len(set(report.crash_points)) >= 6, report.crash_points
    assert report.bought_count > 0
    assert report.bought_twice == []
    assert report.duplicate_count == 0
    assert report.orphans == []
    assert report.claims_left == []
    assert report.nodes_left == []
