"""What conditions and Events of Karpenter mean, in the words of its providers for Azure and AWS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import BY_REASON, MAX_MESSAGE_CHARACTERS
from planner.facts import claim_facts
from planner.karpenter_conditions import failure_of, failure_of_event

FAMILY_QUOTA = (
    "subscription level on-demand vCPU quota for Standard_NC24ads_A100_v4 has been reached (may "
    "try provision an alternative instance type)"
)
NO_TYPE = "all requested instance types were unavailable during launch"
FLEET = "creating instance, insufficient capacity, with fleet error(s), "


@pytest.mark.parametrize(
    ("status", "reason", "message", "expected"),
    [
        # Azure: its provider's reasons, alone and wrapped.
        ("Unknown", "SubscriptionQuotaReached", FAMILY_QUOTA, "QuotaExceeded"),
        ("Unknown", "CreateInstanceFailed", FAMILY_QUOTA, "QuotaExceeded"),
        ("Unknown", "RegionalQuotaReached", "regional on-demand vCPU quota limit", "QuotaExceeded"),
        (
            "Unknown",
            "CreateInstanceFailed",
            "this subscription has reached the regional vCPU quota for spot (LowPriorityQuota)",
            "QuotaExceeded",
        ),
        (
            "Unknown",
            "CreateInstanceFailed",
            "unable to allocate resources in the selected zone (westus3-1)",
            "InsufficientCapacity",
        ),
        ("Unknown", "AllocationFailure", "with selected VM size", "InsufficientCapacity"),
        ("Unknown", "SKUNotAvailable", "the requested SKU is unavailable", "InsufficientCapacity"),
        # Azure: a code of its API inside words that nobody translated.
        (
            "Unknown",
            "CreateInstanceFailed",
            'RESPONSE 403: ERROR CODE: AuthorizationFailed {"error": ...}',
            "AccessDenied",
        ),
        # AWS.
        (
            "Unknown",
            "LaunchFailed",
            "creating instance, with fleet error(s), UnauthorizedOperation: You are not authorized",
            "AccessDenied",
        ),
        # Karpenter 1.0 said False.
        ("False", "LaunchFailed", f"creating instance, {NO_TYPE}", "InsufficientCapacity"),
        ("Unknown", "InstanceTypeResolutionFailed", "no such type", "ProviderFailed"),
        ("Unknown", "LaunchFailed", "getting launch templates, boom", "ProviderFailed"),
    ],
)
def test_a_launch_that_failed_is_one_of_our_failures(
    status: str, reason: str, message: str, expected: str
) -> None:
    failure = failure_of("Launched", status, reason, message)
    assert failure == (expected, f"{reason}: {message}")


@pytest.mark.parametrize(
    ("condition_type", "status", "reason"),
    [
        ("Launched", "True", "Launched"),
        ("Launched", "Unknown", "AwaitingReconciliation"),
        ("Launched", "Unknown", "NodeClassReadinessUnknown"),
        ("Launched", "Unknown", ""),
        ("Registered", "Unknown", "NodeNotFound"),
        ("Registered", "Unknown", "AwaitingReconciliation"),
        ("Initialized", "Unknown", "NodeNotReady"),
        ("Initialized", "Unknown", "ResourceNotRegistered"),
        ("Initialized", "Unknown", "StartupTaintsExist"),
        ("Ready", "False", "UnhealthyDependents"),
        ("Ready", "Unknown", "ReconcilingDependents"),
        ("Drifted", "False", "NotDrifted"),
        ("Consolidatable", "False", "NotConsolidatable"),
    ],
)
def test_what_is_only_on_its_way_is_no_failure(
    condition_type: str, status: str, reason: str
) -> None:
    assert failure_of(condition_type, status, reason, "words") is None


@pytest.mark.parametrize(
    "message", ["RequestLimitExceeded: slow down", "ERROR CODE: TooManyRequests", "Throttling"]
)
def test_a_launch_that_was_throttled_passes_by_itself(message: str) -> None:
    assert failure_of("Launched", "Unknown", "LaunchFailed", message) is None


@pytest.mark.parametrize("reason", ["MultipleNodesFound", "UnregisteredTaintNotFound"])
def test_a_node_that_karpenter_can_not_take_is_a_failure_of_the_provider(reason: str) -> None:
    assert failure_of("Registered", "False", reason, "Invariant violated") == (
        "ProviderFailed",
        f"{reason}: Invariant violated",
    )


def test_a_claims_facts_tell_of_karpenters_failure() -> None:
    condition = {
        "type": "Launched",
        "status": "Unknown",
        "reason": "SubscriptionQuotaReached",
        "message": FAMILY_QUOTA,
    }
    node_class = {"group": "karpenter.azure.com", "kind": "AKSNodeClass", "name": "default"}
    obj = {"spec": {"nodeClassRef": node_class}, "status": {"conditions": [condition]}}
    assert claim_facts(obj).failure_reason == "QuotaExceeded"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (NO_TYPE, "InsufficientCapacity"),
        (f"{FLEET}UnfulfillableCapacity: Unable to fulfill capacity", "InsufficientCapacity"),
        (f"{FLEET}InsufficientInstanceCapacity: no p4d in us-east-1a", "InsufficientCapacity"),
        (f"{FLEET}VcpuLimitExceeded: You have requested more vCPU", "QuotaExceeded"),
        (f"{FLEET}MaxSpotInstanceCountExceeded: Max spot instance count", "QuotaExceeded"),
        # Whatever else it says: the Event's reason is what Karpenter acts by.
        (f"{FLEET}Unsupported: not in this zone", "InsufficientCapacity"),
        ("resolving node class, not found", "InsufficientCapacity"),
        (f"{FLEET}RequestLimitExceeded: slow down", "InsufficientCapacity"),
    ],
)
def test_the_event_of_a_claim_that_was_taken_away_says_why(message: str, expected: str) -> None:
    error = failure_of_event("InsufficientCapacityError", f"NodeClaim ws12 event: {message}")
    assert error is not None
    assert error.reason() == expected
    assert str(error).startswith(message)


def test_where_no_type_fits_the_other_cause_is_named_as_well() -> None:
    error = failure_of_event("InsufficientCapacityError", NO_TYPE)
    assert "too small a disk" in str(error)


def test_a_node_class_that_is_not_ready_is_no_lack_of_capacity() -> None:
    error = failure_of_event("NodeClassNotReady", "NodeClaim ws12 event: no subnets found")
    assert error is not None
    assert error.reason() == "ProviderFailed"
    assert "no subnets found" in str(error)


@pytest.mark.parametrize("reason", ["Launched", "DisruptionBlocked", "", "Unconsolidatable"])
def test_other_events_say_nothing_about_it(reason: str) -> None:
    assert failure_of_event(reason, "words") is None


@given(st.text(), st.text(), st.text(), st.text())
def test_whatever_a_condition_says_it_is_one_of_our_reasons_or_none(
    condition_type: str, status: str, reason: str, message: str
) -> None:
    for name in (condition_type, "Launched"):
        failure = failure_of(name, status, reason, message)
        assert failure is None or failure[0] in BY_REASON
        assert failure is None or len(failure[1]) <= MAX_MESSAGE_CHARACTERS
