"""The one voice of a WorkspaceWorkflow: reports what changed, no more often than it must."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime

from temporalio import workflow

from api import contracts
from api import payloads as p
from workflows import describe, limits, visibility
from workflows.calls import execute
from workflows.failures import ActivityFailed
from workflows.ledger import Ledger


class Reporter:
    """Writes `.status` and Events through one activity, one at a time."""

    def __init__(self, workspace: p.WorkspaceRef, ledger: Ledger) -> None:
        """Report for `workspace`, whose uid the ledger knows."""
        self._workspace = workspace
        self._ledger = ledger
        self._lock = asyncio.Lock()
        self._reported_at: datetime | None = None
        self.has_failed = False
        """The last report did not arrive: look again soon."""

    def show(self) -> None:
        """Bring Temporal's own view up to date; costs no activity."""
        state, plan = self._ledger.state, self._ledger.plan
        visibility.show(self._workspace.namespace, state, plan)
        workflow.set_current_details(describe.text(state, plan))

    async def report_progress(self) -> None:
        """Report, unless the last report of any kind is too fresh."""
        self.show()
        now = workflow.now()
        if self._reported_at is None or now - self._reported_at >= limits.REPORT_INTERVAL:
            await self.report()

    async def report(self) -> None:
        """Report, unless nothing differs from the last report."""
        self.show()
        # Two reports at once could arrive in the wrong order, and the older one would stay.
        async with self._lock:
            if self._ledger.plan is None:
                return  # Nothing is planned (yet, or any more): there is nothing true to say.
            content = self.content(self._ledger.plan)
            digest = digest_of(content)
            events = list(self._ledger.events)
            if digest == self._ledger.state.reported_digest and not events:
                return
            try:
                await execute(
                    contracts.report_status,
                    content.model_copy(update={"events": events}),
                    summary=f"{content.phase}, revision {content.revision or '-'}",
                )
            except ActivityFailed as failed:
                # The work itself goes on; whoever can't be told now is told later.
                workflow.logger.warning("status was not reported: %s", failed)
                self.has_failed = True
                return
            self.has_failed = False
            self._reported_at = workflow.now()
            self._ledger.events = self._ledger.events[len(events) :]
            self._ledger.change(reported_digest=digest)

    def content(self, plan: p.WorkspacePlan) -> p.ReportInput:
        """Return what a report would say now, without Events."""
        state = self._ledger.state
        return p.ReportInput(
            workspace=self._workspace.model_copy(update={"uid": state.uid}),
            generation=state.generation,
            phase=state.phase,
            revision=plan.revision or state.revision,
            active_revision=plan.active_revision,
            preset=plan.preset,
            instance_type=plan.instance_type,
            node_names=state.node_names,
            timeline=state.timeline,
            history=state.history,
            problem=state.problem,
            paused_reason=state.paused_reason if state.is_paused else "",
            deleting=state.phase is p.LifecyclePhase.DELETING,
            target_node_count=plan.node_count,
            warnings=plan.warnings,
            spec_revision=plan.spec_revision,
            given_up=state.given_up,
            mode=plan.mode,
        )


def digest_of(content: p.ReportInput) -> str:
    """Return what tells two reports apart.

    Fields that came later count only where they say something: the state of a run may hold a digest
    that an earlier version computed, and whether a report is sent stands in its history. How a
    revision comes is no news by itself: it only words the rest.
    """
    silent = {"mode"} | {
        name for name in ("spec_revision", "given_up") if not getattr(content, name)
    }
    return hashlib.sha256(content.model_dump_json(exclude=silent).encode()).hexdigest()[:16]
