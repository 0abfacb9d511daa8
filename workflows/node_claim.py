"""NodeClaimWorkflow: the one owner of a NodeClaim that asks for a machine of ours.

    wanted:           observe -> launch -> wait until it joined -> report -> wait (signal, timer)
    stuck:            look once more -> give the machine back -> launch another one
    deleted or gone:  observe -> give the machine back -> drop the finalizer -> end

Launching and giving back are idempotent by the claim's name, so a pass may repeat either.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from typing import Final

from temporalio import workflow

from api import contracts, names
from api import payloads as p
from api.errors import DeadlineExceeded, Remedy
from api.workflow_inputs import NodeClaimState, NodeClaimWorkflowInput
from workflows import delays, limits
from workflows.calls import execute
from workflows.failures import ActivityFailed
from workflows.hints import HintBox, Target

SECOND_LOOK_SECONDS: Final = 10
"""10 s for a machine whose time was over to be found ready after all: five looks."""


@workflow.defn(name=names.NODE_CLAIM_WORKFLOW)
class NodeClaimWorkflow:
    """Carries one claim from its first hint until its machine is given back."""

    @workflow.init
    def __init__(self, start: NodeClaimWorkflowInput) -> None:
        """Set up before any signal can arrive."""
        self._start = start
        self._name = start.claim.name
        self._state = start.state
        self._facts = p.NodeClaimFacts()
        self._hints = HintBox()
        self._is_ordered = False
        self._target: Target | None = None
        self._passes_count = 0

    @workflow.signal(description="The watcher saw a change: look again (a hint, not an order)")
    def desired_changed(self, hint: p.DesiredChanged | None = None) -> None:
        """Remember that something changed."""
        self._hints.put(hint or p.DesiredChanged())

    @workflow.signal(description="Try what failed again, now; argument: {reason}")
    def retry(self, order: p.OperatorOrder | str | None = None) -> None:  # noqa: ARG002
        """Forget the failure and look at once; with nothing failed it is only a look."""
        self._change(problem=None, failures_count=0, next_wake_at=None)
        self._is_ordered = True

    @workflow.query(description="What this workflow remembers of its claim")
    def status(self) -> NodeClaimState:
        """Return the state as it is carried on."""
        return self._state

    @workflow.run
    async def run(self, start: NodeClaimWorkflowInput) -> None:  # noqa: ARG002 - see __init__
        """Live as long as the claim, and until its machine is gone."""
        while True:
            await self._wake()
            has_ended = await self._pass()
            if has_ended and not self._hints.is_filled:
                return
            if has_ended:
                self._continue_as_new(NodeClaimState())
            if self._is_history_long():
                await workflow.wait_condition(workflow.all_handlers_finished)
                if self._is_ordered or self._hints.is_filled:
                    self._change(next_wake_at=None)
                self._continue_as_new(self._state)

    async def _wake(self) -> None:
        at = self._state.next_wake_at
        if at is None:
            return
        remaining = at - workflow.now()
        if remaining <= timedelta(0) or self._should_wake():
            return
        try:
            await workflow.wait_condition(
                self._should_wake, timeout=remaining, timeout_summary="until the next look"
            )
        except TimeoutError:
            return

    def _should_wake(self) -> bool:
        return self._is_ordered or self._hints.is_filled

    async def _pass(self) -> bool:
        """Look and act once, until done or superseded; True when the workflow is over."""
        self._passes_count += 1
        self._is_ordered = False
        self._target = None
        self._hints.take()
        work = asyncio.create_task(self._reconcile())
        await workflow.wait_condition(lambda: work.done() or self._is_superseded())
        if not work.done():
            work.cancel()
            await workflow.wait([work])
            if work.cancelled():
                return False
        return work.result()

    def _is_superseded(self) -> bool:
        return self._hints.supersedes(self._target)

    # --- One pass -----------------------------------------------------------------------------

    async def _reconcile(self) -> bool:
        try:
            facts = await execute(
                contracts.observe_node_claim,
                p.NodeClaimRef(name=self._name),
                summary="a look",
            )
        except ActivityFailed as failed:
            await self._retry_later(failed)
            return False
        self._facts = facts
        if facts.found and self._state.uid not in {"", facts.uid}:
            self._state = NodeClaimState()  # Another object has the name now.
        if facts.found:
            self._change(uid=facts.uid)
        if not facts.found or facts.deleting:
            self._target = Target(self._state.uid, generation=0, is_teardown=True)
            return await self._give_back()
        self._target = Target(facts.uid, generation=1)
        try:
            await self._bring_up(facts)
        except ActivityFailed as failed:
            await self._retry_later(failed)
        return False

    async def _bring_up(self, facts: p.NodeClaimFacts) -> None:
        if facts.ready:
            self._change(node_name=facts.node_name, provider_id=facts.provider_id)
        elif not await self._joined_late():
            await self._launch()
            await self._await_node(limits.NODE_INITIALIZED_DEADLINE_SECONDS)
        self._change(problem=None, failures_count=0)
        await self._report(is_ready=True)
        self._show("ready")
        self._wake_after(delays.resync_seconds(workflow.random()))

    async def _launch(self) -> None:
        if self._state.node_name:
            # It was ready once: people and the Workspace should see at once that it is not now.
            self._change(node_name="")
        if self._state.reported_digest and self._state.problem is None:
            # Nor must an old failure stand there once an operator ordered a new attempt: the
            # Workspace would take it for the outcome of this one.
            await self._report(is_ready=False)
        self._show("launching")
        started_at = workflow.now()
        result = await execute(
            contracts.launch_node, p.LaunchInput(claim=self._claim()), summary="machine asked for"
        )
        is_shown = self._state.problem is not None
        self._change(
            provider_id=result.provider_id,
            # The call that found a machine on its way does not know what began it.
            operation_token=result.operation_token or self._state.operation_token,
            problem=None,
        )
        if is_shown or workflow.now() - started_at >= limits.CLAIM_LAUNCH_SHOWN_AFTER:
            await self._report(is_ready=False)

    async def _await_node(self, deadline: int) -> None:
        self._show("waiting for the node")
        result = await execute(
            contracts.await_node_initialized,
            p.AwaitInitializedInput(
                claim=self._claim(),
                deadline_seconds=deadline,
                operation_token=self._state.operation_token,
            ),
            summary="node joined, ready, with its GPUs",
            deadline_seconds=deadline,
        )
        self._change(node_name=result.node_name, operation_token="")

    async def _joined_late(self) -> bool:
        """Say whether a machine that had all its time is a node by now; one that isn't goes."""
        problem = self._state.problem
        if problem is None or problem.reason != DeadlineExceeded.reason():
            return False
        if not workflow.patched("stuck-machine-given-back"):
            return False
        try:
            # No worker at all may have been there to see it join.
            await self._await_node(SECOND_LOOK_SECONDS)
        except ActivityFailed as failed:
            if failed.remedy is Remedy.FAST_RETRY:
                raise
            await self._terminate()
            return False
        return True

    async def _terminate(self) -> None:
        self._show("giving the machine back")
        deadline = limits.TERMINATE_DEADLINE_SECONDS
        await execute(
            contracts.terminate_node,
            p.TerminateInput(claim=self._claim(), deadline_seconds=deadline),
            summary="machine given back, node gone",
            deadline_seconds=deadline,
        )

    async def _give_back(self) -> bool:
        try:
            await self._terminate()
            if self._facts.found:
                await execute(contracts.release_node_claim, self._claim(), summary="finalizer off")
        except ActivityFailed as failed:
            await self._retry_later(failed)
            return False
        self._hints.forget(self._state.uid)
        return True

    async def _retry_later(self, failed: ActivityFailed) -> None:
        count = self._state.failures_count + 1
        # The operation is over, or its machine tells as much: a new one must not be judged by it.
        self._change(failures_count=count, operation_token="")
        if failed.remedy is Remedy.FAST_RETRY:
            self._wake_after(delays.fast_retry_seconds(count, workflow.random()))
            return
        # A claim can't be edited, so EDIT waits for an operator and tries again slowly, too.
        self._change(problem=failed.problem)
        self._show("waiting")
        if self._facts.found:
            await self._report(is_ready=False)
        self._wake_after(delays.slow_retry_seconds(count, workflow.random()))

    async def _report(self, *, is_ready: bool) -> None:
        state = self._state
        content = p.ReportNodeClaimInput(
            claim=self._claim(),
            launched=state.provider_id != "",
            registered=is_ready,
            initialized=is_ready,
            provider_id=state.provider_id,
            node_name=state.node_name,
            problem=state.problem,
        )
        digest = hashlib.sha256(content.model_dump_json().encode()).hexdigest()[:16]
        if digest == state.reported_digest:
            return
        try:
            await execute(
                contracts.report_node_claim,
                content,
                summary="ready" if is_ready else "not ready",
            )
        except ActivityFailed as failed:
            # The machine matters more than the words about it; the next pass says them.
            workflow.logger.warning("the claim's status was not reported: %s", failed)
            return
        self._change(reported_digest=digest)

    # --- Small things ---------------------------------------------------------------------------

    def _claim(self) -> p.NodeClaimRef:
        return p.NodeClaimRef(name=self._name, uid=self._state.uid)

    def _change(self, **fields: object) -> None:
        self._state = self._state.model_copy(update=fields)

    def _wake_after(self, seconds: float) -> None:
        self._change(next_wake_at=workflow.now() + timedelta(seconds=seconds))

    def _show(self, where: str) -> None:
        state = self._state
        lines = [f"**{where}**: machine {state.provider_id or '-'}, node {state.node_name or '-'}"]
        if state.problem is not None:
            lines += ["", f"Problem: {state.problem.reason}: {state.problem.message}"]
        workflow.set_current_details("\n".join(lines))

    def _is_history_long(self) -> bool:
        info = workflow.info()
        hook = self._start.continue_as_new_after_passes
        return (
            info.is_continue_as_new_suggested()
            or info.get_current_history_length() >= limits.MAX_HISTORY_EVENTS
            or 0 < hook <= self._passes_count
        )

    def _continue_as_new(self, state: NodeClaimState) -> None:
        workflow.continue_as_new(self._start.model_copy(update={"state": state}))
