"""Contracts are kept: each implemented once, on its queue, with its types; workflows can run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast, get_type_hints

import pytest
from temporalio import activity, workflow

from activities.context import ActivityContext
from activities.registry import quick_activities, wait_activities
from api import images, payloads, workflow_inputs
from api.contracts import QUICK_CONTRACTS, WAIT_CONTRACTS
from presets.loader import load_catalogue
from workflows import limits
from workflows.registry import WORKFLOWS, workflow_runner

CONTRACTS = (*QUICK_CONTRACTS, *WAIT_CONTRACTS)

# Activities only keep it: nothing of it is asked for before one runs.
CONTEXT = cast("ActivityContext", SimpleNamespace())


def definition(function: Any) -> activity._Definition:
    return activity._Definition.must_from_callable(function)


@pytest.mark.parametrize(
    ("contracts", "implementations"),
    [(QUICK_CONTRACTS, quick_activities), (WAIT_CONTRACTS, wait_activities)],
    ids=["quick", "wait"],
)
def test_each_contract_is_implemented_once_on_its_queue_with_its_types(
    contracts: Any, implementations: Any
) -> None:
    promised = {one.name or "": (one.arg_types, one.ret_type) for one in map(definition, contracts)}
    found = [definition(one) for one in implementations(CONTEXT)]
    assert sorted(one.name or "" for one in found) == sorted(promised)
    for one in found:
        assert (one.arg_types, one.ret_type) == promised[one.name or ""], one.name


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
def test_each_contract_says_what_it_is_idempotent_by_and_whether_it_heartbeats(
    contract: Any,
) -> None:
    promise = contract.__doc__ or ""
    assert "Idempotent by" in promise
    assert "Heartbeats:" in promise


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
def test_each_contract_has_limits_and_only_waits_have_a_heartbeat_timeout(contract: Any) -> None:
    its = limits.LIMITS[contract.__name__]
    assert its.start_to_close.total_seconds() > 0
    assert its.schedule_to_close >= its.start_to_close
    assert (its.heartbeat is not None) == (contract in WAIT_CONTRACTS)


def test_no_limit_is_left_of_an_activity_that_is_gone() -> None:
    assert set(limits.LIMITS) == {contract.__name__ for contract in CONTRACTS}


@pytest.mark.parametrize("cls", WORKFLOWS, ids=lambda cls: cls.__name__)
async def test_each_workflow_prepares_in_the_sandbox(cls: type[Any]) -> None:
    workflow_runner().prepare_workflow(workflow._Definition.must_from_class(cls))


@pytest.mark.parametrize(
    "cls",
    [
        payloads.DesiredChanged,
        payloads.OperatorOrder,
        payloads.RollbackOrder,
        payloads.WorkspacePlan,
        workflow_inputs.WorkspaceState,
        workflow_inputs.NodeClaimState,
    ],
    ids=lambda cls: cls.__name__,
)
def test_what_outlives_a_release_needs_no_field(cls: type[payloads.Payload]) -> None:
    assert cls() == cls.model_validate({"from_a_newer_release": 1})
    assert get_type_hints(cls)


def test_the_catalogue_names_the_images_that_onebox_pushes() -> None:
    preset = load_catalogue().get("smollm2-135m-instruct")
    assert preset is not None
    assert [runtime.image for runtime in preset.runtimes] == [images.VLLM_CPU_IMAGE]
    assert preset.weights.reference == images.SMOLLM2_WEIGHTS
