"""What a condition of a claim that Karpenter serves means to us.

Karpenter tries a launch that failed again for five minutes, so it leaves `Launched` Unknown (False
up to 1.0) and puts the failure into reason and message; then, or at once where there is no
capacity, it deletes the claim. Who waits for the claim must therefore read failures out of a
condition that others would take for "not yet", and out of Events (`activities`) once the claim is
gone. Reasons and words are those of kubernetes-sigs/karpenter 1.x and of its providers for Azure
and AWS, read 2026-11.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from api.conditions import ConditionStatus, NodeClaimCondition, Reason
from api.errors import (
    AccessDenied,
    CapacityUnavailable,
    ClusterUnavailable,
    InsufficientCapacity,
    PlatformError,
    ProviderFailed,
    QuotaExceeded,
    trim,
)
from planner.azure_errors import judge, read_failure

MAX_WORDS_CHARACTERS: Final = 600
"""Of Karpenter's words in a message of ours; it cuts its own at 300 in most places."""

_HTTP_OK: Final = 200

_WAITING: Final = frozenset(
    {
        "",
        # operatorpkg's reason of a condition that nobody has set yet, and of one that waits for it.
        "AwaitingReconciliation",
        "ReconcilingDependents",
        # A node class that Karpenter itself is still looking at.
        "NodeClassReadinessUnknown",
        "NotLaunched",
        "NodeNotFound",
        # Ours, in claims that we serve.
        str(Reason.PENDING),
        str(Reason.IN_PROGRESS),
    }
)
"""Reasons that say "not yet"."""

_REGISTRATION_FAILURES: Final = frozenset({"MultipleNodesFound", "UnregisteredTaintNotFound"})
"""Reasons of Registered=False: the node that came is not one that Karpenter can take."""

EVENT_INSUFFICIENT_CAPACITY: Final = "InsufficientCapacityError"
"""Reason of the Event by which Karpenter says why it deletes a claim."""
EVENT_NODE_CLASS_NOT_READY: Final = "NodeClassNotReady"
"""The same for a node class (not sent by every version)."""

_EVENT_PREFIX: Final = re.compile(r"^NodeClaim \S+ event: ")

_TOO_SMALL: Final = re.compile(r"all requested instance types were unavailable during launch")
"""Karpenter's words both for no capacity and for a request that no type can hold."""


@dataclass(frozen=True)
class _Rule:
    """Fits when its pattern is found in reason and message."""

    pattern: re.Pattern[str]
    error: type[PlatformError] | None
    """None: it passes by itself, and Karpenter tries again."""


def _rule(pattern: str, error: type[PlatformError] | None) -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE), error)


# A fleet's refusal names several codes, one a zone: rights outweigh quota, and quota capacity.
_RULES: Final[tuple[_Rule, ...]] = (
    _rule(
        r"UnauthorizedOperation|AuthFailure|AccessDenied|not authorized to perform", AccessDenied
    ),
    _rule(r"RequestLimitExceeded|Throttling|\bSlowDown\b|TooManyRequests", None),
    # AWS (its codes) and Azure (its provider's reasons and sentences).
    _rule(r"VcpuLimitExceeded|InstanceLimitExceeded|MaxSpotInstanceCountExceeded", QuotaExceeded),
    _rule(r"QuotaReached|vCPU quota|LowPriorityQuota", QuotaExceeded),
    _rule(
        r"InsufficientInstanceCapacity|UnfulfillableCapacity|InsufficientFreeAddressesInSubnet"
        r"|ReservationCapacityExceeded|SpotMaxPriceTooLow",
        InsufficientCapacity,
    ),
    _rule(r"AllocationFailure|SKUNotAvailable|requested SKU is unavailable", InsufficientCapacity),
    _rule(r"unable to allocate resources (in|with)", InsufficientCapacity),
    _rule(r"insufficient capacity|instance types were unavailable", InsufficientCapacity),
)


def failure_of(
    condition_type: str, status: str, reason: str, message: str
) -> tuple[str, str] | None:
    """Return our reason and the message to show, or None when the condition tells of no failure.

    Args:
        condition_type: Such as "Launched".
        status: True, False or Unknown.
        reason: Karpenter's, or its provider's.
        message: Its words.
    """
    if status == ConditionStatus.TRUE or reason in _WAITING:
        return None
    words = _words(reason, message)
    match condition_type:
        case NodeClaimCondition.LAUNCHED:
            error = _judge(words)
            return None if error is None else (error.reason(), words)
        case NodeClaimCondition.REGISTERED if reason in _REGISTRATION_FAILURES:
            return ProviderFailed.reason(), words
    return None


def failure_of_event(reason: str, message: str) -> PlatformError | None:
    """Return what the Event says about a claim that Karpenter deleted, or None for other Events."""
    words = trim(_EVENT_PREFIX.sub("", message), MAX_WORDS_CHARACTERS)
    if reason == EVENT_NODE_CLASS_NOT_READY:
        return ProviderFailed(f"Karpenter can't use the claim's node class: {words}")
    if reason != EVENT_INSUFFICIENT_CAPACITY:
        return None
    error = _judge(words)
    if error is None or not issubclass(error, CapacityUnavailable | AccessDenied):
        error = InsufficientCapacity
    return error(_with_remedy(words))


def _with_remedy(words: str) -> str:
    if _TOO_SMALL.search(words) is None:
        return words
    return (
        f"{words} (Karpenter says so as well where its node class has too small a disk for the "
        "claim's request, or does not know the instance type)"
    )


def _judge(words: str) -> type[PlatformError] | None:
    for rule in _RULES:
        if rule.pattern.search(words):
            return rule.error
    # Whatever else it says may hold a code of Azure's.
    error = judge(read_failure(_HTTP_OK, words)).error
    return None if issubclass(error, ClusterUnavailable) else error


def _words(reason: str, message: str) -> str:
    return trim(f"{reason}: {message}" if message else reason, MAX_WORDS_CHARACTERS)
