"""The steps of an operation, one module each, all of the shape `run(ctx, plan, state)`.

A step calls its activities in order and says `Done`, `Waiting` or `Blocked`. An activity that gave
up is raised through the step as `ActivityFailed`; `workflows/operation.py` judges it once for all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from api.payloads import Step, WorkspacePlan
from api.workflow_inputs import WorkspaceState
from workflows.outcomes import PhaseOutcome
from workflows.phases import endpoint, images, nodes, retire, traffic, workload
from workflows.phases.context import PhaseContext

Phase = Callable[[PhaseContext, WorkspacePlan, WorkspaceState], Awaitable[PhaseOutcome]]

PHASES: Final[dict[Step, Phase]] = {
    Step.NODES: nodes.run,
    Step.IMAGES: images.run,
    Step.WORKLOAD: workload.run,
    Step.ENDPOINT: endpoint.run,
    Step.TRAFFIC: traffic.run,
    Step.RETIRE: retire.run,
}
