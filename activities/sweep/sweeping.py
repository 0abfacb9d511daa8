"""The sweep's two activities: find strays, and repair one after one more look at it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from temporalio import activity
from temporalio.service import RPCError

from activities.clients.kubernetes import NODE_CLAIMS, WORKSPACES, Kind
from activities.context import ActivityContext
from activities.errors import implements, translate
from activities.sweep import events, scene, workflow_door
from activities.sweep.observer import NoObserver, SweepObserver
from activities.sweep.reading import find_for_certain
from api import contracts, names
from api import payloads as p
from api.errors import trim
from planner import strays
from planner.hints import ADDED, Hint, owned_hints, workspace_hints

_logger = logging.getLogger(__name__)

_Result = p.RepairStrayResult
_KEPT, _PASSED, _REPAIRED = (
    p.RepairOutcome.KEPT,
    p.RepairOutcome.PASSED,
    p.RepairOutcome.REPAIRED,
)


class Sweeping:
    """Lists, judges by `planner.strays`, looks again, and acts."""

    def __init__(self, ctx: ActivityContext, observer: SweepObserver | None = None) -> None:
        """Take what all activities share, and whom to tell the numbers."""
        self._ctx = ctx
        self._observer = observer or NoObserver()

    @implements(contracts.find_strays)
    async def find_strays(self, payload: p.FindStraysInput) -> p.FindStraysResult:
        """See the contract."""
        seen = await scene.look(self._ctx, activity.client())
        findings = strays.find_strays(seen, payload.suspects)
        blind_spots = seen.blind_spots()
        self._observer.found_strays(findings.counts, blind_spots)
        for problem in blind_spots:
            _logger.warning("the sweep can't see everything: %s", problem)
        return p.FindStraysResult(
            strays=list(findings.strays), counts=dict(findings.counts), blind_spots=blind_spots
        )

    @implements(contracts.repair_stray)
    async def repair_stray(self, payload: p.RepairStrayInput) -> p.RepairStrayResult:
        """See the contract."""
        stray = payload.stray
        try:
            result = await self._repair(stray)
        except RPCError as error:
            message = f"Temporal: {error.status.name}: {error.message}"
            result = _Result(outcome=p.RepairOutcome.FAILED, message=trim(message))
        except Exception as error:
            known = translate(error)
            if known is None:
                raise
            result = _Result(outcome=p.RepairOutcome.FAILED, message=trim(str(known)))
        self._observer.repaired_stray(stray.kind, result.outcome)
        _logger.log(
            logging.INFO if result.outcome is _PASSED else logging.WARNING,
            "stray %s %s: %s: %s; evidence: %s",
            stray.kind,
            f"{stray.namespace}/{stray.name}".lstrip("/"),
            result.outcome,
            result.message,
            stray.evidence,
        )
        return result

    async def _repair(self, stray: p.Stray) -> _Result:
        match stray.kind:
            case p.StrayKind.WORKSPACE_WITHOUT_WORKFLOW:
                return await self._start_for_workspace(stray)
            case p.StrayKind.CLAIM_WITHOUT_WORKFLOW:
                return await self._start_for_claim(stray)
            case p.StrayKind.WORKFLOW_WITHOUT_WORKSPACE | p.StrayKind.WORKFLOW_WITHOUT_CLAIM:
                return await self._wake_to_bury(stray)
            case p.StrayKind.CLAIM_WITHOUT_OWNER:
                return await self._delete_claim(stray)
            case p.StrayKind.MACHINE_WITHOUT_CLAIM:
                return await self._give_machine_back(stray)

    # --- Workflows: a hint can do no harm --------------------------------------------------------

    async def _start_for_workspace(self, stray: p.Stray) -> _Result:
        obj = await self._find(WORKSPACES, stray.name, stray.namespace)
        hints = workspace_hints(ADDED, obj) if obj is not None else ()
        if obj is None or not hints:
            return _Result(outcome=_PASSED, message="the Workspace is gone")
        await self._deliver(hints[0])
        message = "The sweep found no workflow for this Workspace and started it."
        await events.tell(
            self._ctx.cluster, WORKSPACES, obj, p.EventKind.WARNING, "WorkflowRestarted", message
        )
        return _Result(outcome=_REPAIRED, message="its workflow was started")

    async def _start_for_claim(self, stray: p.Stray) -> _Result:
        obj = await self._find(NODE_CLAIMS, stray.name)
        hints = owned_hints("NodeClaim", ADDED, obj) if obj is not None else ()
        if not hints:
            return _Result(outcome=_PASSED, message="the NodeClaim is gone")
        await self._deliver(hints[0])
        return _Result(outcome=_REPAIRED, message="its workflow was started")

    async def _wake_to_bury(self, stray: p.Stray) -> _Result:
        is_workspace = stray.kind is p.StrayKind.WORKFLOW_WITHOUT_WORKSPACE
        kind = WORKSPACES if is_workspace else NODE_CLAIMS
        if await self._find(kind, stray.name, stray.namespace) is not None:
            return _Result(outcome=_PASSED, message=f"the {kind.kind} is there")
        cause = f"the sweep found no {kind.kind}"
        hint = Hint(
            workflow=names.WORKSPACE_WORKFLOW if is_workspace else names.NODE_CLAIM_WORKFLOW,
            workflow_id=(
                names.workspace_workflow_id(stray.namespace, stray.name)
                if is_workspace
                else names.node_claim_workflow_id(stray.name)
            ),
            payload=p.DesiredChanged(deleting=True, cause=cause),
            name=stray.name,
            namespace=stray.namespace,
            can_start=False,
        )
        if not await self._deliver(hint):
            return _Result(outcome=_PASSED, message="the workflow ended")
        return _Result(outcome=_REPAIRED, message="the workflow was woken to clean up and end")

    async def _find(self, kind: Kind, name: str, namespace: str = "") -> dict[str, Any] | None:
        return await find_for_certain(self._ctx.cluster, kind, name, namespace)

    async def _deliver(self, hint: Hint) -> bool:
        return await workflow_door.deliver(activity.client(), hint)

    # --- Deletions: the last look is past every cache --------------------------------------------

    async def _delete_claim(self, stray: p.Stray) -> _Result:
        claim = await self._find(NODE_CLAIMS, stray.name)
        if claim is None:
            return _Result(outcome=_PASSED, message="the claim is gone")
        workspace: dict[str, Any] | None = None
        if stray.owner is not None:
            workspace = await self._find(WORKSPACES, stray.owner.name, stray.owner.namespace)
        objection = strays.objection_to_deleting_claim(stray, claim, workspace)
        if objection is not None:
            return objection
        if not await self._ctx.cluster.delete(NODE_CLAIMS, stray.name, uid=stray.uid):
            return _Result(outcome=_PASSED, message="the claim is gone")
        message = f"Deleted by the sweep: {stray.evidence}."
        await events.tell(
            self._ctx.cluster, NODE_CLAIMS, claim, p.EventKind.WARNING, "StrayDeleted", message
        )
        return _Result(outcome=_REPAIRED, message="the claim is being deleted")

    async def _give_machine_back(self, stray: p.Stray) -> _Result:
        if stray.owner is not None:
            return await self._wake_owner(stray, stray.owner)
        machine = await self._ctx.provisioner.observe(stray.name)
        # Asked last, so that a claim which was made meanwhile is seen.
        claim = await self._find(NODE_CLAIMS, stray.name)
        state = machine.state if machine is not None else ""
        objection = strays.objection_to_ending_machine(stray, claim, state)
        if objection is not None:
            return objection
        await self._ctx.provisioner.terminate(stray.name)
        return _Result(outcome=_REPAIRED, message="the machine is being given back")

    async def _wake_owner(self, stray: p.Stray, owner: p.WorkspaceRef) -> _Result:
        obj = await self._find(WORKSPACES, owner.name, owner.namespace)
        if obj is None or obj["metadata"]["uid"] != owner.uid:
            return _Result(outcome=_PASSED, message="its Workspace is gone meanwhile")
        await events.tell(
            self._ctx.cluster, WORKSPACES, obj, p.EventKind.WARNING, "StrayMachine", stray.evidence
        )
        cause = f"the sweep found machine {stray.name} without a NodeClaim"
        (hint,) = workspace_hints(ADDED, obj)
        await self._deliver(replace(hint, payload=p.DesiredChanged(uid=owner.uid, cause=cause)))
        return _Result(outcome=_KEPT, message="its Workspace exists and was woken")
