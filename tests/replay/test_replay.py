"""Committed histories still replay: today's workflow code makes the decisions that it made then."""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from api import names
from api.payloads import WorkspaceRef
from api.workflow_inputs import WorkspaceWorkflowInput
from tests.replay.record import CLAIM_STORIES, STORIES
from workflows.registry import WORKFLOWS, workflow_runner

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))

MAX_HISTORY_BYTES = 200_000
"""Each lives in the repository for as long as open workflows may have begun as it did."""

COMMANDS = (
    "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED",
    "EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED",
    "EVENT_TYPE_TIMER_STARTED",
    "EVENT_TYPE_TIMER_CANCELED",
    "EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
    "EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
    "EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED",
    "EVENT_TYPE_MARKER_RECORDED",
    "EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW",
    "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED",
)
"""What a changed workflow may give in another order; a kind in no history is checked by none."""


def history_of(path: Path) -> WorkflowHistory:
    # The id is not part of the file; any will do.
    return WorkflowHistory.from_json(path.stem, path.read_text())


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path) -> None:
    replayer = Replayer(
        workflows=WORKFLOWS,
        workflow_runner=workflow_runner(),
        data_converter=pydantic_data_converter,
    )
    await replayer.replay_workflow(history_of(path))


def test_every_story_has_a_history() -> None:
    cases = {path.stem.split(".")[0] for path in HISTORIES}
    assert cases >= {*STORIES, *CLAIM_STORIES}


def test_the_histories_hold_every_kind_of_command_that_the_workflows_give() -> None:
    text = "".join(path.read_text() for path in HISTORIES)
    missing = [kind for kind in COMMANDS if f'"{kind}"' not in text]
    assert missing == []


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_a_history_is_small_enough_to_keep(path: Path) -> None:
    assert path.stat().st_size < MAX_HISTORY_BYTES


@workflow.defn(name=names.WORKSPACE_WORKFLOW)
class AnotherOrder:
    """The same workflow by name, which decides otherwise."""

    @workflow.run
    async def run(self, start: WorkspaceWorkflowInput) -> WorkspaceRef:
        await workflow.sleep(1)
        return start.workspace

    @workflow.signal
    def desired_changed(self) -> None:
        """Take the hint that every history begins with."""


async def test_a_workflow_that_decides_otherwise_is_found_out() -> None:
    replayer = Replayer(
        workflows=[AnotherOrder],
        workflow_runner=workflow_runner(),
        data_converter=pydantic_data_converter,
    )
    cold_start = next(path for path in HISTORIES if "cold-start" in path.stem)
    with pytest.raises(NondeterminismError):
        await replayer.replay_workflow(history_of(cold_start))
