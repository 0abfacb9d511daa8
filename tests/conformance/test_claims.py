"""A NodeClaim through its activities: what its conditions, its Node and the cloud's books say."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.clients.kubernetes import NODES, KubernetesClient
from activities.context import ActivityContext
from activities.node_claim import machine, progress
from activities.provisioners import ByoProvisioner
from activities.provisioners.karpenter import KarpenterProvisioner
from planner.render.node_class import NodeClass
from tests.conformance.claim_workflows import tell, workers
from tests.conformance.conftest import Claim
from tests.conformance.subjects import Aks, Subject
from tests.harness.waiting import eventually
from tests.workflow.conftest import start_real_server


async def conditions(claim: Claim) -> dict[str, str]:
    obj = await claim.read()
    assert obj is not None
    found = (obj.get("status") or {}).get("conditions", [])
    return {condition["type"]: condition["status"] for condition in found}


async def test_a_claim_becomes_a_node_that_shows_its_gpus_and_goes_without_a_trace(
    subject: Subject, claim: Claim, client: KubernetesClient
) -> None:
    subject.promises("buys")
    launched = await claim.launch()
    joined = await claim.wait(launched)
    await claim.report(
        launched=True,
        registered=True,
        initialized=True,
        provider_id=launched.provider_id,
        node_name=joined.node_name,
    )

    node = await client.get(NODES, joined.node_name)
    obj = await claim.read()
    assert obj is not None
    assert obj["status"]["nodeName"] == joined.node_name
    assert obj["status"]["providerID"] == node["spec"]["providerID"]
    assert set((await conditions(claim)).values()) == {"True"}
    assert node["spec"]["taints"][0]["key"] == "sku"
    assert node["metadata"]["labels"]["kaito.sh/workspace-uid"] == claim.owner_uid

    assert (await claim.terminate()).removed == [f"machine/{claim.ref.name}"]
    assert await client.find(NODES, joined.node_name) is None
    assert subject.alive() == []
    assert (await claim.terminate()).removed == []


async def test_a_claim_that_is_deleted_while_its_machine_comes_leaves_nothing(
    subject: Subject, claim: Claim
) -> None:
    subject.promises("buys")
    subject.be_slow(1.0)
    await claim.launch()

    await claim.terminate()

    assert subject.alive() == []
    assert subject.bought_count() == 1


async def test_another_provisioner_never_calls_its_machine_gone(
    subject: Subject, claim: Claim, client: KubernetesClient
) -> None:
    subject.promises("buys")
    await claim.launch()

    for other in (ByoProvisioner(), KarpenterProvisioner(client, NodeClass())):
        with claim.served_by(other):
            for call in (claim.terminate(), claim.launch()):
                with pytest.raises(ApplicationError) as refused:
                    await call
                assert refused.value.type == "ProviderFailed"
                assert f"KAITO_PROVISIONER={subject.name}," in refused.value.message
    assert subject.alive() == [claim.ref.name]

    assert (await claim.terminate()).removed == [f"machine/{claim.ref.name}"]
    assert subject.alive() == []


async def test_a_claim_of_another_provisioner_stays_and_says_which_one_to_set(
    subject: Subject, claim: Claim, ctx: ActivityContext
) -> None:
    subject.promises("buys")
    await claim.launch()
    await claim.delete()
    other = replace(ctx, provisioner=ByoProvisioner())

    async with await start_real_server() as temporal:
        async with workers(temporal.client, other):
            handle = await tell(temporal.client, claim.ref.name, claim.ref.uid, is_deleting=True)
            told = await eventually(
                lambda: ready_message(claim),
                what="the claim's condition",
                accept=lambda message: "KAITO_PROVISIONER" in message,
            )
        assert f"KAITO_PROVISIONER={subject.name}," in told
        assert subject.alive() == [claim.ref.name]

        async with workers(temporal.client, ctx):
            await handle.signal("retry")
            await handle.result()
    assert await claim.read() is None
    assert subject.alive() == []


async def ready_message(claim: Claim) -> str:
    obj = await claim.read()
    assert obj is not None
    found = (obj.get("status") or {}).get("conditions", [])
    return "".join(one.get("message", "") for one in found if one["type"] == "Ready")


async def test_a_refusal_is_told_within_a_second_and_not_retried_by_the_activity(
    subject: Subject, claim: Claim
) -> None:
    words = subject.run_out()
    began_at = time.monotonic()

    with pytest.raises(ApplicationError) as refused:
        await claim.launch()

    assert time.monotonic() - began_at < 1.0
    assert refused.value.type in {"QuotaExceeded", "InsufficientCapacity"}
    assert refused.value.non_retryable
    assert words in refused.value.message


async def test_a_late_refusal_ends_the_wait_with_its_class(subject: Subject, claim: Claim) -> None:
    subject.promises("late")
    words = subject.run_out_late()
    launched = await claim.launch()

    with pytest.raises(ApplicationError) as refused:
        await claim.wait(launched)

    assert refused.value.type == "InsufficientCapacity"
    assert words in refused.value.message
    assert (await claim.terminate()).removed == [f"machine/{claim.ref.name}"]
    assert subject.alive() == []


async def test_what_takes_long_is_told_step_by_step(
    subject: Subject, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(subject, Aks):
        pytest.skip(f"{subject.name}: its nodes join with their GPUs")
    monkeypatch.setattr(progress, "SHOWN_AFTER_SECONDS", 0)
    subject.nodes.gpus_show = False
    subject.be_slow(0.5)
    launched = await claim.launch()
    waiting = asyncio.create_task(claim.wait(launched))

    async def said(**wanted: str) -> None:
        await eventually(
            lambda: conditions(claim),
            what=f"conditions {wanted}",
            accept=lambda found: wanted.items() <= found.items(),
        )

    await said(Launched="True", Registered="Unknown", Ready="False")
    await said(Launched="True", Registered="True", Initialized="Unknown", Ready="False")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await claim.terminate()


async def test_a_machine_that_runs_and_never_joins_is_stuck_and_not_slow(
    subject: Subject, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(subject, Aks):
        pytest.skip(f"{subject.name}: its machines run when they have joined")
    monkeypatch.setattr(machine, "REGISTRATION_DEADLINE_SECONDS", 0.2)
    subject.nodes.joins = False
    launched = await claim.launch()

    with pytest.raises(ApplicationError) as stuck:
        await claim.wait(launched)

    assert stuck.value.type == "DeadlineExceeded"
    assert "stuck, not slow" in stuck.value.message
    await claim.terminate()
    assert subject.alive() == []


async def test_a_node_whose_machine_vanished_is_removed_with_its_claim(
    subject: Subject, claim: Claim, client: KubernetesClient
) -> None:
    if not isinstance(subject, Aks):
        pytest.skip(f"{subject.name}: its Node goes with the machine")
    launched = await claim.launch()
    joined = await claim.wait(launched)
    cluster: Any = subject.azure.cloud.clusters[subject.kind, "cluster"]
    del cluster.pools[claim.ref.name]

    await claim.terminate()

    assert await client.find(NODES, joined.node_name) is None
