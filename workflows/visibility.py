"""Search attributes and the readable text: what operators see of a workflow in Temporal."""

from __future__ import annotations

from typing import Any, Final

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributeUpdate

from api import names
from api import payloads as p
from api.workflow_inputs import WorkspaceState

_PHASE: Final = SearchAttributeKey.for_keyword(names.SEARCH_ATTRIBUTE_PHASE)
_NAMESPACE: Final = SearchAttributeKey.for_keyword(names.SEARCH_ATTRIBUTE_NAMESPACE)
_PRESET: Final = SearchAttributeKey.for_keyword(names.SEARCH_ATTRIBUTE_PRESET)
_INSTANCE_TYPE: Final = SearchAttributeKey.for_keyword(names.SEARCH_ATTRIBUTE_INSTANCE_TYPE)
_REASON: Final = SearchAttributeKey.for_keyword(names.SEARCH_ATTRIBUTE_REASON)
_GENERATION: Final = SearchAttributeKey.for_int(names.SEARCH_ATTRIBUTE_GENERATION)


def show(namespace: str, state: WorkspaceState, plan: p.WorkspacePlan | None) -> None:
    """Write the search attributes that changed; each write is an event of history."""
    wanted: dict[SearchAttributeKey[Any], Any] = {
        _PHASE: str(state.phase),
        _NAMESPACE: namespace,
        _REASON: _reason(state),
    }
    if state.generation:
        wanted[_GENERATION] = state.generation
    if plan is not None and not plan.deleting:
        wanted[_PRESET] = plan.preset or None
        wanted[_INSTANCE_TYPE] = plan.instance_type or None
    current = workflow.info().typed_search_attributes
    changes: list[SearchAttributeUpdate[Any]] = [
        key.value_unset() if value is None else key.value_set(value)
        for key, value in wanted.items()
        if current.get(key) != value
    ]
    if changes:
        workflow.upsert_search_attributes(changes)


def _reason(state: WorkspaceState) -> str | None:
    """Return what is wrong, or was wrong with the revision that was given up."""
    problem = state.problem or (state.given_up.problem if state.given_up else None)
    return problem.reason if problem else None
