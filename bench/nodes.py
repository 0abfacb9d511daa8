"""Nodes of an emulated AKS: workers that die, a hundred claims at once, and a quota used up."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

from bench import machine
from bench.page import Section, Table, verdict
from tests.conformance.crash_run import CrashReport, crash_run
from tests.conformance.many_run import ManyReport, many_run
from tests.emulators.azure import Knobs
from tests.harness.azure_platform import azure_platform, model_on
from tests.harness.cluster import Cluster
from tests.harness.fallback_times import seconds_to_next_request
from tests.harness.temporal_server import TemporalServer

CRASH_COUNT: Final = 200
CLAIM_COUNT: Final = 100
NODE_SECONDS: Final = 120.0
MAX_READY_SECONDS: Final = 150.0
MAX_SECONDS_TO_NEXT_REQUEST: Final = 2.0
"""The aims of issue 5."""

FIRST, SECOND = "Standard_NC24ads_A100_v4", "Standard_NC40ads_H100_v5"
QUOTA_OF_FIRST: Final = {"standardNCADSA100v4Family": 0}


async def measure() -> Section:
    """Run the three, one after the other."""
    load = machine.load()
    # Two hundred deaths are the point here; each would be told as a traceback.
    logging.getLogger("temporalio.activity").setLevel(logging.CRITICAL)
    async with Cluster(full=True).running() as cluster, TemporalServer().running() as temporal:
        client = await temporal.connect()
        crashes = await crash_run(cluster, client, crash_count=CRASH_COUNT)
        many = await many_run(cluster, client, claim_count=CLAIM_COUNT, node_seconds=NODE_SECONDS)
    fallback_seconds = await _fall_back()
    return Section(
        title="Nodes from a cloud",
        text=(
            "The real Azure SDK against this repository's emulator of AKS (agent pools, "
            "operations, throttling as AKS documents it) with kwok's nodes behind it; real API "
            f"server, real Temporal. Load before: {load}."
        ),
        tables=(_crash_table(crashes), _many_table(many), _fallback_table(fallback_seconds)),
        notes=(
            "Where the workers died: " + _by_point(crashes.crash_points) + ".",
            "Calls to Azure until all were Ready: "
            + ", ".join(f"{count} {call}" for call, count in sorted(many.calls.items()))
            + ". Giving the pools back takes longer than making them, because AKS lets about one "
            "call a second delete a pool.",
        ),
    )


async def _fall_back() -> float:
    async with azure_platform(Knobs(quotas=QUOTA_OF_FIRST)) as running:
        await running.platform.apply(model_on("llm", FIRST, fallback=[SECOND]))
        await running.platform.until_phase("llm", "Ready")
        return await seconds_to_next_request(running.platform, "llm")


def _crash_table(report: CrashReport) -> Table:
    left = len(report.orphans) + len(report.claims_left) + len(report.nodes_left)
    return Table(
        ("workers that die at a call to the cloud, before or after it", "", "aim", ""),
        [
            ("deaths", len(report.crash_points), f"{CRASH_COUNT}", ""),
            ("claims that lived and ended meanwhile", report.claim_count, "", ""),
            ("pools bought", report.bought_count, "", ""),
            (
                "bought twice",
                len(report.bought_twice) + report.duplicate_count,
                "0",
                verdict(len(report.bought_twice) + report.duplicate_count, 0),
            ),
            ("pools, claims and nodes left over", left, "0", verdict(left, 0)),
        ],
    )


def _many_table(report: ManyReport) -> Table:
    seconds = round(report.ready_seconds, 1)
    return Table(
        (f"{CLAIM_COUNT} claims at once, nodes of {NODE_SECONDS:.0f} s", "", "aim", ""),
        [
            (
                "seconds until all are Ready",
                seconds,
                f"< {MAX_READY_SECONDS:.0f}",
                verdict(seconds, MAX_READY_SECONDS),
            ),
            ("calls that Azure throttled until then", report.throttled_count, "0", ""),
            ("pools bought", report.bought_count, f"{CLAIM_COUNT}", ""),
            ("seconds until all are gone again", round(report.gone_seconds, 1), "", ""),
        ],
    )


def _fallback_table(seconds: float) -> Table:
    return Table(
        ("quota of the first type used up", "", "aim", ""),
        [
            (
                "seconds from the refusal to the second type's request",
                round(seconds, 2),
                f"< {MAX_SECONDS_TO_NEXT_REQUEST:.0f}",
                verdict(seconds, MAX_SECONDS_TO_NEXT_REQUEST),
            )
        ],
    )


def _by_point(points: list[str]) -> str:
    return ", ".join(f"{count} {point}" for point, count in sorted(Counter(points).items()))
