"""The life of a NodeClaim: one machine, whatever happens on the way."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from api import names
from api.errors import DeadlineExceeded, InsufficientCapacity, ProviderFailed
from api.payloads import DesiredChanged, NodeClaimRef, OperatorOrder
from api.workflow_inputs import NodeClaimWorkflowInput
from tests.workflow.conftest import workers
from tests.workflow.entity import Entity, activities, faults
from tests.workflow.fake_claim import FakeClaim


class ClaimEntity(Entity):
    """The entity of a claim."""

    def __init__(self, environment: WorkflowEnvironment, claim: FakeClaim) -> None:
        super().__init__(
            environment,
            names.NODE_CLAIM_WORKFLOW,
            names.node_claim_workflow_id(claim.name),
            names.TASK_QUEUE,
        )
        self.claim = claim

    async def tell(self) -> None:
        """Send the hint that the watcher would send now."""
        claim = self.claim
        await self.hint(
            NodeClaimWorkflowInput(claim=NodeClaimRef(name=claim.name)),
            uid=claim.uid,
            generation=2 if claim.is_deleting else 1,
            deleting=claim.is_deleting,
        )


@pytest.fixture
def claim() -> FakeClaim:
    return FakeClaim(f"ws{uuid.uuid4().hex[:10]}")


@pytest_asyncio.fixture
async def entity(environment: WorkflowEnvironment, claim: FakeClaim) -> AsyncIterator[ClaimEntity]:
    entity = ClaimEntity(environment, claim)
    async with workers(environment, claim):
        yield entity
        await entity.terminate()
        histories = await entity.histories()
    assert histories, "the test started no workflow"
    assert [fault for history in histories for fault in faults(history)] == []


async def test_a_claim_becomes_a_node_and_is_reported_once(
    entity: ClaimEntity, claim: FakeClaim
) -> None:
    await entity.tell()
    await claim.until(lambda: bool(claim.reports))
    (report,) = claim.reports
    assert (report.launched, report.registered, report.initialized) == (True, True, True)
    assert (report.provider_id, report.node_name) == (f"onebox:///{claim.name}", claim.name)
    (history,) = await entity.histories()
    assert activities(history) == [
        "observe_node_claim",
        "launch_node",
        "await_node_initialized",
        "report_node_claim",
    ]


async def test_what_the_provider_refuses_is_shown_and_tried_again_after_a_while(
    environment: WorkflowEnvironment, entity: ClaimEntity, claim: FakeClaim
) -> None:
    claim.fail("launch_node", InsufficientCapacity("all 2 machines are taken"))
    await entity.tell()
    await claim.until(lambda: bool(claim.reports))
    problem = claim.reports[-1].problem
    assert problem is not None
    assert problem.reason == "InsufficientCapacity"
    assert not claim.reports[-1].launched
    await environment.sleep(timedelta(minutes=1))
    await claim.until(lambda: claim.reports[-1].initialized)
    assert claim.launches_count == 1


async def test_retry_takes_the_old_failure_back_before_it_tries_again(
    entity: ClaimEntity, claim: FakeClaim
) -> None:
    claim.fail("launch_node", InsufficientCapacity("all 2 machines are taken"))
    await entity.tell()
    await claim.until(lambda: bool(claim.reports))
    await entity.signal("retry", OperatorOrder(reason="a machine is free"))
    await claim.until(lambda: claim.reports[-1].initialized)
    assert [report.problem is None for report in claim.reports] == [False, True, True]
    assert [report.initialized for report in claim.reports] == [False, False, True]


async def test_a_machine_that_fails_on_its_way_is_shown_in_the_providers_words(
    entity: ClaimEntity, claim: FakeClaim
) -> None:
    claim.fail("await_node_initialized", ProviderFailed("containerd did not start"))
    await entity.tell()
    await claim.until(lambda: bool(claim.reports))
    problem = claim.reports[-1].problem
    assert problem is not None
    assert "containerd did not start" in problem.message


async def test_a_claim_deleted_while_its_machine_starts_gives_it_back(
    entity: ClaimEntity, claim: FakeClaim
) -> None:
    claim.joins.clear()
    await entity.tell()
    await claim.until(lambda: "await_node_initialized" in claim.calls)
    claim.is_deleting = True
    await entity.tell()
    await entity.ended()
    assert (claim.exists, claim.has_machine) == (False, False)
    assert claim.launches_count == 1


async def test_a_claim_that_vanished_gives_its_machine_back_all_the_same(
    entity: ClaimEntity, claim: FakeClaim
) -> None:
    await entity.tell()
    await claim.until(lambda: bool(claim.reports))
    claim.exists = False
    claim.is_deleting = True
    await entity.tell()
    await entity.ended()
    assert not claim.has_machine
    assert "release_node_claim" not in claim.calls


async def test_a_termination_that_fails_is_repeated_and_the_claim_kept_until_then(
    environment: WorkflowEnvironment, entity: ClaimEntity, claim: FakeClaim
) -> None:
    await entity.tell()
    await claim.until(lambda: bool(claim.reports))
    await entity.settled()
    claim.is_deleting = True
    claim.fail("terminate_node", ProviderFailed("a disk is still attached"))
    await entity.tell()
    await claim.until(lambda: claim.reports[-1].problem is not None)
    assert claim.exists
    await environment.sleep(timedelta(minutes=1))
    await claim.until(lambda: not claim.exists)


async def test_a_node_that_is_lost_is_shown_and_waited_for(
    entity: ClaimEntity, claim: FakeClaim
) -> None:
    await entity.tell()
    await claim.until(lambda: bool(claim.reports))
    claim.is_node_ready = False
    claim.joins.clear()
    await entity.signal("desired_changed")
    await claim.until(lambda: not claim.reports[-1].initialized)
    claim.joins.set()
    await claim.until(lambda: claim.reports[-1].initialized)
    assert claim.launches_count == 1


async def test_the_providers_operation_is_carried_from_wait_to_wait(
    entity: ClaimEntity, claim: FakeClaim
) -> None:
    claim.joins.clear()
    await entity.tell()
    await claim.until(lambda: "await_node_initialized" in claim.calls)
    assert (await entity.query("status"))["operation_token"] == "token-1"  # noqa: S105 - no secret
    await entity.signal("retry")
    await entity.signal("desired_changed", DesiredChanged(uid="another", generation=1))
    await claim.until(lambda: claim.calls.count("await_node_initialized") == 2)
    claim.joins.set()
    await claim.until(lambda: bool(claim.reports) and claim.reports[-1].initialized)
    assert claim.tokens_seen == ["token-1", "token-1"]
    assert claim.launches_count == 1
    assert (await entity.query("status"))["operation_token"] == ""


async def test_a_machine_that_is_stuck_is_given_back_before_another_is_asked_for(
    environment: WorkflowEnvironment, entity: ClaimEntity, claim: FakeClaim
) -> None:
    claim.fail("await_node_initialized", DeadlineExceeded("it runs and never joined"), times=2)
    await entity.tell()
    await claim.until(lambda: bool(claim.reports))
    assert claim.reports[-1].problem is not None
    await environment.sleep(timedelta(minutes=1))
    await claim.until(lambda: claim.reports[-1].initialized)
    assert claim.launches_count == 2
    assert claim.tokens_seen == ["token-1", "", "token-2"]
    (history,) = await entity.histories()
    told = activities(history)
    assert told.index("terminate_node") < len(told) - 1 - told[::-1].index("launch_node")


async def test_a_machine_that_joined_after_its_time_is_kept(
    environment: WorkflowEnvironment, entity: ClaimEntity, claim: FakeClaim
) -> None:
    claim.fail("await_node_initialized", DeadlineExceeded("no worker was there to see it join"))
    await entity.tell()
    await claim.until(lambda: bool(claim.reports))
    await environment.sleep(timedelta(minutes=1))
    await claim.until(lambda: claim.reports[-1].initialized)
    assert claim.launches_count == 1
    assert "terminate_node" not in claim.calls
