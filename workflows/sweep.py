"""SweepWorkflow: one look at everything for what got lost, and its repair; started by a schedule.

    find strays -> start or wake workflows -> delete, so many at most -> result

Short, without state of its own: what it suspects it hands to the next sweep by its result, which
the schedule gives to the next run. One that saw something only in part suspects nothing, so that
grace periods begin anew: after an outage nobody is in a hurry to delete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from temporalio import workflow

from api import contracts
from api import payloads as p
from workflows.calls import execute
from workflows.failures import ActivityFailed

SWEEP_WORKFLOW: Final = "SweepWorkflow"

MAX_DELETIONS: Final = 5
"""5 deletions in one sweep: strays are rare, so that many more mean that somebody errs, be it us.
A GPU node that stays for a quarter of an hour more costs less than one that is missed."""


@workflow.defn(name=SWEEP_WORKFLOW)
class SweepWorkflow:
    """One tick of the schedule."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._found = p.FindStraysResult()
        self._outcomes: Counter[p.RepairOutcome] = Counter()
        self._deletions_count = 0
        self._kept_back: list[p.Stray] = []
        self._lines: list[str] = []

    @workflow.run
    async def run(self) -> p.SweepResult:
        """Find, repair, and tell; nothing that fails makes the workflow fail."""
        try:
            self._found = await execute(
                contracts.find_strays,
                p.FindStraysInput(suspects=_suspects_of_last_sweep()),
                summary="a look at everything",
            )
        except ActivityFailed as failed:
            self._found = p.FindStraysResult(blind_spots=[f"everything: {failed}"])
        self._show()
        for stray in self._found.strays:
            await self._treat(stray)
        self._show()
        return p.SweepResult(
            found=self._found.counts,
            outcomes=dict(self._outcomes),
            deletions_count=self._deletions_count,
            deletions_left=len(
                [one for one in self._kept_back if one.action is p.StrayAction.DELETE]
            ),
            blind_spots=self._found.blind_spots,
            suspects=[] if self._found.blind_spots else self._kept_back,
        )

    async def _treat(self, stray: p.Stray) -> None:
        if stray.action is p.StrayAction.WAIT:
            self._kept_back.append(stray)
            self._tell(stray, "waits for the end of its grace period")
            return
        is_deletion = stray.action is p.StrayAction.DELETE
        if is_deletion and self._deletions_count >= MAX_DELETIONS:
            self._kept_back.append(stray)
            what = f"left for the next sweep: one deletes {MAX_DELETIONS} at most"
            workflow.logger.warning("stray %s %s %s", stray.kind, stray.name, what)
            self._tell(stray, what)
            return
        # Counted before the attempt: one that failed may have had its effect.
        self._deletions_count += is_deletion
        result = await self._repair(stray)
        self._outcomes[result.outcome] += 1
        self._tell(stray, f"{result.outcome}: {result.message}")
        if is_deletion and result.outcome is not p.RepairOutcome.REPAIRED:
            # Still suspected, unless the next look does not find it.
            self._kept_back.append(stray)

    async def _repair(self, stray: p.Stray) -> p.RepairStrayResult:
        try:
            return await execute(
                contracts.repair_stray,
                p.RepairStrayInput(stray=stray),
                summary=f"{stray.action} {stray.namespace}/{stray.name}".replace(" /", " "),
            )
        except ActivityFailed as failed:
            return p.RepairStrayResult(outcome=p.RepairOutcome.FAILED, message=str(failed))

    def _tell(self, stray: p.Stray, what: str) -> None:
        name = f"{stray.namespace}/{stray.name}".lstrip("/")
        self._lines.append(f"- {stray.kind} `{name}`: {what} ({stray.evidence})")
        self._show()

    def _show(self) -> None:
        lines = [f"**found**: {_enumerate(self._found.counts)}"]
        if self._outcomes:
            lines.append(f"**done**: {_enumerate(self._outcomes)}")
        lines += [f"**not seen**: {one}" for one in self._found.blind_spots]
        if self._found.blind_spots:
            lines.append("What was not seen in full led to no deletion.")
        workflow.set_current_details("\n".join([*lines, "", *self._lines]))


def _suspects_of_last_sweep() -> list[p.Stray]:
    last = workflow.get_last_completion_result(type_hint=p.SweepResult)
    return last.suspects if isinstance(last, p.SweepResult) else []


def _enumerate(counts: Mapping[p.StrayKind, int] | Mapping[p.RepairOutcome, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing"
