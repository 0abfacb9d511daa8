"""One watcher leads; when it ends, however it ends, another one does."""

from __future__ import annotations

import asyncio

import pytest

from activities.clients.kubernetes import LEASES
from api import names
from tests.harness.waiting import eventually
from tests.integration.watcher.conftest import QUICK, Running, Station
from worker.watcher.election import LEASE_NAME, Elector, LeaseTiming

pytestmark = pytest.mark.integration


async def _is_leader(*watchers: Running) -> bool:
    return any(watcher.elector.is_leader for watcher in watchers)


async def test_of_two_watchers_one_leads_and_each_change_is_hinted_once(station: Station) -> None:
    async with (
        station.watching(identity="one") as one,
        station.watching(identity="two") as two,
    ):
        await eventually(lambda: _is_leader(one, two), what="a leader")
        for index in range(10):
            await station.create(f"w{index}")
        for index in range(10):
            await station.until_hint(f"w{index}")
        for _ in range(5):
            assert one.elector.is_leader != two.elector.is_leader
            await asyncio.sleep(QUICK.retry_seconds)
        counts = [len(await station.hints(f"w{index}")) for index in range(10)]
        assert counts == [1] * 10
        assert one.metric("kaito_watcher_is_leader") + two.metric("kaito_watcher_is_leader") == 1


async def test_a_leader_that_stops_in_order_hands_over_at_once(station: Station) -> None:
    slow = LeaseTiming(duration_seconds=60, renew_deadline_seconds=50, retry_seconds=0.2)
    async with (
        station.watching(identity="one", timing=slow) as one,
        station.watching(identity="two", timing=slow) as two,
    ):
        await eventually(lambda: _is_leader(one, two), what="a leader")
        first, second = (one, two) if one.elector.is_leader else (two, one)
        first.task.cancel()
        await asyncio.wait({first.task})
        # Far sooner than the 60 s after which the Lease would expire.
        await eventually(lambda: _is_leader(second), what="the other one leading", seconds=10)
        await station.create("phi")
        await station.until_hint("phi")
    assert (await station.kube.get(LEASES, LEASE_NAME, station.namespace))["spec"][
        "leaseTransitions"
    ] == 2


async def test_a_lease_whose_holder_is_silent_is_taken_when_it_expires(station: Station) -> None:
    await station.kube.create(
        LEASES,
        {
            "metadata": {"name": LEASE_NAME},
            "spec": {
                "holderIdentity": "died",
                "leaseDurationSeconds": 2,
                # A time far ahead: clocks of other machines are not believed.
                "renewTime": "2100-01-01T00:00:00.000000Z",
                "leaseTransitions": 4,
            },
        },
        station.namespace,
    )
    async with station.watching() as watcher:
        assert not watcher.elector.is_leader
        await watcher.until_it_leads()
    spec = (await station.kube.get(LEASES, LEASE_NAME, station.namespace))["spec"]
    assert spec["leaseTransitions"] == 5
    assert spec["holderIdentity"] == "", "released on the way out"


async def test_a_leader_whose_lease_was_taken_stops_and_says_no_more(station: Station) -> None:
    async with station.watching(identity="one") as watcher:
        await watcher.until_it_leads()
        lease = await station.kube.get(LEASES, LEASE_NAME, station.namespace)
        await station.kube.merge_patch(
            LEASES,
            LEASE_NAME,
            {"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 3600}},
            station.namespace,
        )
        await eventually(lambda: _lost(watcher), what="the loss of the lead")
        await station.create("phi")
        await eventually(lambda: _knows(watcher, station, "phi"), what="the event of phi")
        assert await station.hints("phi") == []
        assert watcher.metric("kaito_watcher_is_leader") == 0
    after = await station.kube.get(LEASES, LEASE_NAME, station.namespace)
    assert after["spec"]["holderIdentity"] == "thief", "a foreign lease is not released"
    assert lease["metadata"]["uid"] == after["metadata"]["uid"]


async def _knows(watcher: Running, station: Station, name: str) -> bool:
    return watcher.informers[0].get(name, station.namespace) is not None


async def _lost(watcher: Running) -> bool:
    return not watcher.elector.is_leader and watcher.metric("kaito_watcher_is_leader") == 0


async def test_a_leader_without_api_server_stops_by_its_deadline_and_leads_again(
    station: Station,
) -> None:
    async with station.watching() as watcher:
        await watcher.until_it_leads()
        await station.cluster.stop_apiserver()
        try:
            await eventually(
                lambda: _lost(watcher),
                what="the loss of the lead",
                seconds=QUICK.renew_deadline_seconds + 1.0,
            )
        finally:
            await station.cluster.start_apiserver()
        await watcher.until_it_leads()
        async with station.cluster.client() as kube:
            station.kube = kube
            await station.create("phi")
        await station.until_hint("phi")


async def test_a_frozen_leader_knows_by_its_clock_that_it_leads_no_more(station: Station) -> None:
    now = 100.0
    elector = Elector(
        station.kube,
        namespace=station.namespace,
        identity="one",
        timing=QUICK,
        clock=lambda: now,
    )
    leads = asyncio.Event()

    async def lead() -> None:
        leads.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(elector.run(lead))
    await leads.wait()
    assert elector.is_leader
    now += QUICK.renew_deadline_seconds
    assert not elector.is_leader
    running.cancel()
    await asyncio.wait({running})


async def test_a_failure_of_the_leaders_work_is_not_hidden(station: Station) -> None:
    elector = Elector(station.kube, namespace=station.namespace, identity="one", timing=QUICK)

    async def lead() -> None:
        raise LookupError(names.TASK_QUEUE)

    with pytest.raises(LookupError):
        await elector.run(lead)
    lease = await station.kube.get(LEASES, LEASE_NAME, station.namespace)
    assert lease["spec"]["holderIdentity"] == ""
