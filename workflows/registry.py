"""What a worker must register to run our workflows."""

from __future__ import annotations

from typing import Any, Final

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from workflows.node_claim import NodeClaimWorkflow
from workflows.workspace import WorkspaceWorkflow

WORKFLOWS: Final[tuple[type[Any], ...]] = (WorkspaceWorkflow, NodeClaimWorkflow)

PASSTHROUGH_MODULES: Final = ("api", "pydantic", "pydantic_core", "annotated_types")
"""Loaded once per process instead of once per workflow. `api` is nouns without state; loading it
anew for each of a thousand workflows cost twice the CPU (measured)."""


def workflow_runner() -> SandboxedWorkflowRunner:
    """Return the sandbox that our workflows run in."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSTHROUGH_MODULES)
    return SandboxedWorkflowRunner(restrictions=restrictions)
