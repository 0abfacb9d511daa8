"""Refusals that are answers: there is none, there is one already, nobody knows of it.

A 404 is taken for "the pool is gone" only where Azure speaks of the pool. A subscription, group or
cluster that is not found means wrong settings, or lost rights: nothing is known of the pool then.
"""

from __future__ import annotations

import re
from typing import Final

from planner.azure_errors import AzureFailure

_NOT_FOUND: Final = 404
_PRECONDITION_FAILED: Final = 412

_PARENTS: Final = frozenset(
    {"SubscriptionNotFound", "ResourceGroupNotFound", "ParentResourceNotFound"}
)
_PROVIDERS_OWN: Final = frozenset({"NotFound", "GetAgentPool_NotFound", "AgentPoolNotFound"})
_OF_A_POOL: Final = re.compile(r"agent ?pool", re.IGNORECASE)


def is_certainly_missing(failure: AzureFailure) -> bool:
    """Say whether the pools' own provider says that there is no such pool.

    It answers for a cluster that it knows. Resource Manager answers `ResourceNotFound` before it,
    and may name the pool where in truth the cluster is not there.
    """
    return is_missing(failure) and any(cause.code in _PROVIDERS_OWN for cause in failure.causes)


def is_missing(failure: AzureFailure) -> bool:
    """Say whether Azure seems to say that there is no such pool."""
    if failure.status != _NOT_FOUND or any(cause.code in _PARENTS for cause in failure.causes):
        return False
    return any(_OF_A_POOL.search(f"{cause.code} {cause.message}") for cause in failure.causes)


def is_there_already(failure: AzureFailure) -> bool:
    """Say whether Azure refused because a pool of that name is there."""
    return failure.status == _PRECONDITION_FAILED


def is_operation_missing(failure: AzureFailure) -> bool:
    """Say whether Azure keeps no record of the operation."""
    return failure.status == _NOT_FOUND and not any(
        cause.code in _PARENTS for cause in failure.causes
    )
